"""JSON into messages, as Go's protojson reads it for the gateway, and what it refuses in its words. Unknown fields, and unknown
names of enums, are passed over.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from pilothouse.go import jsonsyntax

_DEPTH_MOST: Final = 200  # of messages in messages; etcd's own requests stay far below
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    r"""[ \t\r\n,]*(?:(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")(?P<name>[ \t\r\n]*:)?"""
    r"""|(?P<mark>[{}\[\]])|(?P<word>[^][ \t\r\n,{}]+))"""
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![-+._a-zA-Z0-9])", re.ASCII)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPED: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)={0,2}")
_STANDARD: Final = str.maketrans("-_", "+/")
_NOT_UTF8: Final = re.compile("[\ud800-\udfff]")
_KINDS: Final = {
    3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "uint32", 14: "enum",
}  # fmt: skip
_BITS: Final = {"int32": 32, "int64": 64, "uint32": 32, "uint64": 64, "enum": 32}
_DIGITS_MOST: Final = 20


def messages(body: bytes, message: Any) -> Iterator[Any]:
    """Those of a class that stand one behind the other in `body`. Raises ValueError at the first that is none."""
    at = 0
    while True:
        space = _SPACE.match(body, at)
        assert space is not None
        start = space.end()
        if start == len(body):
            return
        try:
            at = jsonsyntax.value_end(body, start)
        except jsonsyntax.Fault as fault:
            raise ValueError("unexpected EOF" if str(fault) == jsonsyntax.END else str(fault)) from None
        found = message()
        _Reader(body[start:at].decode("utf-8", "surrogateescape")).message(found)
        yield found


class _Token(NamedTuple):
    kind: str  # string, name, word, or the mark itself
    raw: str
    at: int


class _Reader:
    """Of one value that Go's scanner found nothing wrong in."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def message(self, into: Any, depth: int = 0) -> None:
        if depth > _DEPTH_MOST:
            raise ValueError("proto: exceeded max recursion depth")
        self._open("{")
        fields, seen, unions = into.DESCRIPTOR.fields, set(), set()
        by_name = {**{field.name: field for field in fields}, **{field.json_name: field for field in fields}}
        while (token := self._next()).kind == "name":
            field = by_name.get(self._string(token))
            if field is None:
                self._skip()
                continue
            if field.number in seen:
                raise self._wrong(token, f"duplicate field {token.raw}")
            seen.add(field.number)
            if self._peek().raw == "null":
                self._next()
                continue
            union = None if field.is_repeated else field.containing_oneof
            if union is not None:
                if union.name in unions:
                    raise self._wrong(token, f"error parsing {token.raw}, oneof {union.full_name} is already set")
                unions.add(union.name)
            self._field(into, field, depth)

    def _field(self, into: Any, field: Any, depth: int) -> None:
        name = field.name
        if not field.is_repeated:
            if field.message_type is not None:
                inner = getattr(into, name)
                inner.SetInParent()
                self.message(inner, depth + 1)
            elif (value := self._scalar(field)) is not None:
                setattr(into, name, value)
            return
        self._open("[")
        items = getattr(into, name)
        while self._peek().kind != "]":
            if field.message_type is not None:
                self.message(items.add(), depth + 1)
            elif (value := self._scalar(field)) is not None:
                items.append(value)
        self._next()

    def _scalar(self, field: Any) -> Any:
        """None for the name of an enum that is unknown."""
        token, kind = self._next(), _KINDS[field.type]
        text = self._string(token) if token.kind == "string" else None
        found: Any = None
        if kind == "bool":
            found = {"true": True, "false": False}.get(token.raw)
        elif kind == "string":
            found = text
        elif kind == "bytes":
            found = None if text is None else _bytes(text)
        elif kind == "enum" and text is not None:
            value = field.enum_type.values_by_name.get(text)
            return None if value is None else value.number
        elif text is None or text == text.strip():
            found = _whole(token.raw if text is None else text, kind)
        if found is None:
            raise self._wrong(token, f"invalid value for {kind} field {field.json_name}: {token.raw}")
        return found

    # Tokens

    def _peek(self) -> _Token:
        at = self._at
        token = self._next()
        self._at = at
        return token

    def _next(self) -> _Token:
        match = _TOKEN.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        group = next(name for name in ("string", "mark", "word") if match[name] is not None)
        raw = match[group]
        kind = "name" if match["name"] else raw if group == "mark" else group
        return _Token(kind, raw, match.start(group))

    def _open(self, mark: str) -> None:
        token = self._next()
        if token.kind != mark:
            if token.kind == "string":
                self._string(token)
            raise ValueError(f"proto: syntax error {self._place(token)}: unexpected token {token.raw}")

    def _skip(self) -> None:
        """Over a value."""
        depth = 0
        while True:
            token = self._next()
            if token.kind in ("string", "name"):
                self._string(token)
            depth += (token.kind in ("{", "[")) - (token.kind in ("}", "]"))
            if not depth and token.kind != "name":
                return

    def _string(self, token: _Token) -> str:
        """Raises ValueError for what is no text."""
        raw = token.raw
        if _NOT_UTF8.search(raw):
            raise ValueError(f"proto: syntax error {self._place(token)}: invalid UTF-8 in string")
        if "\\" not in raw:
            return raw[1:-1]
        found, at = [], 1
        while (match := _ESCAPE.search(raw, at)) is not None:
            found.append(raw[at : match.start()])
            at = match.end()
            if match[1] is None:
                found.append(_ESCAPED.get(match[2], match[2]))
                continue
            code = int(match[1], 16)
            if 0xD800 <= code < 0xE000:
                rest = self._text[token.at + at : token.at + at + 6]
                second = _ESCAPE.fullmatch(rest)
                low = int(second[1], 16) if second is not None and second[1] else 0
                if len(rest.encode()) < 6:
                    raise ValueError("proto: unexpected EOF")
                if code >= 0xDC00 or not 0xDC00 <= low < 0xE000:
                    raise ValueError(
                        f'proto: syntax error {self._place(token)}: invalid escape code "{_escaped(rest)}" in string'
                    )
                code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
                at += 6
            found.append(chr(code))
        return "".join([*found, raw[at:-1]])

    def _place(self, token: _Token) -> str:
        line = self._text.count("\n", 0, token.at) + 1
        return f"(line {line}:{token.at - self._text.rfind(chr(10), 0, token.at)})"

    def _wrong(self, token: _Token, what: str) -> ValueError:
        return ValueError(f"proto: {self._place(token)}: {what}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _bytes(text: str) -> bytes | None:
    """Of base64 in either alphabet, with padding where the length is a multiple of four and without where not. As Go's,
    over line breaks."""
    padded = not len(text) % 4
    digits = text.replace("\r", "").replace("\n", "")
    if not padded:
        digits += "=" * (-len(digits) % 4) if "=" not in digits else "."
    if len(digits) % 4 or _BASE64.fullmatch(digits) is None:
        return None
    return b64decode(digits.translate(_STANDARD))


def _whole(text: str, kind: str) -> int | None:
    match = _NUMBER.match(text)
    if match is None:
        return None
    try:
        number = Decimal(match[0])
        if number.adjusted() > _DIGITS_MOST or number != number.to_integral_value():
            return None
    except InvalidOperation:
        return None
    found, bits = int(number), _BITS[kind]
    least, end = (0, 1 << bits) if kind[0] == "u" else (-(1 << bits - 1), 1 << bits - 1)
    return found if least <= found < end else None
