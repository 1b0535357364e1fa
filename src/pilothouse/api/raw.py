"""RawExtensions: JSON that Go keeps as the bytes that it was sent in, white space and all, and compares by them."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

_STRING_OR_SPACE: Final = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
_ESCAPED: Final = (
    (b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026"), ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)  # fmt: skip


class RawObject(dict[str, Any]):
    """A JSON object; two are equal if their texts are. `text` is None where it is as servers write it: without white space,
    in the order of the entries."""

    __slots__ = ("text",)

    def __init__(self, value: Any = (), text: bytes | None = None) -> None:
        super().__init__(value)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and text_of(self) == text_of(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


class RawArray(list[Any]):
    """The same of a JSON array."""

    __slots__ = ("text",)

    def __init__(self, value: Any = (), text: bytes | None = None) -> None:
        super().__init__(value)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and text_of(self) == text_of(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def raw(value: Any, text: bytes | None = None) -> Any:
    """The value of a RawExtension. (Scalars are compared by value.)"""
    if isinstance(value, dict):
        return RawObject(value, text)
    return RawArray(value, text) if isinstance(value, list) else value


def text_of(value: Any) -> bytes:
    """What Go holds of a RawExtension."""
    text = value.text if isinstance(value, (RawObject, RawArray)) else None
    return escaped(orjson.dumps(value)) if text is None else text


def plain(value: Any) -> Any:
    """A copy that compares by value throughout."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def compact(text: bytes) -> bytes:
    """A text as Go puts it into another one: without white space."""
    return escaped(_STRING_OR_SPACE.sub(rb"\1", text))


def escaped(text: bytes) -> bytes:
    """JSON as Go writes it: with what HTML would take for markup escaped."""
    for plain, instead in _ESCAPED:
        if plain in text:  # only ever within a string
            text = text.replace(plain, instead)
    return text
