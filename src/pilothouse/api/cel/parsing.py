"""From an expression's text to its parts.

The grammar is cel-cpp's (cel-expr-python): it hands out `cel.expr.ParsedExpr`, which is read here. Its macros are the standard
ones; `macros` adds those that Kubernetes has besides.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pilothouse.api.cel import macros
from pilothouse.api.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
    Source,
    StructLiteral,
)
from pilothouse.api.cel.values import Uint

if TYPE_CHECKING:
    from cel_expr_python.cel import Env

_SIZE_MAX: Final = 100_000  # code points of one expression; upstream's parser has the same limit

_WORDS: Final = (  # of errors: cel-cpp's and cel-go's
    (
        re.compile(r"\b(all|exists|exists_one)\(\) variable name must be a simple identifier"),
        "argument must be a simple name",
    ),
    (re.compile(r"\b(map|filter)\(\) variable name must be a simple identifier"), "argument is not an identifier"),
    (re.compile(r"has\(\) argument must be a field selection"), "invalid argument to has() macro"),
    (re.compile(r"Invalid string literal: .*Unicode value .* is invalid"), "invalid unicode code point"),
    (re.compile(r"Invalid (string|bytes) literal: .*"), "unable to unescape string"),
    (
        re.compile(r"no viable alternative at input '\.(true|false|null)'"),
        r"mismatched input '\1' expecting IDENTIFIER",
    ),
)


class ParseError(Exception):
    """The text of it is what upstream says of the expression."""


def parse(text: str, *, bindings: bool = False) -> tuple[Node, Source]:
    """`bindings`: whether there is `cel.bind(name, value, expression)`. Raises ParseError."""
    if len(text) > _SIZE_MAX:
        raise ParseError(
            f"ERROR: <input>:-1:0: expression code point size exceeds limit: size: {len(text)}, limit: {_SIZE_MAX}"
        )
    try:
        parsed = _grammar(bindings).compile(text, disable_check=True).serialize()
    except RuntimeError as e:
        raise ParseError(_as_upstream(str(e), text)) from None
    source = Source(text)
    node = _Reader(parsed, source).node()
    if source.errors:
        raise ParseError(source.shown())
    expanded = macros.expand(node, source)
    if source.errors:
        raise ParseError(source.shown())
    return expanded, source


@lru_cache(maxsize=2)
def _grammar(bindings: bool) -> Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_optional

    extensions = [ext_optional.ExtOptional()]
    return cel.NewEnv(extensions=[*extensions, ext_bindings.ExtBindings()] if bindings else extensions)


def _as_upstream(text: str, expression: str) -> str:
    text = re.sub(r"^[A-Z_]+: ", "", text)
    text = re.sub(r" \[[A-Z_]+\]$", "", text)
    for ours, theirs in _WORDS:
        text = ours.sub(theirs, text)
    lines = [part for part in re.split(r"\n(?=ERROR: )", text) if "<<nil>> parsetree" not in part]
    text = "\n".join(lines)
    if not expression:
        text = text.replace("<input>:1:1:", "<input>:1:0:", 1)
    return text


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an int for varints, bytes of the rest."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif wire == 1:
            yield key >> 3, data[at : at + 8]
            at += 8
        else:
            size, at = _varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _text(data: memoryview) -> str:
    return bytes(data).decode()


class _Reader:
    """Reads a ParsedExpr (google/api/expr: syntax.proto) packed in an Any."""

    def __init__(self, packed: bytes, source: Source) -> None:
        self.source = source  # what is wrong with literals is added to it
        parsed = dict(_fields(dict(_fields(memoryview(packed)))[2]))
        self.root = parsed[2]
        self.positions: dict[int, int] = {}
        for number, value in _fields(parsed[3]):
            if number == 4:
                pair = dict(_fields(value))
                self.positions[pair.get(1, 0)] = pair.get(2, 0)

    def node(self) -> Node:
        return self._node(self.root)

    def _node(self, data: memoryview) -> Node:
        number, form, identity = 0, data, 0
        for number_of, value in _fields(data):
            if number_of == 2:
                identity = value
            else:
                number, form = number_of, value
        at = self.positions.get(identity, 0)
        read = _FORMS.get(number)
        if read is None:
            raise ParseError("ERROR: <input>:1:1: unspecified expression")
        made: Node = read(self, identity, at, form)
        return made

    def _literal(self, identity: int, at: int, data: memoryview) -> Node:
        [(number, value)] = _fields(data)
        read: Any = None
        if number == 2:
            read = bool(value)
        elif number == 3:
            read = value - (1 << 64) if value >= 1 << 63 else value
        elif number == 4:
            read = Uint(value)
        elif number == 5:
            read = struct.unpack("<d", value)[0]
            if math.isinf(read):
                self.source.error(at, "invalid double literal")
        elif number == 6:
            read = _text(value)
        elif number == 7:
            read = bytes(value)
        return Literal(identity, at, read)

    def _ident(self, identity: int, at: int, data: memoryview) -> Node:
        return Ident(identity, at, _text(dict(_fields(data))[1]))

    def _select(self, identity: int, at: int, data: memoryview) -> Node:
        form = dict(_fields(data))
        return Select(identity, at, self._node(form[1]), _text(form[2]), bool(form.get(3)))

    def _call(self, identity: int, at: int, data: memoryview) -> Node:
        made = Call(identity, at, "", None, [])
        for number, value in _fields(data):
            if number == 1:
                made.target = self._node(value)
            elif number == 2:
                made.function = _text(value)
            else:
                made.args.append(self._node(value))
        return made

    def _list(self, identity: int, at: int, data: memoryview) -> Node:
        elements: list[Node] = []
        optional: set[int] = set()
        for number, value in _fields(data):
            if number == 1:
                elements.append(self._node(value))
            elif isinstance(value, int):
                optional.add(value)
            else:  # packed
                offset = 0
                while offset < len(value):
                    index, offset = _varint(value, offset)
                    optional.add(index)
        return ListLiteral(identity, at, elements, frozenset(optional))

    def _struct(self, identity: int, at: int, data: memoryview) -> Node:
        name = ""
        entries: list[Entry] = []
        for number, value in _fields(data):
            if number == 1:
                name = _text(value)
            else:
                form = dict(_fields(value))
                key = _text(form[2]) if 2 in form else self._node(form[3])
                entry = form.get(1, 0)
                entries.append(Entry(entry, self.positions.get(entry, 0), key, self._node(form[4]), bool(form.get(5))))
        brace = self.source.text.find("{", at)
        return StructLiteral(identity, max(at, brace), name, entries) if name else MapLiteral(identity, at, entries)

    def _comprehension(self, identity: int, at: int, data: memoryview) -> Node:
        form = dict(_fields(data))
        inner = {n: self._node(form[n]) for n in (2, 4, 5, 6, 7)}
        second = _text(form[8]) if 8 in form else ""
        return Comprehension(
            identity, at, _text(form[1]), second, inner[2], _text(form[3]), inner[4], inner[5], inner[6], inner[7]
        )


_FORMS: Final[dict[int, Any]] = {
    3: _Reader._literal, 4: _Reader._ident, 5: _Reader._select, 6: _Reader._call, 7: _Reader._list,
    8: _Reader._struct, 9: _Reader._comprehension,
}  # fmt: skip
