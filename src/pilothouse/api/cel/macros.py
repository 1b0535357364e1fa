"""The macros that Kubernetes has besides CEL's standard ones: comprehensions of two variables, `sortBy`.

Sources: cel-go's extensions "TwoVarComprehensions" and "Lists", whose expansions these are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pilothouse.api.cel.ast import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
    Source,
    StructLiteral,
)

_ACCUMULATOR: Final = "@result"
_RESERVED: Final = frozenset({_ACCUMULATOR, "__result__"})


def expand(node: Node, source: Source) -> Node:
    """The expression with its macros written out; what is wrong with them is added to the source's errors."""
    return _Expansion(node, source).expand(node)


def _largest(node: Node) -> int:
    return max([node.id, *(_largest(part) for part in parts(node))])


def parts(node: Node) -> list[Node]:
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Call):
        return ([node.target] if node.target else []) + node.args
    if isinstance(node, ListLiteral):
        return node.elements
    if isinstance(node, MapLiteral | StructLiteral):
        keys = [e.key for e in node.entries if not isinstance(e.key, str)]
        return [*keys, *(e.value for e in node.entries)]
    if isinstance(node, Comprehension):
        return [node.iter_range, node.accu_init, node.loop_condition, node.loop_step, node.result]
    return []


class _Expansion:
    def __init__(self, root: Node, source: Source) -> None:
        self.source = source
        self.at = 0
        self.root = root
        self.last = -1

    def expand(self, node: Node) -> Node:
        if isinstance(node, Call):
            if node.target is not None:
                node.target = self.expand(node.target)
            node.args = [self.expand(a) for a in node.args]
            macro = _MACROS.get((node.function, len(node.args))) if node.target is not None else None
            if macro is not None:
                self.at = node.at
                return macro(self, node) or node
        elif isinstance(node, Select):
            node.operand = self.expand(node.operand)
        elif isinstance(node, ListLiteral):
            node.elements = [self.expand(e) for e in node.elements]
        elif isinstance(node, MapLiteral | StructLiteral):
            for entry in node.entries:
                entry.key = entry.key if isinstance(entry.key, str) else self.expand(entry.key)
                entry.value = self.expand(entry.value)
        elif isinstance(node, Comprehension):
            node.iter_range = self.expand(node.iter_range)
            node.accu_init = self.expand(node.accu_init)
            node.loop_condition = self.expand(node.loop_condition)
            node.loop_step = self.expand(node.loop_step)
            node.result = self.expand(node.result)
        return node

    def new_id(self) -> int:
        if self.last < 0:
            self.last = _largest(self.root)
        self.last += 1
        return self.last

    def literal(self, value: bool | int) -> Node:
        return Literal(self.new_id(), self.at, value)

    def ident(self, name: str) -> Node:
        return Ident(self.new_id(), self.at, name)

    def result(self) -> Node:
        return self.ident(_ACCUMULATOR)

    def call(self, function: str, *args: Node) -> Node:
        return Call(self.new_id(), self.at, function, None, list(args))

    def fold(self, over: Node, names: tuple[str, str], init: Node, condition: Node, step: Node, result: Node) -> Node:
        return Comprehension(
            self.new_id(), self.at, names[0], names[1], over, _ACCUMULATOR, init, condition, step, result
        )

    def names(self, args: list[Node]) -> tuple[str, str] | None:
        """The two variables; None, and an error, where they are none."""
        read: list[str] = []
        for arg in args[:2]:
            if not isinstance(arg, Ident):
                self.source.error(arg.at, "argument must be a simple name")
                return None
            read.append(arg.name)
        if read[0] == read[1]:
            self.source.error(args[1].at, f"duplicate variable name: {read[0]}")
            return None
        for name, arg in zip(read, args, strict=False):
            if name in _RESERVED:
                self.source.error(arg.at, "iteration variable overwrites accumulator variable")
                return None
        return read[0], read[1]


def _target(call: Call) -> Node:
    assert call.target is not None
    return call.target


