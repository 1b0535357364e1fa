"""Upstream's protobuf, read by the tables' field numbers into JSON-shaped objects. `protowrite` is the way back.

Source: upstream's generated.proto files and runtime/serializer/protobuf: `k8s\\0`, then a runtime.Unknown that names the type and
holds its message.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeAlias

import orjson

from pilothouse.api import scheme
from pilothouse.api.codec import magic
from pilothouse.api.codec.decode import DecodeError
from pilothouse.api.codec.decode import decode as typed
from pilothouse.api.codec.gotime import format_duration
from pilothouse.api.codec.text import to_json
from pilothouse.api.objects import Obj
from pilothouse.api.raw import raw
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import Field, Shape, Type, type_of

UNION: Final = "apiextensions/v1.JSONSchemaPropsOr"
_DEPTH_MOST: Final = 100
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME_S: Final = -62135596800
_EOF: Final = "unexpected EOF"

Content: TypeAlias = int | bytes


class ProtobufError(ValueError):
    """The bytes are no such message; str() says why."""


class _WrongWire(Exception):
    """A field's content is not of the kind that its type has."""


def decode_stored(value: bytes) -> Obj:
    """A stored object: its kind and version stand in the envelope. Raises ProtobufError."""
    api_version, kind, raw = unwrap(value)
    gvk = GVK(*split_api_version(api_version), kind)
    try:
        found, _ = typed(known_type(gvk), decode(gvk, raw), stored=True)
    except DecodeError as error:
        raise ProtobufError(str(error)) from None
    return {"kind": kind, "apiVersion": api_version, **found}


