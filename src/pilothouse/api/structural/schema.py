"""What a structural schema does to a value: removes what it does not list, fills in defaults, and judges the rest.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema (pruning, defaulting) and kube-openapi's validation messages.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj, copy

_OWN: Final = frozenset({"apiVersion", "kind", "metadata"})
_TYPES: Final = {"object": dict, "array": list, "string": str, "boolean": bool}


def prune(value: Any, schema: Obj, *, root: bool = False) -> None:
    """Changes value: takes out fields that the schema does not list."""
    if isinstance(value, dict):
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            for name, below in (schema.get("properties") or {}).items():
                if name in value:
                    prune(value[name], below)
            return
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        for name in list(value):
            if root and name in _OWN:
                continue
            if name in properties:
                prune(value[name], properties[name])
            elif isinstance(rest, dict):
                prune(value[name], rest)
            elif not rest:
                del value[name]
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            prune(item, schema["items"])


def default(value: Any, schema: Obj) -> None:
    """Changes value: fills in what was left out, and nulls that may not be."""
    if isinstance(value, dict):
        for name, below in (schema.get("properties") or {}).items():
            if "default" in below and (name not in value or (value[name] is None and not below.get("nullable"))):
                value[name] = copy(below["default"])
            if name in value:
                default(value[name], below)
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict):
            for name in value:
                if name not in (schema.get("properties") or {}):
                    default(value[name], rest)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            default(item, schema["items"])


def validate(value: Any, schema: Obj, path: str = "") -> ErrorList:
    found: ErrorList = []
    if value is None:
        if not schema.get("nullable") and schema.get("type"):
            found.append(_type(path, value, schema["type"]))
        return found
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            found.append(_type(path, value, "integer,string"))
        return found
    kind = schema.get("type")
    if kind and not _is(kind, value):
        return [_type(path, value, kind)]
    if schema.get("enum") is not None and value not in schema["enum"]:
        found.append(field.not_supported(path, value, [str(v) for v in schema["enum"]]))
    if isinstance(value, str):
        found += _string(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found += _number(value, schema, path)
    elif isinstance(value, list):
        found += _list(value, schema, path)
    elif isinstance(value, dict):
        found += _object(value, schema, path)
    for one in schema.get("allOf") or ():
        found += validate(value, one, path)
    if schema.get("anyOf") and not any(not validate(value, one, path) for one in schema["anyOf"]):
        found.append(field.invalid(path, value, f"{path} in body must validate at least one schema (anyOf)"))
    if schema.get("oneOf") and sum(not validate(value, one, path) for one in schema["oneOf"]) != 1:
        found.append(field.invalid(path, value, f"{path} in body must validate one and only one schema (oneOf)"))
    if schema.get("not") and not validate(value, schema["not"], path):
        found.append(field.invalid(path, value, f"{path} in body must not validate the schema (not)"))
    return found


def _is(kind: str, value: Any) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    wanted = _TYPES.get(kind)
    return wanted is None or isinstance(value, wanted)


def _name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _type(path: str, value: Any, wanted: str) -> field.FieldError:
    what = _name(value)
    return field.invalid(path, what, f'{path} in body must be of type {wanted}: "{what}"')


def _string(value: str, schema: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if most is not None and len(value) > most:
        found.append(field.FieldError(field.ErrorType.TOO_LONG, path, field.OMIT, f"may not be more than {most} bytes"))
    if least is not None and len(value) < least:
        found.append(field.invalid(path, value, f"{path} in body should be at least {least} chars long"))
    if pattern is not None and not _matches(pattern, value):
        found.append(field.invalid(path, value, f"{path} in body should match '{pattern}'"))
    return found


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(value) is not None


def _number(value: float, schema: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        found.append(field.invalid(path, value, f"{path} in body should be {word} {most}"))
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        found.append(field.invalid(path, value, f"{path} in body should be {word} {least}"))
    if step and value % step:
        found.append(field.invalid(path, value, f"{path} in body should be a multiple of {step}"))
    return found


def _list(value: list[Any], schema: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    least, most, items = schema.get("minItems"), schema.get("maxItems"), schema.get("items")
    if most is not None and len(value) > most:
        found.append(field.too_many(path, len(value), most))
    if least is not None and len(value) < least:
        found.append(field.invalid(path, value, f"{path} in body should have at least {least} items"))
    if isinstance(items, dict):
        for i, item in enumerate(value):
            found += validate(item, items, f"{path}[{i}]")
    seen: list[Any] = []
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if schema.get("x-kubernetes-list-type") in ("set", "map"):
        for i, item in enumerate(value):
            identity = {k: item.get(k) for k in keys} if keys and isinstance(item, dict) else item
            if identity in seen:
                found.append(field.duplicate(f"{path}[{i}]", identity))
            seen.append(identity)
    return found


def _object(value: Obj, schema: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for name in schema.get("required") or ():
        if name not in value:
            found.append(field.required(field.child(path, name)))
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        found.append(field.too_many(path, len(value), most))
    if least is not None and len(value) < least:
        found.append(field.invalid(path, value, f"{path} in body should have at least {least} properties"))
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, inner in value.items():
        if name in properties:
            if not path and name in _OWN:
                continue
            found += validate(inner, properties[name], field.child(path, name))
        elif isinstance(rest, dict):
            found += validate(inner, rest, field.child(path, name))
    return found
