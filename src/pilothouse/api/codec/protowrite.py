"""Objects as upstream's protobuf, byte for byte: fields in the order of their numbers, plain ones written even when empty.

Each type is compiled to a closure when first written. Source: gogo/protobuf's rules for the generated.proto files, the
hand-written messages of apimachinery (times, quantities, int-or-string), and runtime/serializer/protobuf's envelope.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

import orjson

from pilothouse.api import raw
from pilothouse.api.codec import magic
from pilothouse.api.codec.gotime import parse_duration
from pilothouse.api.codec.protobuf import UNION, wrapped
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import Field, Shape, Type, type_of
from pilothouse.clock.timestamps import parse_time

Write: TypeAlias = Callable[[Any], bytes]  # a value → what follows its tag


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SIZES: Final = tuple(_varint(i) for i in range(2048))


def _length(size: int) -> bytes:
    if size < 2048:
        return _SIZES[size]
    return bytes((size & 0x7F | 0x80, size >> 7)) if size < 1 << 14 else _varint(size)


def _sized(data: bytes) -> bytes:
    return _length(len(data)) + data


def encode(obj: Obj) -> bytes | None:
    """An object that says its kind, in the envelope; None where the kind has no protobuf."""
    gvk = GVK(*split_api_version(obj.get("apiVersion", "")), obj.get("kind", ""))
    # The oldest documents of discovery leave their version out.
    type_ = type_of(gvk if gvk.version else GVK("", "v1", gvk.kind))
    return None if type_ is None else envelope(gvk, message(type_, obj))


def message(type_: Type, obj: Obj) -> bytes:
    """An object's message, without its kind."""
    return _compiled(type_)(obj)


def envelope(gvk: GVK, raw: bytes) -> bytes:
    head = b"\x0a" + _sized(gvk.api_version.encode()) + b"\x12" + _sized(gvk.kind.encode())
    return b"".join((magic.PROTOBUF, b"\x0a", _sized(head), b"\x12", _sized(raw), b"\x1a\x00\x22\x00"))


def list_envelope(gvk: GVK, meta: Obj, items_bytes: int) -> tuple[bytes, bytes]:
    """What stands before and after the items of a list, whose messages with their heads take so many bytes."""
    start = b"\x0a" + _sized(_compiled(_list_meta())(meta))
    head = b"\x0a" + _sized(gvk.api_version.encode()) + b"\x12" + _sized(gvk.kind.encode())
    size = _length(len(start) + items_bytes)
    return b"".join((magic.PROTOBUF, b"\x0a", _sized(head), b"\x12", size, start)), b"\x1a\x00\x22\x00"


def item_head(size: int) -> bytes:
    """What stands before an item of a list, a message of that size."""
    return b"\x12" + _length(size)


@cache
def _list_meta() -> Type:
    type_ = type_of(GVK("", "v1", "ConfigMapList"))
    assert type_ is not None
    return type_.fields["metadata"].type


def watch_frame(type_: str, enveloped: bytes) -> bytes:
    """One event of a watch: its length, then the event with the object in it."""
    event = b"".join((b"\x0a", _sized(type_.encode()), b"\x12", _sized(b"\x0a" + _sized(enveloped))))
    return struct.pack(">I", len(event)) + event


@cache
def _compiled(type_: Type) -> Write:
    """The message of a struct."""
    if type_.name.startswith(UNION):
        return _union(type_)
    # (name; empty for an embedded struct, tag, how its value is written, what is written where there is none, list or map)
    plan: list[tuple[str, bytes, Write, bytes, Shape]] = []

    def prepare() -> None:
        numbered = sorted((f for f in type_.wire if f.proto), key=lambda f: f.proto)
        plan.extend(_step(type_, field) for field in numbered)

    def write(obj: Any) -> bytes:
        if not plan:
            prepare()
        parts: list[bytes] = []
        get = obj.get
        for name, tag, inner, absent, shape in plan:
            if not name:
                parts += (tag, inner(obj))
                continue
            value = get(name)
            if value is None:
                if absent:
                    parts.append(absent)
            elif shape is Shape.LIST:
                for one in value:
                    parts += (tag, inner(one))
            elif shape is Shape.MAP:
                for key in sorted(value):
                    parts += (tag, _sized(b"\x0a" + _sized(key.encode("utf-8", "replace")) + inner(value[key])))
            else:
                parts += (tag, inner(value))
        return b"".join(parts)

    return write


