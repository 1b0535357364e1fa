"""What rules (x-kubernetes-validations) can name: the CEL type of a schema, with how many elements its values may have.

Source: upstream's apiserver/pkg/cel/common/schemas.go, pkg/cel/types.go and pkg/cel/escaping.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pilothouse.api.cel.checking import KEYWORDS
from pilothouse.api.cel.sizes import Path, Range, SizeOf
from pilothouse.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    struct,
)
from pilothouse.api.objects import Obj

REQUEST_MAX: Final = 3 * 1024 * 1024
"""Bytes of an object, for estimates."""
_TEXT_MAX: Final = REQUEST_MAX - 2  # without the quotes
_NAME_MAX: Final = 253
_NAME: Final = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*")
_SPECIAL: Final = re.compile(r"__|[-./]")
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
# format → (type, least and most bytes of a value)
_FORMATS: Final = {"duration": (DURATION, 3, 32), "date": (TIMESTAMP, 12, 12), "date-time": (TIMESTAMP, 21, 32)}


def escape(name: str) -> str | None:
    """A field's name as expressions write it; None for one that they cannot write."""
    if name in KEYWORDS:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return None
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], name)


class Declared:
    """`most`: elements, characters or entries of a value. `least`: bytes of the smallest value, as JSON."""

    __slots__ = ("element", "fields", "is_map", "least", "most", "simple")

    def __init__(
        self, simple: Type | None = None, *, least: int, most: int = 0, fields: Mapping[str, Declared] | None = None,
        element: Declared | None = None, is_map: bool = False,
    ) -> None:  # fmt: skip
        self.simple, self.fields, self.element, self.is_map = simple, fields, element, is_map
        self.least, self.most = least, most

    def type(self, name: str, structs: dict[str, Mapping[str, Type]]) -> Type:
        """Puts the structs that it needs into `structs`."""
        if self.simple is not None:
            return self.simple
        if self.element is not None:
            inner = self.element.type(f"{name}.{'@elem' if self.is_map else '@idx'}", structs)
            return map_of(STRING, inner) if self.is_map else list_of(inner)
        assert self.fields is not None
        structs[name] = {field: below.type(f"{name}.{field}", structs) for field, below in self.fields.items()}
        return struct(name)

    def size_of(self) -> SizeOf:
        """Of whatever can be reached from a variable of this type."""

        def size(path: Path, _: Type) -> Range | None:
            here: Declared | None = self if path else None
            for step in path[1:]:
                if here is None:
                    return None
                if step in ("@items", "@values"):
                    here = here.element
                elif step == "@keys":
                    here = _KEY if here.is_map else None
                else:
                    here = (here.fields or {}).get(step)
            return None if here is None else Range(0, here.most)

        return size


_KEY: Final = Declared(STRING, least=2)
_SIMPLE: Final = {
    "boolean": Declared(BOOL, least=4), "number": Declared(DOUBLE, least=1), "integer": Declared(INT, least=1),
}  # fmt: skip


def declared(schema: Obj, *, resource: bool) -> Declared | None:
    """`resource`: of the root of a custom or embedded resource. None: rules cannot see it."""
    length = schema.get("maxLength")
    if schema.get("x-kubernetes-int-or-string"):
        return Declared(DYN, least=1, most=_TEXT_MAX if length is None else max(length, 0) * 4)
    if resource:
        schema = with_metadata(schema)
    kind = schema.get("type")
    if kind == "object":
        rest = schema.get("additionalProperties")
        return _map(schema, rest) if isinstance(rest, dict) else _object(schema)
    if kind == "array":
        return _list(schema)
    if kind == "string":
        return _string(schema, length)
    return _SIMPLE.get(str(kind))


def _list(schema: Obj) -> Declared | None:
    items = schema.get("items")
    element = declared(items, resource=bool(items.get("x-kubernetes-embedded-resource"))) if items is not None else None
    if element is None:
        return None
    most = schema.get("maxItems")
    most = _TEXT_MAX // (element.least + 1) if most is None else max(most, 0)
    return Declared(least=2, most=most, element=element)


def _map(schema: Obj, values: Obj) -> Declared | None:
    element = declared(values, resource=bool(values.get("x-kubernetes-embedded-resource")))
    if element is None:
        return None
    most = schema.get("maxProperties")
    most = _TEXT_MAX // (element.least + 6) if most is None else max(most, 0)
    return Declared(least=2, most=most, element=element, is_map=True)


def _object(schema: Obj) -> Declared:
    fields: dict[str, Declared] = {}
    least, required = 2, schema.get("required") or ()
    for name, below in (schema.get("properties") or {}).items():
        inner = declared(below, resource=bool(below.get("x-kubernetes-embedded-resource")))
        if inner is None:
            continue
        escaped = escape(name)
        if escaped is not None:
            fields[escaped] = inner
        if name in required and below.get("default") is None:
            least += len(name.encode()) + inner.least + 4
    return Declared(least=least, fields=fields)


def _string(schema: Obj, length: int | None) -> Declared:
    form = schema.get("format") or ""
    if form == "byte":
        return Declared(BYTES, least=2, most=_TEXT_MAX if length is None else max(length, 0))
    if form in _FORMATS:
        kind, least, most = _FORMATS[form]
        return Declared(kind, least=least, most=most)
    most = _TEXT_MAX
    if length is not None:
        most = max(length, 0) * 4  # characters of up to four bytes
    elif schema.get("enum"):
        most = max((len(value.encode()) for value in schema["enum"] if isinstance(value, str)), default=0)
    return Declared(STRING, least=2, most=most)


def with_metadata(schema: Obj) -> Obj:
    """With the fields that a resource has whatever its schema says."""
    given = schema.get("properties") or {}
    metadata = (given.get("metadata") or {}).get("properties") or {}

    def is_string(below: Obj | None) -> bool:
        return (below or {}).get("type") == "string"

    if (
        is_string(given.get("kind")) and is_string(given.get("apiVersion"))
        and (given.get("metadata") or {}).get("type") == "object"
        and is_string(metadata.get("name")) and is_string(metadata.get("generateName"))
    ):  # fmt: skip
        return schema

    def name(field: str, most: int) -> Obj:
        own = (metadata.get(field) or {}).get("maxLength")
        return {"type": "string", "maxLength": most if own is None else min(own, most)}

    named = {"name": name("name", _NAME_MAX), "generateName": name("generateName", _NAME_MAX - 1)}
    own = {
        "kind": {"type": "string"},
        "apiVersion": {"type": "string"},
        "metadata": {"type": "object", "properties": named},
    }
    without = {k: v for k, v in schema.items() if k != "items"}
    return {**without, "properties": {**given, **own}}
