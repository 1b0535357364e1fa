"""OpenAPI documents as protobuf: gnostic's `openapi.v2.Document` and `openapi.v3.Document`, which client-go asks for.

Source: the message numbers of gnostic-models' OpenAPIv2.proto and OpenAPIv3.proto. Values of any form (extensions, enums,
defaults) are written as YAML there; here as JSON, which is YAML too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import orjson

from pilothouse.api.objects import Obj

Encode: TypeAlias = Callable[[int, Any], bytes]  # (field number, JSON value) → the field
Message: TypeAlias = Callable[[Any], bytes]  # JSON value → the message

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@cache
def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _block(number: int, data: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(data)) + data


def _text(number: int, value: Any) -> bytes:
    return _block(number, str(value).encode()) if value else b""


def _texts(number: int, value: Any) -> bytes:
    return b"".join(_block(number, str(v).encode()) for v in value)


def _flag(number: int, value: Any) -> bytes:
    return _tag(number, _VARINT) + b"\x01" if value else b""


def _whole(number: int, value: Any) -> bytes:
    return _tag(number, _VARINT) + _varint(int(value) & (1 << 64) - 1) if value else b""


def _double(number: int, value: Any) -> bytes:
    return _tag(number, _FIXED64) + struct.pack("<d", value) if value else b""


def _yaml(value: Any) -> bytes:
    return _block(2, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _any(number: int, value: Any) -> bytes:
    return _block(number, _yaml(value))


def _anys(number: int, value: Any) -> bytes:
    return b"".join(_any(number, v) for v in value)


def _one(message: Message) -> Encode:
    return lambda number, value: _block(number, message(value))


def _many(message: Message) -> Encode:
    return lambda number, value: b"".join([_block(number, message(v)) for v in value])


def _named(message: Message, inner: int = 1) -> Encode:
    """A map, as a message of named values."""
    return lambda number, value: _block(number, names(value, message, inner))


def names(value: dict[str, Any], message: Message, inner: int = 1) -> bytes:
    return b"".join([_block(inner, _text(1, name) + _block(2, message(v))) for name, v in value.items()])


def _wrapped(number: int, message: Message) -> Message:
    """One choice of several."""
    return lambda value: _block(number, message(value))


def _message(fields: dict[str, tuple[int, Encode]], extensions: int = 0) -> Message:
    def encode(value: Obj) -> bytes:
        parts = []
        for name, inner in value.items():
            known = fields.get(name)
            if known is not None:
                parts.append(known[1](known[0], inner))
            elif extensions and name.startswith("x-"):
                parts.append(_block(extensions, _text(1, name) + _any(2, inner)))
        return b"".join(parts)

    return encode


def _later(name: str) -> Message:
    """A message that is defined below."""
    return lambda value: globals()[name](value)


# The part of schemas whose numbers are consecutive in both versions, from multipleOf on.
def _limits(first: int) -> dict[str, tuple[int, Encode]]:
    kinds: list[tuple[str, Encode]] = [
        ("multipleOf", _double), ("maximum", _double), ("exclusiveMaximum", _flag), ("minimum", _double),
        ("exclusiveMinimum", _flag), ("maxLength", _whole), ("minLength", _whole), ("pattern", _text),
        ("maxItems", _whole), ("minItems", _whole), ("uniqueItems", _flag), ("maxProperties", _whole),
        ("minProperties", _whole), ("required", _texts), ("enum", _anys),
    ]  # fmt: skip
    return {name: (first + i, encode) for i, (name, encode) in enumerate(kinds)}


_external_docs = _message({"description": (1, _text), "url": (2, _text)}, 3)

# Version 2


def _additional_2(value: Any) -> bytes:
    return _flag(2, value) if isinstance(value, bool) else _block(1, schema_2(value))


def _type_2(value: Any) -> bytes:
    return _texts(1, [value] if isinstance(value, str) else value)


schema_2 = _message(
    {
        "$ref": (1, _text), "format": (2, _text), "title": (3, _text), "description": (4, _text), **_limits(6),
        "additionalProperties": (21, _one(_additional_2)), "type": (22, _one(_type_2)),
        "items": (23, _one(_wrapped(1, _later("schema_2")))), "allOf": (24, _many(_later("schema_2"))),
        "properties": (25, _named(_later("schema_2"))), "externalDocs": (29, _one(_external_docs)), "example": (30, _any),
    },
    31,
)  # fmt: skip
_body_2 = _message(
    {
        "description": (1, _text),
        "name": (2, _text),
        "in": (3, _text),
        "required": (4, _flag),
        "schema": (5, _one(schema_2)),
    }
)
_query_2 = _message(
    {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text), "type": (6, _text),
        "uniqueItems": (20, _flag),
    }
)  # fmt: skip
_path_2 = _message(
    {
        "required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text), "type": (5, _text),
        "uniqueItems": (19, _flag),
    }
)  # fmt: skip


def parameter_2(value: Obj) -> bytes:
    if value["in"] == "body":
        return _block(1, _body_2(value))
    return _block(2, _block(3, _query_2(value)) if value["in"] == "query" else _block(4, _path_2(value)))


def _parameter_item_2(value: Obj) -> bytes:
    return _block(2, _text(1, value["$ref"])) if "$ref" in value else _block(1, parameter_2(value))


_response_2 = _message({"description": (1, _text), "schema": (2, _one(_wrapped(1, schema_2)))})
_operation_2 = _message(
    {
        "tags": (1, _texts), "description": (3, _text), "operationId": (5, _text), "produces": (6, _texts),
        "consumes": (7, _texts), "parameters": (8, _many(_parameter_item_2)),
        "responses": (9, _named(_wrapped(1, _response_2))), "schemes": (10, _texts),
    },
    13,
)  # fmt: skip
path_item_2 = _message(
    {
        **{m: (2 + i, _one(_operation_2)) for i, m in enumerate(("get", "put", "post", "delete", "options", "head", "patch"))},
        "parameters": (9, _many(_parameter_item_2)),
    },
    10,
)  # fmt: skip
_api_key_2 = _message({"type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text)})
_info_2 = _message({"title": (1, _text), "version": (2, _text)})


def document_2(
    version: str, paths: dict[str, bytes], definitions: dict[str, bytes], parameters: dict[str, bytes], security: Obj
) -> bytes:
    """`openapi.v2.Document`, of parts that are encoded already."""

    def encoded(value: bytes) -> bytes:
        return value

    return b"".join((
        _text(1, "2.0"), _block(2, _info_2({"title": "Kubernetes", "version": version})),
        _block(8, names(paths, encoded, 2)), _block(9, names(definitions, encoded)), _block(10, names(parameters, encoded)),
        *(_block(12, _block(1, _text(1, name) + _block(2, b""))) for name in security),
        _block(13, names(security, _wrapped(2, _api_key_2))),
    ))  # fmt: skip


# Version 3


def _or_reference(message: Message) -> Message:
    return lambda value: _block(2, _text(1, value["$ref"])) if "$ref" in value else _block(1, message(value))


def _additional_3(value: Any) -> bytes:
    return _flag(2, value) if isinstance(value, bool) else _block(1, _schema_3(value))


def _default_3(number: int, value: Any) -> bytes:
    """Only scalars have a form there."""
    if isinstance(value, bool):
        return _block(number, _tag(2, _VARINT) + bytes((value,)))
    if isinstance(value, (int, float)):
        return _block(number, _tag(1, _FIXED64) + struct.pack("<d", value))
    return _block(number, _block(3, value.encode())) if isinstance(value, str) else b""


_plain_schema_3 = _message(
    {
        "nullable": (1, _flag), "externalDocs": (6, _one(_external_docs)), "example": (7, _any), "title": (9, _text),
        **_limits(10), "type": (25, _text), "allOf": (26, _many(_later("_schema_3"))),
        "oneOf": (27, _many(_later("_schema_3"))), "anyOf": (28, _many(_later("_schema_3"))),
        "not": (29, _one(_later("_plain_schema_3"))), "items": (30, _one(_wrapped(1, _later("_schema_3")))),
        "properties": (31, _named(_later("_schema_3"))), "additionalProperties": (32, _one(_additional_3)),
        "default": (33, _default_3), "description": (34, _text), "format": (35, _text),
    },
    36,
)  # fmt: skip
_schema_3 = _or_reference(_plain_schema_3)
_parameter_3 = _message(
    {
        "name": (1, _text), "in": (2, _text), "description": (3, _text), "required": (4, _flag),
        "schema": (10, _one(_schema_3)),
    }
)  # fmt: skip
_content_3 = _named(_message({"schema": (1, _one(_schema_3))}))
_body_3 = _message({"description": (1, _text), "content": (2, _content_3), "required": (3, _flag)})
_response_3 = _message({"description": (1, _text), "content": (3, _content_3)})
_operation_3 = _message(
    {
        "tags": (1, _texts), "description": (3, _text), "operationId": (5, _text),
        "parameters": (6, _many(_or_reference(_parameter_3))), "requestBody": (7, _one(_or_reference(_body_3))),
        "responses": (8, _named(_or_reference(_response_3), 2)),
    },
    13,
)  # fmt: skip
_path_item_3 = _message(
    {
        **{m: (4 + i, _one(_operation_3)) for i, m in enumerate(("get", "put", "post", "delete", "options", "head", "patch"))},
        "parameters": (13, _many(_or_reference(_parameter_3))),
    },
    14,
)  # fmt: skip
_scheme_3 = _message({"type": (1, _text), "description": (2, _text), "name": (3, _text), "in": (4, _text)})
document_3 = _message(
    {
        "openapi": (1, _text), "info": (2, _one(_message({"title": (1, _text), "version": (6, _text)}))),
        "paths": (4, _named(_path_item_3)),
        "components": (
            5, _one(_message({"schemas": (1, _named(_schema_3)), "securitySchemes": (7, _named(_wrapped(1, _scheme_3)))})),
        ),
    }
)  # fmt: skip