def unwrap(value: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, message) of an envelope. Raises ProtobufError."""
    if not value:
        raise ProtobufError("empty data")
    if not value.startswith(magic.PROTOBUF):
        listed = " ".join(map(str, magic.PROTOBUF))
        raise ProtobufError(f"provided data does not appear to be a protobuf message, expected prefix [{listed}]")
    if len(value) == len(magic.PROTOBUF):
        raise ProtobufError("empty body")
    api_version = kind = ""
    raw = b""
    for number, content in fields(value[len(magic.PROTOBUF) :]):
        if number == 1 and isinstance(content, bytes):
            for inner, text in fields(content):
                if inner == 1:
                    api_version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2 and isinstance(content, bytes):
            raw = content
    return api_version, kind, raw


def known_type(gvk: GVK) -> Type:
    """Raises ProtobufError."""
    type_ = type_of(gvk)
    if type_ is None:
        raise ProtobufError(f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}"')
    return type_


def decode(gvk: GVK, raw: bytes) -> Obj:
    """The message of a built-in kind, with what it says and no more: `decode.decode` makes it upstream's form.

    Raises ProtobufError.
    """
    return _struct(known_type(gvk), raw, 0)


# The wire


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    size = len(data)
    while True:
        if at >= size:
            raise ProtobufError(_EOF)
        if shift > 63:
            raise ProtobufError("proto: integer overflow")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def fields(data: bytes) -> Iterator[tuple[int, Content]]:
    """(number, content): an int for varints, bytes for the rest. Groups, which nothing here has, are passed over."""
    at, size = 0, len(data)
    group = 0
    while at < size:
        tag = data[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = _varint(data, at)
        wire, number = tag & 7, tag >> 3
        if number <= 0:
            raise ProtobufError(f"proto: illegal tag {number} (wire type {tag})")
        if wire == 0:
            value, at = _varint(data, at)
            if not group:
                yield number, value
            continue
        if wire == 3:
            group += 1
            continue
        if wire == 4:
            if not group:
                raise ProtobufError("proto: unexpected end of group")
            group -= 1
            continue
        if wire == 2:
            length = data[at] if at < size else 0x80
            if length < 0x80:
                at += 1
            else:
                length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")
        if at + length > size:
            raise ProtobufError(_EOF)
        if not group:
            yield number, data[at : at + length]
        at += length
    if group:
        raise ProtobufError(_EOF)


# Messages


@cache
def _by_number(type_: Type) -> dict[int, tuple[Field, Callable[[Content], Any] | None]]:
    """Fields by their numbers, those of plain values with what reads them."""
    return {
        f.proto: (f, _SCALARS[f.type.name] if f.type.shape is Shape.SCALAR else None) for f in type_.wire if f.proto
    }


@cache
def wrapped(type_: Type, name: str) -> bool:
    """Whether a list is a message with the list in it: metav1.Verbs, the one that is a field of its own."""
    return bool(scheme.load_facts("gotypes").get(type_.name, {}).get(name) == "v1.Verbs string")


def _struct(type_: Type, raw: bytes, depth: int) -> Obj:
    if depth > _DEPTH_MOST:
        raise ProtobufError("the message is nested too deeply")
    known = _by_number(type_)
    out: Obj = {}
    for number, content in fields(raw):
        step = known.get(number)
        if step is None:
            continue
        field, scalar = step
        try:
            if scalar is not None:
                out[field.name] = scalar(content)
            else:
                _put(type_, field, content, out, depth)
        except _WrongWire:
            wire = 0 if isinstance(content, int) else 2
            raise ProtobufError(f"proto: wrong wireType = {wire} for field {_go_name(field)}") from None
    return out


def _put(type_: Type, field: Field, content: Content, out: Obj, depth: int) -> None:
    kind = field.type
    if field.inline:
        out.update(_struct(kind, _bytes(content), depth + 1))
    elif kind.shape is Shape.LIST and kind.element is not None:
        if wrapped(type_, field.name):
            out[field.name] = _items(kind, content, depth)
        elif isinstance(content, bytes) and kind.element.name in ("int32", "int64", "bool"):
            out.setdefault(field.name, []).extend(_packed(kind.element, content))
        else:
            out.setdefault(field.name, []).append(_value(kind.element, content, depth))
    elif kind.shape is Shape.MAP and kind.element is not None:
        key, value = _entry(kind.element, content, depth)
        out.setdefault(field.name, {})[key] = value
    else:
        out[field.name] = _value(kind, content, depth)


def _go_name(field: Field) -> str:
    """What Go calls the field: near enough for a message."""
    if field.inline or field.name == "metadata":
        return field.type.name.rpartition(".")[2]
    return field.name[:1].upper() + field.name[1:]


def _packed(element: Type, content: bytes) -> Iterator[Any]:
    at = 0
    while at < len(content):
        value, at = _varint(content, at)
        yield _SCALARS[element.name](value)


def _entry(element: Type, content: Content, depth: int) -> tuple[str, Any]:
    key, value = "", None
    for number, part in fields(_bytes(content)):
        if number == 1:
            key = _text(part)
        elif number == 2:
            value = _value(element, part, depth)
    return key, value


def _items(list_type: Type, content: Content, depth: int) -> list[Any] | None:
    """A list that stands where protobuf has only messages: field 1, repeated."""
    assert list_type.element is not None
    found = [_value(list_type.element, part, depth) for number, part in fields(_bytes(content)) if number == 1]
    return found or None


def _value(type_: Type, content: Content, depth: int) -> Any:
    if type_.shape is Shape.STRUCT:
        found = _struct(type_, _bytes(content), depth + 1)
        return _union(found) if type_.name.startswith(UNION) else found
    if type_.shape is Shape.LIST:
        return _items(type_, content, depth)
    if type_.shape is Shape.ANY:
        found = _raw(content)
        return found if type_.name != "rawExtension" else _with_text(found, content)
    return _SCALARS[type_.name](content)


def _union(found: Obj) -> Any:
    """A schema, or what stands for one."""
    return found.get("Schema") or found.get("JSONSchemas") or found.get("Property") or found.get("Allows")


# Scalars


def _bytes(content: Content) -> bytes:
    if isinstance(content, int):
        raise _WrongWire
    return content


def _text(content: Content) -> str:
    try:
        return _bytes(content).decode()
    except UnicodeDecodeError:
        raise ProtobufError("proto: a string contains invalid UTF-8") from None


def _integer(content: Content) -> int:
    if not isinstance(content, int):
        raise _WrongWire
    return content - (1 << 64) if content >= 1 << 63 else content


def _int32(content: Content) -> int:
    value = _integer(content) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _bool(content: Content) -> bool:
    return _integer(content) != 0


def _float(content: Content) -> float:
    data = _bytes(content)
    if len(data) != 8:
        raise _WrongWire
    found: float = struct.unpack("<d", data)[0]
    return found


def _base64(content: Content) -> str:
    return base64.b64encode(_bytes(content)).decode()


def _first(content: Content) -> Content | None:
    return next((part for number, part in fields(_bytes(content)) if number == 1), None)


def _quantity(content: Content) -> str:
    part = _first(content)
    return (_text(part) if part is not None else "") or "0"


def _moment(content: Content) -> tuple[int, int] | None:
    """(seconds since 1970, nanoseconds); None for the zero time."""
    parts = dict(fields(_bytes(content)))
    seconds, nanos = _integer(parts.get(1, 0)), _integer(parts.get(2, 0))
    return None if not parts or (seconds == _ZERO_TIME_S and not nanos) else (seconds, nanos)


def _utc(seconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ProtobufError("a time is out of range") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S").zfill(19)


def _time(content: Content) -> str | None:
    found = _moment(content)
    return None if found is None else f"{_utc(found[0])}Z"


def _micro_time(content: Content) -> str | None:
    found = _moment(content)
    return None if found is None else f"{_utc(found[0])}.{found[1] // 1000 % 1_000_000:06d}Z"


def _int_or_string(content: Content) -> int | str:
    parts = dict(fields(_bytes(content)))
    return _text(parts.get(3, b"")) if parts.get(1, 0) else _int32(parts.get(2, 0))


def _duration(content: Content) -> str:
    part = _first(content)
    return format_duration(_integer(part) if part is not None else 0)


def _raw(content: Content) -> Any:
    """JSON within a message (RawExtension, JSON, FieldsV1), or an object in an envelope of its own."""
    part = _first(content)
    if not part:
        return None
    data = _bytes(part)
    if data.startswith(magic.PROTOBUF):
        return decode_stored(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(f"a raw value is no JSON: {error}") from None


def _with_text(value: Any, content: Content) -> Any:
    sent = _bytes(_first(content) or b"")
    return value if sent.startswith(magic.PROTOBUF) or sent == to_json(value) else raw(value, sent)


_SCALARS: Final[dict[str, Callable[[Content], Any]]] = {
    "string": _text,
    "bool": _bool,
    "int32": _int32,
    "int64": _integer,
    "float64": _float,
    "bytes": _base64,
    "quantity": _quantity,
    "time": _time,
    "microtime": _micro_time,
    "duration": _duration,
    "intOrString": _int_or_string,
}
