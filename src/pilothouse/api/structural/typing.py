"""The `Type` of a structural schema, by which field management takes objects apart.

Source: structured-merge-diff's schema of an OpenAPI document: x-kubernetes-list-type, -list-map-keys and -map-type; what is
preserved without a schema is taken apart as it is.
"""

from __future__ import annotations

from pilothouse.api.objects import Obj
from pilothouse.api.types import UNTYPED, Field, Shape, Type, type_named

_ANY = Type("any", Shape.ANY)
_SCALARS = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}
_OWN = ("kind", "apiVersion", "metadata")


def of_root(schema: Obj) -> Type:
    return _struct(schema, "CustomResource", resource=True)


def _struct(schema: Obj, name: str, *, resource: bool = False) -> Type:
    def build() -> list[Field]:
        found = [_field(n, s) for n, s in (schema.get("properties") or {}).items() if not (resource and n in _OWN)]
        if resource:
            found += [Field(n, type_named("string")) for n in _OWN[:2]]
            found.append(Field("metadata", type_named("#meta/v1.ObjectMeta")))
        return found

    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    map_type = str(schema.get("x-kubernetes-map-type") or "")
    return Type(name, Shape.STRUCT, build=build, preserve_unknown=keep, map_type=map_type)


def _field(name: str, schema: Obj) -> Field:
    return Field(
        name, of(schema), list_type=schema.get("x-kubernetes-list-type") or "",
        list_map_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()), omitempty=True, default=schema.get("default"),
    )  # fmt: skip


def of(schema: Obj) -> Type:
    kind, rest, items = schema.get("type"), schema.get("additionalProperties"), schema.get("items")
    map_type = str(schema.get("x-kubernetes-map-type") or "")
    if kind == "array":
        return Type("[]any", Shape.LIST, element=of(items) if isinstance(items, dict) else _ANY)
    if kind == "object" and isinstance(rest, dict):
        return Type("map[string]any", Shape.MAP, element=of(rest), map_type=map_type)
    if kind == "object" or schema.get("properties") or schema.get("x-kubernetes-preserve-unknown-fields"):
        name = "object" if kind == "object" else UNTYPED
        return _struct(schema, name, resource=bool(schema.get("x-kubernetes-embedded-resource")))
    return type_named(_SCALARS[kind]) if kind in _SCALARS else _ANY