def _all(e: _Expansion, call: Call) -> Node | None:
    names = e.names(call.args)
    if names is None:
        return None
    condition = e.call("@not_strictly_false", e.result())
    return e.fold(
        _target(call), names, e.literal(True), condition, e.call("_&&_", e.result(), call.args[2]), e.result()
    )


def _exists(e: _Expansion, call: Call) -> Node | None:
    names = e.names(call.args)
    if names is None:
        return None
    condition = e.call("@not_strictly_false", e.call("!_", e.result()))
    return e.fold(
        _target(call), names, e.literal(False), condition, e.call("_||_", e.result(), call.args[2]), e.result()
    )


def _exists_one(e: _Expansion, call: Call) -> Node | None:
    names = e.names(call.args)
    if names is None:
        return None
    counted = e.call("_?_:_", call.args[2], e.call("_+_", e.result(), e.literal(1)), e.result())
    result = e.call("_==_", e.result(), e.literal(1))
    return e.fold(_target(call), names, e.literal(0), e.literal(True), counted, result)


def _transform(e: _Expansion, call: Call, init: Node, grow: Callable[[str, Node], Node]) -> Node | None:
    names = e.names(call.args)
    if names is None:
        return None
    step = grow(names[0], call.args[-1])
    if len(call.args) == 4:
        step = e.call("_?_:_", call.args[2], step, e.result())
    return e.fold(_target(call), names, init, e.literal(True), step, e.result())


def _transform_list(e: _Expansion, call: Call) -> Node | None:
    def grow(_: str, made: Node) -> Node:
        return e.call("_+_", e.result(), ListLiteral(e.new_id(), e.at, [made]))

    return _transform(e, call, ListLiteral(e.new_id(), e.at, []), grow)


def _transform_map(e: _Expansion, call: Call) -> Node | None:
    def grow(key: str, made: Node) -> Node:
        return e.call("cel.@mapInsert", e.result(), e.ident(key), made)

    return _transform(e, call, MapLiteral(e.new_id(), e.at, []), grow)


def _transform_map_entry(e: _Expansion, call: Call) -> Node | None:
    def grow(_: str, made: Node) -> Node:
        return e.call("cel.@mapInsert", e.result(), made)

    return _transform(e, call, MapLiteral(e.new_id(), e.at, []), grow)


def _sort_by(e: _Expansion, call: Call) -> Node | None:
    """`list.sortBy(x, key)` sorts the list by the keys that it is mapped to; the list is bound to a name, evaluated once."""
    target, (variable, key) = _target(call), call.args
    simple = isinstance(target, Ident | Select | ListLiteral | Comprehension | Call)
    if not simple:
        e.source.error(
            target.at, "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        )
        return None
    if not isinstance(variable, Ident):
        e.source.error(variable.at, "argument must be a simple name")
        return None
    bound = "@__sortBy_input__"
    step = e.call("_+_", e.result(), ListLiteral(e.new_id(), e.at, [key]))
    empty = ListLiteral(e.new_id(), e.at, [])
    keys = e.fold(e.ident(bound), (variable.name, ""), empty, e.literal(True), step, e.result())
    made = Call(e.new_id(), e.at, "@sortByAssociatedKeys", e.ident(bound), [keys])
    nothing = ListLiteral(e.new_id(), e.at, [])
    return Comprehension(
        e.new_id(), e.at, "#unused", "", nothing, bound, target, e.literal(False), e.ident(bound), made
    )


_MACROS: Final[dict[tuple[str, int], Callable[[_Expansion, Call], Node | None]]] = {
    ("all", 3): _all,
    ("exists", 3): _exists,
    ("exists_one", 3): _exists_one,
    ("existsOne", 3): _exists_one,
    ("transformList", 3): _transform_list,
    ("transformList", 4): _transform_list,
    ("transformMap", 3): _transform_map,
    ("transformMap", 4): _transform_map,
    ("transformMapEntry", 3): _transform_map_entry,
    ("transformMapEntry", 4): _transform_map_entry,
    ("sortBy", 2): _sort_by,
}
