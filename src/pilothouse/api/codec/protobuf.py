"""Upstream's protobuf, read by the tables' field numbers into JSON-shaped objects.

Source: upstream's generated.proto files and runtime/serializer/protobuf: `k8s\\0`, then a runtime.Unknown that names the type and
holds its message.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import orjson

from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import Field, Shape, Type, type_of
from pilothouse.clock.timestamps import format_micro_time, format_time

MAGIC: Final = b"k8s\0"
_DEPTH_MAX: Final = 100


class ProtobufError(ValueError):
    """The bytes are no such message; str() says why."""


def decode_stored(value: bytes) -> Obj:
    """A stored object: its kind and version stand in the envelope. Raises ProtobufError."""
    api_version, kind, raw = unwrap(value)
    found = decode(GVK(*split_api_version(api_version), kind), raw)
    return {"kind": kind, "apiVersion": api_version, **found}


def unwrap(value: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, message) of an envelope. Raises ProtobufError."""
    if not value.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message")
    api_version = kind = ""
    raw = b""
    for number, content in _fields(value[len(MAGIC) :]):
        if number == 1 and isinstance(content, bytes):
            for inner, text in _fields(content):
                if inner == 1:
                    api_version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2 and isinstance(content, bytes):
            raw = content
    return api_version, kind, raw


def decode(gvk: GVK, raw: bytes) -> Obj:
    """The message of a built-in kind. What it leaves out is left out. Raises ProtobufError."""
    type_ = type_of(gvk)
    if type_ is None:
        raise ProtobufError(f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}"')
    found = _struct(type_, raw, 0)
    found.pop("kind", None)
    found.pop("apiVersion", None)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("unexpected EOF")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, content): an int for varints, bytes for the rest."""
    at, size = 0, len(data)
    while at < size:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")
        if at + length > size:
            raise ProtobufError("unexpected EOF")
        yield tag >> 3, data[at : at + length]
        at += length


@cache
def _by_number(type_: Type) -> dict[int, Field]:
    return {f.proto: f for f in type_.wire if f.proto}


def _struct(type_: Type, raw: bytes, depth: int) -> Obj:
    if depth > _DEPTH_MAX:
        raise ProtobufError("the message is nested too deeply")
    fields = _by_number(type_)
    out: Obj = {}
    for number, content in _fields(raw):
        field = fields.get(number)
        if field is None:
            continue
        if field.inline:
            if isinstance(content, bytes):
                out.update(_struct(field.type, content, depth + 1))
            continue
        kind = field.type
        if kind.shape is Shape.LIST and kind.element is not None:
            out.setdefault(field.name, []).append(_value(kind.element, content, depth))
        elif kind.shape is Shape.MAP and kind.element is not None:
            key, value = _entry(kind.element, content, depth)
            out.setdefault(field.name, {})[key] = value
        else:
            out[field.name] = _value(kind, content, depth)
    return out


def _entry(element: Type, content: int | bytes, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for number, part in _fields(_bytes(content)):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = _items(element, part, depth) if element.shape is Shape.LIST else _value(element, part, depth)
    return key, value


def _items(list_type: Type, content: int | bytes, depth: int) -> list[Any]:
    """A list that stands where protobuf has only messages: field 1, repeated."""
    assert list_type.element is not None
    return [_value(list_type.element, part, depth) for number, part in _fields(_bytes(content)) if number == 1]


def _value(type_: Type, content: int | bytes, depth: int) -> Any:
    if type_.shape is Shape.STRUCT:
        return _struct(type_, _bytes(content), depth + 1)
    if type_.shape is Shape.LIST:
        return _items(type_, content, depth)
    if type_.shape is Shape.ANY:
        return _raw(content)
    return _SCALARS[type_.name](content)


def _bytes(content: int | bytes) -> bytes:
    if isinstance(content, int):
        raise ProtobufError("proto: wrong wireType = 0")
    return content


def _text(content: int | bytes) -> str:
    try:
        return _bytes(content).decode()
    except UnicodeDecodeError:
        raise ProtobufError("proto: a string contains invalid UTF-8") from None


def _integer(content: int | bytes) -> int:
    if not isinstance(content, int):
        raise ProtobufError("proto: wrong wireType = 2")
    return content - (1 << 64) if content >= 1 << 63 else content


def _bool(content: int | bytes) -> bool:
    return _integer(content) != 0


def _float(content: int | bytes) -> float:
    data = _bytes(content)
    if len(data) not in (4, 8):
        raise ProtobufError("proto: wrong wireType = 2")
    found: float = struct.unpack("<d" if len(data) == 8 else "<f", data)[0]
    return found


def _first(content: int | bytes) -> int | bytes | None:
    return next((part for number, part in _fields(_bytes(content)) if number == 1), None)


def _quantity(content: int | bytes) -> str:
    part = _first(content)
    return _text(part) if part is not None else "0"


def _time(form: Callable[[float], str]) -> Callable[[int | bytes], str | None]:
    def time(content: int | bytes) -> str | None:
        parts = dict(_fields(_bytes(content)))
        if 1 not in parts:
            return None
        try:
            return form(_integer(parts[1]) + _integer(parts.get(2, 0)) / 1e9)
        except (OverflowError, ValueError, OSError):
            raise ProtobufError("a time is out of range") from None

    return time


def _int_or_string(content: int | bytes) -> int | str:
    parts = dict(_fields(_bytes(content)))
    if parts.get(1, 0):
        return _text(parts.get(3, b""))
    return _integer(parts.get(2, 0))


def _duration(content: int | bytes) -> str:
    part = _first(content)
    total = _integer(part) if part is not None else 0
    seconds, rest = divmod(abs(total), 1_000_000_000)
    hours, minutes = divmod(seconds // 60, 60)
    text = f"{seconds % 60}" + (f".{rest:09d}".rstrip("0") if rest else "") + "s"
    if seconds >= 60:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return f"-{text}" if total < 0 else text


def _raw(content: int | bytes) -> Any:
    """JSON within a message (RawExtension, JSON, FieldsV1), or an object in an envelope of its own."""
    part = _first(content)
    if not part:
        return None
    data = _bytes(part)
    if data.startswith(MAGIC):
        return decode_stored(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(f"a raw value is no JSON: {error}") from None


_SCALARS: Final[dict[str, Callable[[int | bytes], Any]]] = {
    "string": _text,
    "bool": _bool,
    "int32": _integer,
    "int64": _integer,
    "float64": _float,
    "bytes": lambda content: base64.b64encode(_bytes(content)).decode(),
    "quantity": _quantity,
    "time": _time(format_time),
    "microtime": _time(format_micro_time),
    "duration": _duration,
    "intOrString": _int_or_string,
}
