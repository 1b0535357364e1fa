"""CBOR: objects as upstream's alpha serializer writes them (KEP-4222, RFC 8949); `cborread` reads them.

Every document carries the tag that says so. Texts are byte strings, and bytes are byte strings to be shown in base64 (tag 22);
numbers keep whether they are integers.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

import cbor2

from pilothouse.api.codec import magic
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import Shape, Type, type_of

_MAP: Final = 5
_LIST: Final = 4
_LATER_BASE64: Final = 22


def encode(obj: Obj) -> bytes:
    """An object that says its kind: a built-in one's bytes are told from its texts."""
    return magic.CBOR + encode_as(_type(obj), obj)


def encode_as(type_: Type | None, value: Any) -> bytes:
    """A part of a document."""
    return cbor2.dumps(_outward(type_, value))


def list_parts(head: Obj, type_: Type | None, items: Iterable[Obj], count: int) -> Iterator[bytes]:
    """A list, part by part."""
    yield (
        magic.CBOR
        + _head(_MAP, len(head) + 1)
        + b"".join(encode_as(None, part) for pair in head.items() for part in pair)
    )
    yield encode_as(None, "items") + _head(_LIST, count)
    for item in items:
        yield encode_as(type_, item)


def event(type_: str, obj: bytes) -> bytes:
    """One event of a watch, with its object as a document."""
    return (
        magic.CBOR + _head(_MAP, 2) + encode_as(None, "type") + encode_as(None, type_) + encode_as(None, "object") + obj
    )


def _type(obj: Obj) -> Type | None:
    version, kind = obj.get("apiVersion"), obj.get("kind")
    return (
        type_of(GVK(*split_api_version(version), kind)) if isinstance(version, str) and isinstance(kind, str) else None
    )


def _head(major: int, count: int) -> bytes:
    first = major << 5
    if count < 24:
        return bytes((first | count,))
    if count < 0x100:
        return bytes((first | 24, count))
    return struct.pack(">BH", first | 25, count) if count < 0x10000 else struct.pack(">BI", first | 26, count)


def _outward(type_: Type | None, value: Any) -> Any:
    if isinstance(value, str):
        if type_ is not None and type_.name == "bytes":
            return cbor2.CBORTag(_LATER_BASE64, base64.b64decode(value))
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        fields = type_.fields if type_ is not None and type_.shape is Shape.STRUCT else {}
        element = type_.element if type_ is not None else None
        return {
            name.encode(): _outward(fields[name].type if name in fields else element, inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_outward(type_.element if type_ is not None else None, inner) for inner in value]
    return value
