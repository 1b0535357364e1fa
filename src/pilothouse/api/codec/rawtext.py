"""RawExtensions in JSON texts: the bytes that each was sent in, white space and all, which Go keeps until it encodes it anew.

Source: apimachinery's runtime.RawExtension. JSON in keeps its bytes, and so do protobuf and the store; a patch or a mutating
webhook goes through JSON that was written anew.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final

import orjson

from pilothouse.api import gonumbers
from pilothouse.api.codec import text
from pilothouse.api.objects import in_order
from pilothouse.api.raw import RawArray, RawObject, compact, plain, raw
from pilothouse.api.types import Shape, Type, holds_raw

SPACED: Final = b" "  # ends a value of the store with texts in it that are not as servers write them
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def with_texts(type_: Type, value: Any, body: bytes) -> Any:
    """`value`, read from the JSON `body`, with the text of each RawExtension in it. What cannot be found stays as it is."""
    if orjson.dumps(value) == body:
        return value
    try:
        return _Reader(body.decode()).value(type_, value, 0)[0]
    except (ValueError, RecursionError, IndexError):
        return value


def to_json(value: Any) -> bytes:
    """JSON with the texts as they are. Where there are any, it ends in SPACED."""
    kept = False

    def raw_or_plain(one: Any) -> Any:
        nonlocal kept
        found = one.text if isinstance(one, (RawObject, RawArray)) else None
        if found is not None:
            kept = True
            return orjson.Fragment(found)
        return dict(one) if isinstance(one, dict) else list(one)

    found = orjson.dumps(value, raw_or_plain, orjson.OPT_PASSTHROUGH_SUBCLASS)
    return found + SPACED if kept else text.to_json(value)


def reencoded(value: Any, *, in_maps: bool) -> Any:
    """A copy in which the RawExtensions are as Go writes them anew: without white space. `in_maps`: by way of maps, which
    sort their keys and read their numbers."""
    if isinstance(value, (RawObject, RawArray)):
        if in_maps:
            return raw(in_order(gonumbers.written(value)))
        own = plain(value)
        if value.text is not None and orjson.loads(value.text) == own:  # not changed meanwhile
            return _sent(own, compact(value.text))
        return raw(own)
    if isinstance(value, dict):
        return {k: reencoded(v, in_maps=in_maps) for k, v in value.items()} if value else type(value)()
    return [reencoded(v, in_maps=in_maps) for v in value] if isinstance(value, list) else value


def _sent(value: Any, sent: bytes) -> Any:
    return raw(value, None if sent == text.to_json(value) else sent)


class _Reader:
    def __init__(self, body: str) -> None:
        self._body = body

    def _skip(self, at: int) -> int:
        return _SPACE.match(self._body, at).end()  # type: ignore[union-attr]

    def value(self, type_: Type, value: Any, at: int) -> tuple[Any, int]:
        """The value that begins at or after `at`, and where it ends. Raises ValueError or IndexError."""
        at = self._skip(at)
        if type_.name == "rawExtension" and type_.shape is Shape.ANY:
            end = _DECODER.raw_decode(self._body, at)[1]
            return _sent(value, self._body[at:end].encode()), end
        first = self._body[at]
        if holds_raw(type_) and first == "{" and isinstance(value, dict) and type_.shape in (Shape.STRUCT, Shape.MAP):
            return self._object(type_, value, at + 1)
        if holds_raw(type_) and first == "[" and isinstance(value, list) and type_.element is not None:
            return self._array(type_.element, value, at + 1)
        return value, _DECODER.raw_decode(self._body, at)[1]

    def _object(self, type_: Type, value: dict[str, Any], at: int) -> tuple[Any, int]:
        out = dict(value)
        at = self._skip(at)
        while self._body[at] != "}":
            key, at = scanstring(self._body, at + 1)
            at = self._skip(at) + 1  # the colon
            field = type_.fields.get(key) if type_.shape is Shape.STRUCT else None
            inner = field.type if field is not None else type_.element
            if inner is None:
                at = _DECODER.raw_decode(self._body, self._skip(at))[1]
            else:
                found, at = self.value(inner, value.get(key), at)
                if key in value:  # what is null was left out
                    out[key] = found
            at = self._skip(at)
            if self._body[at] == ",":
                at = self._skip(at + 1)
        return out, at + 1

    def _array(self, element: Type, value: list[Any], at: int) -> tuple[Any, int]:
        out: list[Any] = []
        at = self._skip(at)
        while self._body[at] != "]":
            found, at = self.value(element, value[len(out)], at)
            out.append(found)
            at = self._skip(at)
            if self._body[at] == ",":
                at = self._skip(at + 1)
        return out, at + 1
