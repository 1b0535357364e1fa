"""CBOR: objects as upstream's alpha serializer writes and reads them (KEP-4222, RFC 8949).

Every document carries the tag that says so. Texts are byte strings, and bytes are byte strings to be shown in base64 (tag 22);
numbers keep whether they are integers. What JSON has no form for is refused.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

import cbor2

from pilothouse.api.codec.text import DEPTH_MOST, Malformed
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import Shape, Type, type_of

MAGIC: Final = b"\xd9\xd9\xf7"
_MAP: Final = 5
_LIST: Final = 4
_LATER_BASE64: Final = 22
_LATER: Final[dict[int, Callable[[bytes], str]]] = {
    21: lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode(),
    _LATER_BASE64: lambda data: base64.b64encode(data).decode(),
    23: lambda data: data.hex(),
}
_BIG: Final = (2, 3)
# Tags that the library gives a meaning, and upstream none.
_PLAIN: Final = (4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000)


def encode(obj: Obj) -> bytes:
    """An object that says its kind: a built-in one's bytes are told from its texts."""
    return MAGIC + encode_as(_type(obj), obj)


def encode_as(type_: Type | None, value: Any) -> bytes:
    """A part of a document."""
    return cbor2.dumps(_outward(type_, value))


def list_parts(head: Obj, type_: Type | None, items: Iterable[Obj], count: int) -> Iterator[bytes]:
    """A list, part by part."""
    yield MAGIC + _head(_MAP, len(head) + 1) + b"".join(encode_as(None, part) for pair in head.items() for part in pair)
    yield encode_as(None, "items") + _head(_LIST, count)
    for item in items:
        yield encode_as(type_, item)


def event(type_: str, obj: bytes) -> bytes:
    """One event of a watch, with its object as a document."""
    return MAGIC + _head(_MAP, 2) + encode_as(None, "type") + encode_as(None, type_) + encode_as(None, "object") + obj


def decode(data: bytes) -> Any:
    """As JSON values. Raises Malformed."""
    source = BytesIO(data)
    try:
        decoder = cbor2.CBORDecoder(
            source, max_depth=DEPTH_MOST, allow_duplicate_keys=False, strict_hashable_types=True, read_size=1,
            semantic_decoders=dict.fromkeys(_PLAIN, _content) | dict.fromkeys(_BIG, _refuse_big),
        )  # fmt: skip
        found = _inward(decoder.decode())
        rest = len(data) - source.tell()
    except cbor2.CBORDecodeEOF:
        raise Malformed("unexpected EOF") from None
    except cbor2.CBORDecodeError as error:
        raise Malformed(f"cbor: {error}") from None
    if rest:
        raise Malformed(f"cbor: {rest} bytes of extraneous data starting at index {len(data) - rest}")
    return found


def _content(value: Any, _immutable: bool) -> Any:
    return value


def _refuse_big(_value: Any, _immutable: bool) -> Any:
    raise Malformed("cbor: cannot unmarshal bignum into Go value of type interface {}")


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


def _inward(value: Any) -> Any:
    """Raises Malformed."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise Malformed(
                f"cbor: cannot unmarshal {value} into Go value of type int64 ({value} overflows Go's int64)"
            )
        return value
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            raise Malformed("cbor: floating-point NaN and infinity are not accepted")
        return value
    if isinstance(value, Mapping):
        found: Obj = {}
        for name, inner in value.items():
            text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
            if text in found:
                raise Malformed(f'cbor: found duplicate map key "{text}"')
            found[text] = _inward(inner)
        return found
    if isinstance(value, (list, tuple)):
        return [_inward(inner) for inner in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, cbor2.CBORTag):
        later = _LATER.get(value.tag)
        return later(value.value) if later is not None and isinstance(value.value, bytes) else _inward(value.value)
    raise Malformed(f"cbor: {type(value).__name__} is no value that JSON has")
