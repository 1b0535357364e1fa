"""Whether a schema is structural, and what is wrong where it is not.

Source: KEP-1693 and upstream's apiextensions-apiserver/pkg/apiserver/schema (convert.go, validation.go, complete.go). A schema is
a JSONSchemaProps of apiextensions.k8s.io/v1 as a dict, decoded: without what is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj
from pilothouse.api.structural import regexp

_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_UNSUPPORTED: Final = (
    ("id", "id"), ("$schema", "schema"), ("$ref", "$ref"), ("patternProperties", "patternProperties"),
    ("dependencies", "dependencies"), ("additionalItems", "additionalItems"), ("definitions", "definitions"),
)  # fmt: skip
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_EMPTY_LEVEL: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
# What a schema inside allOf, anyOf, oneOf and not may not say, in upstream's order.
_FORBIDDEN_INSIDE: Final = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)


def unconvertible(schema: Obj) -> str:
    """Why it cannot be told whether a schema is structural; nothing where it can."""
    for name, shown in _UNSUPPORTED:
        if schema.get(name) or (name == "additionalItems" and name in schema):
            return f"OpenAPIV3Schema '{shown}' is not supported"
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
    if isinstance(schema.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return next((why for below in _below(schema) if (why := unconvertible(below))), "")


def _below(schema: Obj) -> Iterator[Obj]:
    if schema.get("not") is not None:
        yield schema["not"]
    for junctor in _JUNCTORS:
        yield from schema.get(junctor) or ()
    if schema.get("items") is not None:
        yield schema["items"]
    yield from (schema.get("properties") or {}).values()
    if isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]


def validate(path: str, schema: Obj) -> ErrorList:
    """What keeps a convertible schema from being structural, sorted by text as upstream sorts it."""
    return sorted(_invariants(schema, "root", path) + _completeness(schema, schema, path, path), key=str)


def is_structural(schema: Obj) -> bool:
    return not unconvertible(schema) and not validate("", schema)


def _invariants(schema: Obj, level: str, path: str) -> ErrorList:
    found: ErrorList = []
    kind, properties = schema.get("type") or "", schema.get("properties") or {}
    rest, embedded = schema.get("additionalProperties"), bool(schema.get("x-kubernetes-embedded-resource"))
    preserves = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    either = bool(schema.get("x-kubernetes-int-or-string"))
    if schema.get("items") is not None:
        found += _invariants(schema["items"], "item", f"{path}.items")
    elif kind == "array":
        found.append(field.required(f"{path}.items", "must be specified"))
    for name, below in properties.items():
        found += _invariants(below, "field", f"{path}.properties[{name}]")
    if rest is not None:
        if level == "root":
            found.append(field.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
        if isinstance(rest, dict):
            found += _invariants(rest, "field", f"{path}.additionalProperties")
    if either and preserves:
        at = f"{path}.x-kubernetes-preserve-unknown-fields"
        found.append(field.invalid(at, True, "must be false if x-kubernetes-int-or-string is true"))
    if either and embedded:
        at = f"{path}.x-kubernetes-embedded-resource"
        found.append(field.invalid(at, True, "must be false if x-kubernetes-int-or-string is true"))
    found += _value_validation(schema, path, schema.get("anyOf") == _INT_OR_STRING, _all_of_int_or_string(schema))
    found += _type(schema, level, path)
    if embedded and rest is not None:
        at = f"{path}.additionalProperties"
        found.append(field.forbidden(at, "must not be used if x-kubernetes-embedded-resource is set"))
    if level == "root" and kind not in ("", "object"):
        found.append(field.invalid(f"{path}.type", kind, "must be object at the root"))
    if level == "root" or embedded:
        for name in ("kind", "apiVersion"):
            below = properties.get(name)
            if below is not None and below.get("type") != "string":
                found.append(
                    field.invalid(f"{path}.properties[{name}].type", below.get("type") or "", "must be string")
                )
        below = properties.get("metadata")
        if below is not None and below.get("type") != "object":
            found.append(field.invalid(f"{path}.properties[metadata].type", below.get("type") or "", "must be object"))
    if level == "root" and "metadata" in properties and not _only_names(properties["metadata"]):
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        found.append(field.forbidden(f"{path}.properties[metadata]", why))
    if embedded and not preserves and not properties:
        why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        found.append(field.required(f"{path}.properties", why))
    return found


def _type(schema: Obj, level: str, path: str) -> ErrorList:
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-embedded-resource") and kind != "object":
        why = "must be object if x-kubernetes-embedded-resource is true"
        return [field.invalid(f"{path}.type", kind, why) if kind else field.required(f"{path}.type", why)]
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    return [] if kind or free else [field.required(f"{path}.type", _EMPTY_LEVEL[level])]


def _only_names(schema: Obj) -> bool:
    rest = {k: v for k, v in schema.items() if k not in ("type", "default")}
    if rest.get("properties") and set(rest["properties"]) <= {"name", "generateName"}:
        del rest["properties"]
    return not any(v or v is False or v == 0 for v in rest.values())


def _all_of_int_or_string(schema: Obj) -> bool:
    clauses: list[Obj] = schema.get("allOf") or []
    return bool(clauses) and clauses[0].get("anyOf") == _INT_OR_STRING


def _value_validation(schema: Obj, path: str, skip_any_of: bool, skip_first_of_all: bool) -> ErrorList:
    found: ErrorList = []
    for junctor in _JUNCTORS:
        if junctor == "anyOf" and skip_any_of:
            continue
        for i, below in enumerate(schema.get(junctor) or ()):
            skip = junctor == "allOf" and skip_first_of_all and i == 0
            found += _nested(below, f"{path}.{junctor}[{i}]", skip)
    if schema.get("not") is not None:
        found += _nested(schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern and (wrong := regexp.error_of(pattern)):
        found.append(
            field.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {wrong}")
        )
    return found


def _nested(schema: Obj, path: str, skip_any_of: bool = False) -> ErrorList:
    found = _value_validation(schema, path, skip_any_of, False)
    if schema.get("items") is not None:
        found += _nested(schema["items"], f"{path}.items")
    properties = schema.get("properties") or {}
    for name, below in properties.items():
        found += _nested(below, f"{path}.properties[{name}]")
    for name, why in _FORBIDDEN_INSIDE:
        said = schema.get(name)
        if (
            said
            or (isinstance(said, dict) and name == "additionalProperties")
            or (name == "default" and said is not None)
        ):
            found.append(field.forbidden(f"{path}.{name}", why))
    if "metadata" in properties:
        found.append(field.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    return found


def _completeness(clause: Obj, schema: Obj | None, at: str, said_at: str) -> ErrorList:
    """What allOf, anyOf, oneOf and not speak of is defined outside of them."""
    if schema is None:
        return [field.required(at, f"because it is defined in {said_at}")]
    found: ErrorList = []
    if clause.get("not") is not None:
        found += _nested_completeness(clause["not"], schema, at, f"{said_at}.not")
    for junctor in _JUNCTORS:
        for i, below in enumerate(clause.get(junctor) or ()):
            found += _nested_completeness(below, schema, at, f"{said_at}.{junctor}[{i}]")
    return found


def _nested_completeness(clause: Obj, schema: Obj | None, at: str, said_at: str) -> ErrorList:
    found = _completeness(clause, schema, at, said_at)
    if schema is None:
        return found
    if clause.get("items") is not None:
        found += _nested_completeness(clause["items"], schema.get("items"), f"{at}.items", f"{said_at}.items")
    properties = schema.get("properties") or {}
    for name, below in (clause.get("properties") or {}).items():
        place = f"properties[{name}]"
        found += _nested_completeness(below, properties.get(name), f"{at}.{place}", f"{said_at}.{place}")
    return found
