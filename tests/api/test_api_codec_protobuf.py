"""Protobuf: the bytes are upstream's, and what is written is read again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api import scheme
from pilothouse.api.codec import protobuf, protowrite
from pilothouse.api.codec.decode import decode
from pilothouse.api.codec.protobuf import ProtobufError
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Shape, Type, type_of

_SAMPLES: dict[str, Any] = {
    "string": "text", "bool": True, "int32": -5, "int64": 1 << 40, "float64": 1.5, "bytes": "AAH/", "quantity": "1500m",
    "time": "2020-01-02T03:04:05Z", "microtime": "2020-01-02T03:04:05.000006Z", "duration": "1h0m5s", "intOrString": "50%",
    "rawExtension": {"a": [1, None]}, "json": {"b": "c"}, "fieldsV1": {"f:spec": {}}, "any": 1,
}  # fmt: skip


def filled(type_: Type, depth: int = 0) -> Any:
    """A value with everything set, down to some depth."""
    if type_.shape is Shape.STRUCT:
        if type_.name.startswith(protobuf.UNION):
            return True if type_.name.endswith("Bool") else {"type": "string"}
        if depth > 7:
            return {}
        out: dict[str, Any] = {}
        for field in type_.wire:
            if field.inline and field.proto:
                out |= filled(field.type, depth + 1)
            elif field.proto:  # what has no number does not travel: the kind of an object within another
                out[field.name] = filled(field.type, depth + 1)
        return out
    if type_.element is not None:
        return [filled(type_.element, depth)] * 2 if type_.shape is Shape.LIST else {"k": filled(type_.element, depth)}
    return _SAMPLES[type_.name]


@pytest.mark.parametrize("group", sorted({r.gvr.group for r in scheme.resources().values()}))
def test_every_kind_comes_back_as_it_went(group: str) -> None:
    for resource in scheme.resources().values():
        type_ = type_of(resource.gvk)
        if resource.gvr.group != group or type_ is None:
            continue
        for sent in (filled(type_), {}):
            obj, _ = decode(type_, sent, stored=True)
            obj = {"kind": resource.kind, "apiVersion": resource.gvr.api_version} | {
                k: v for k, v in obj.items() if k not in ("kind", "apiVersion")
            }
            written = protowrite.encode(obj)
            assert written is not None
            assert protobuf.decode_stored(written) == obj, resource.gvk


def test_the_bytes() -> None:
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"b": "2", "a": "1"}}
    meta = b"\n\x01x\x12\x00\x1a\x00\x22\x00*\x002\x008\x00B\x00"
    entries = b"\x12\x06\n\x01a\x12\x011\x12\x06\n\x01b\x12\x012"
    message = b"\n" + bytes([len(meta)]) + meta + entries
    head = b"\n\x0f\n\x02v1\x12\tConfigMap"
    assert protowrite.encode(obj) == b"k8s\0" + head + b"\x12" + bytes([len(message)]) + message + b"\x1a\x00\x22\x00"


def test_lists_and_watches() -> None:
    type_ = type_of(GVK("", "v1", "ConfigMap"))
    assert type_ is not None
    items = [protowrite.message(type_, {"metadata": {"name": n}}) for n in "ab"]
    gvk = GVK("", "v1", "ConfigMapList")
    parts = b"".join(protowrite.item_head(len(item)) + item for item in items)
    start, end = protowrite.list_envelope(gvk, {"resourceVersion": "5"}, len(parts))
    written = start + parts + end
    assert protobuf.decode_stored(written) == {
        "kind": "ConfigMapList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "5"},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
    }
    frame = protowrite.watch_frame("ADDED", b"k8s\0...")
    assert frame == b"\0\0\0\x12\n\x05ADDED\x12\x09\n\x07k8s\0..."


def wrapped(message: bytes) -> bytes:
    return protowrite.envelope(GVK("", "v1", "ConfigMap"), message)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty data"),
        (b"k8s", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0", "empty body"),
        (b"k8s\0\xff\xff\xff", "unexpected EOF"),
        (wrapped(b"\x0a\xff\x01"), "unexpected EOF"),
        (wrapped(b"\x10\x05"), "proto: wrong wireType = 0 for field Data"),
        (wrapped(b"\x08\x01"), "proto: wrong wireType = 0 for field ObjectMeta"),
        (wrapped(b'{"kind":"ConfigMap"}'), "unexpected EOF"),
        (wrapped(b"\x0a\x03\x0a\x01\xff"), "proto: a string contains invalid UTF-8"),
    ],
)
def test_what_is_no_message(data: bytes, why: str) -> None:
    with pytest.raises(ProtobufError) as caught:
        protobuf.decode_stored(data)
    assert str(caught.value) == why


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in ("Pod", "ConfigMap", "Event"):
        try:
            protobuf.decode_stored(protowrite.envelope(GVK("", "v1", kind), data))
        except ProtobufError as error:
            assert str(error)
