"""What could never be evaluated is refused at once: constant durations, timestamps, patterns and formats that are none, lists and
maps of several types.

Source: cel-go's AST validators that Kubernetes asks for.
"""

from __future__ import annotations

from pilothouse.api.cel import formatting
from pilothouse.api.cel.ast import Call, ListLiteral, Literal, MapLiteral, Node
from pilothouse.api.cel.checking import Checked
from pilothouse.api.cel.macros import parts
from pilothouse.api.cel.types import DYN, Type, unwrap_optional
from pilothouse.api.cel.values import CelError, Timestamp
from pilothouse.api.codec import gotime
from pilothouse.api.structural.regexp import searcher


def check_literals(checked: Checked) -> None:
    """Adds to the source's errors."""
    _visit(checked, checked.node, False)


def _visit(checked: Checked, node: Node, formatted: bool) -> None:
    if isinstance(node, Call):
        _call(checked, node)
        formatted = formatted or node.function == "format"
    elif isinstance(node, ListLiteral) and not formatted:
        _same(checked, node.elements, node.optional, True)
    elif isinstance(node, MapLiteral) and not formatted:
        keys = [e.key for e in node.entries if not isinstance(e.key, str)]
        optional = frozenset(i for i, e in enumerate(node.entries) if e.optional)
        _same(checked, keys, frozenset(), False)
        _same(checked, [e.value for e in node.entries], optional, False)
    for part in parts(node):
        _visit(checked, part, formatted)


def _same(checked: Checked, nodes: list[Node], optional: frozenset[int], first_only: bool) -> None:
    wanted: Type | None = None
    for index, node in enumerate(nodes):
        kind = checked.types[node.id]
        if index in optional:
            kind = unwrap_optional(kind)[0]
        if wanted is None:
            wanted = kind
        elif kind != wanted:
            checked.source.error(node.at, f"expected type '{wanted}' but found '{kind}'")
            if first_only:
                return


def _call(checked: Checked, node: Call) -> None:
    argument = node.args[0] if node.args else None
    if node.function == "format" and isinstance(argument, ListLiteral) and isinstance(node.target, Literal):
        _format(checked, node, node.target.value, argument)
    if not isinstance(argument, Literal) or not isinstance(argument.value, str):
        return
    text = argument.value
    try:
        if node.function == "duration":
            gotime.parse_duration(text)
        elif node.function == "timestamp":
            Timestamp.parse(text)
        elif node.function == "matches":
            searcher(text)
    except ValueError:
        checked.source.error(argument.at, f"invalid {node.function} argument")


def _unformatted(checked: Checked, node: Node, clause: str) -> tuple[Node, str] | None:
    """The value, or the part of a literal, that is of the wrong kind for a clause, and why."""
    kind = checked.types.get(node.id, DYN)
    named = kind.name if kind.kind in ("list", "map", "opaque", "type") else str(kind)
    wrong = formatting.wrong_kind(clause, named) if kind != DYN else ""
    if wrong:
        return node, wrong
    inner: list[Node] = []
    if clause == "s" and isinstance(node, ListLiteral):
        inner = node.elements
    elif clause == "s" and isinstance(node, MapLiteral):
        inner = [part for e in node.entries for part in (e.key, e.value) if not isinstance(part, str)]
    return next((found for part in inner if (found := _unformatted(checked, part, clause)) is not None), None)


def _format(checked: Checked, node: Call, text: str, values: ListLiteral) -> None:
    at = node.at
    asked = 0

    def judge(clause: str, index: int) -> None:
        nonlocal at, asked
        asked = index + 1
        value = values.elements[index]
        wrong = _unformatted(checked, value, clause)
        if wrong is not None:
            at = wrong[0].at
            raise CelError(f"error during formatting: {wrong[1]}")

    try:
        formatting.each_clause(text, len(values.elements), judge)
    except CelError as e:
        checked.source.error(at, str(e))
        return
    if len(values.elements) > asked:
        given = len(values.elements)
        message = f"too many arguments supplied to string.format (expected {asked}, got {given})"
        checked.source.error(node.at, message)