def _step(type_: Type, field: Field) -> tuple[str, bytes, Write, bytes, Shape]:
    kind = field.type
    if kind.shape is Shape.MAP and kind.element is not None:
        inner, prefix = _nullable(kind.element), _tag(2, kind.element)
        return field.name, _tag(field.proto, kind), lambda v: prefix + inner(v), b"", Shape.MAP
    if kind.shape is Shape.LIST and kind.element is not None and not wrapped(type_, field.name):
        return field.name, _tag(field.proto, kind.element), _nullable(kind.element), b"", Shape.LIST
    tag, write = _tag(field.proto, kind), _writer(kind)
    absent = b""
    if not field.pointer and not field.inline and kind.shape is not Shape.LIST and kind.name != "bytes":
        absent = tag + _empty(kind)
    return "" if field.inline else field.name, tag, write, absent, Shape.STRUCT


def _nullable(type_: Type) -> Write:
    write, empty = _writer(type_), _empty(type_)
    return lambda v: empty if v is None else write(v)


def _empty(type_: Type) -> bytes:
    """What is written for a value that was never set."""
    if type_.shape is Shape.STRUCT:
        return _sized(_compiled(type_)({}))
    return {
        "quantity": b"\x03\x0a\x010", "intOrString": b"\x06\x08\x00\x10\x00\x1a\x00", "duration": b"\x02\x08\x00",
        "float64": bytes(8),
    }.get(type_.name, b"\x00")  # fmt: skip


def _tag(number: int, type_: Type) -> bytes:
    wire = {"bool": 0, "int32": 0, "int64": 0, "float64": 1}.get(type_.name, 2)
    return _varint(number << 3 | wire)


def _writer(type_: Type) -> Write:
    if type_.shape is Shape.STRUCT:
        return lambda v: _sized(_compiled(type_)(v))
    if type_.shape is Shape.LIST and type_.element is not None:
        # A list that stands where protobuf has only messages: field 1, repeated.
        tag, inner = _tag(1, type_.element), _nullable(type_.element)
        return lambda v: _sized(b"".join([tag + inner(one) for one in v]))
    if type_.shape is Shape.ANY:
        write = raw.text_of if type_.name == "rawExtension" else orjson.dumps
        return lambda v: _sized(b"\x0a" + _sized(write(v)))
    return _SCALARS[type_.name]


def _union(type_: Type) -> Write:
    """A schema, or what stands for one."""
    schema = type_.fields["Schema"].type
    numbers = {name: field.proto for name, field in type_.fields.items()}

    def tag(name: str) -> bytes:
        return _varint(numbers[name] << 3 | (0 if name == "Allows" else 2))

    def write(value: Any) -> bytes:
        if isinstance(value, bool):
            return tag("Allows") + _bool(value)
        if isinstance(value, list):
            name = "JSONSchemas" if "JSONSchemas" in numbers else "Property"
            one = _writer(schema) if name == "JSONSchemas" else _string
            return b"".join([tag(name) + one(v) for v in value])
        if not isinstance(value, dict) or (not value and "Allows" not in numbers):
            return b""
        allowed = tag("Allows") + _bool(True) if "Allows" in numbers else b""
        return allowed + tag("Schema") + _sized(_compiled(schema)(value))

    return write


def _string(value: str) -> bytes:
    return _sized(value.encode("utf-8", "replace"))


def _bool(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _integer(value: int) -> bytes:
    return _SIZES[value] if 0 <= value < 2048 else _varint(value)


def _float(value: float) -> bytes:
    return struct.pack("<d", value)


def _bytes(value: str) -> bytes:
    return _sized(base64.b64decode(value))


def _quantity(value: Any) -> bytes:
    return _sized(b"\x0a" + _string(str(value)))


def _moment(seconds: int, nanos: int) -> bytes:
    return _sized(b"\x08" + _varint(seconds) + b"\x10" + _varint(nanos))


def _time(value: str) -> bytes:
    return _moment(int(parse_time(value) // 1), 0)


def _micro_time(value: str) -> bytes:
    whole, _, fraction = value.removesuffix("Z").partition(".")
    return _moment(int(parse_time(f"{whole}Z")), int(fraction[:6].ljust(6, "0") or "0") * 1000)


def _duration(value: str) -> bytes:
    return _sized(b"\x08" + _varint(parse_duration(value)))


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return _sized(b"\x08\x01\x10\x00\x1a" + _string(value))
    return _sized(b"\x08\x00\x10" + _integer(value) + b"\x1a\x00")


_SCALARS: Final[dict[str, Write]] = {
    "string": _string,
    "bool": _bool,
    "int32": _integer,
    "int64": _integer,
    "float64": _float,
    "bytes": _bytes,
    "quantity": _quantity,
    "time": _time,
    "microtime": _micro_time,
    "duration": _duration,
    "intOrString": _int_or_string,
}
