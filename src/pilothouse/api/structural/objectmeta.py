"""apiVersion, kind and metadata of embedded resources (x-kubernetes-embedded-resource): their types, unknown fields and rules.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/objectmeta. A schema without embedded resources compiles to None
and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from pilothouse.api import field, metadata, names
from pilothouse.api.codec.decode import DecodeError, decode
from pilothouse.api.field import ErrorList, FieldError
from pilothouse.api.objects import Obj
from pilothouse.api.types import type_named

Visit: TypeAlias = Callable[[Any, str], None]


class Refused(Exception):
    """A value is not of its type; `error` says which."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(str(error))
        self.error = error


def each(schema: Obj, visit: Callable[[Obj, str], None]) -> Visit | None:
    """(value, path) → calls visit(resource, path) for each embedded resource in value; None where there can be none."""
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    properties = {n: v for n, s in (schema.get("properties") or {}).items() if (v := each(s, visit)) is not None}
    known = frozenset(schema.get("properties") or ())
    rest, items = schema.get("additionalProperties"), schema.get("items")
    others = each(rest, visit) if isinstance(rest, dict) else None
    element = each(items, visit) if isinstance(items, dict) else None
    if not (embedded or properties or others or element):
        return None

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            if embedded:
                visit(value, path)
            for name, below in properties.items():
                if name in value:
                    below(value[name], field.child(path, name))
            if others is not None:
                for name in value:
                    if name not in known:
                        others(value[name], f"{path}[{name}]")
        elif isinstance(value, list) and element is not None:
            for i, item in enumerate(value):
                element(item, f"{path}[{i}]")

    return walk


def coercer(schema: Obj) -> Callable[[Any, str, list[str]], None] | None:
    """(value, path, unknown): changes value: embedded metadata in upstream's form; unknown fields of it are appended to unknown.
    Raises Refused."""
    if each(schema, lambda _, __: None) is None:
        return None

    def coerce(value: Any, path: str, unknown: list[str]) -> None:
        walk = each(schema, lambda resource, at: _coerce(resource, at, unknown))
        if walk is not None:
            walk(value, path)

    return coerce


def _coerce(resource: Obj, path: str, unknown: list[str]) -> None:
    for name in ("apiVersion", "kind"):
        if name in resource and not isinstance(resource[name], str):
            raise Refused(field.invalid(field.child(path, name), resource[name], "must be a string"))
    if "metadata" in resource:
        at = field.child(path, "metadata")
        given = resource["metadata"]
        try:
            found, faults = decode(type_named("#meta/v1.ObjectMeta"), {} if given is None else given, strict=True)
        except DecodeError as e:
            raise Refused(field.invalid(at, given, str(e))) from None
        resource["metadata"] = found
        unknown += [f"{at}.{fault.split(chr(34))[1]}" for fault in faults if chr(34) in fault]


def validator(schema: Obj) -> Callable[[Any, str], ErrorList] | None:
    """(value, path) → what is wrong with the embedded resources in value."""
    if each(schema, lambda _, __: None) is None:
        return None

    def judge(value: Any, path: str) -> ErrorList:
        found: ErrorList = []
        walk = each(schema, lambda resource, at: found.extend(_validate(resource, at)))
        if walk is not None:
            walk(value, path)
        return found

    return judge


def _validate(resource: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    found += [field.required(field.child(path, name)) for name in ("apiVersion", "kind") if name not in resource]
    if "apiVersion" in resource:
        found += _api_version(resource["apiVersion"], field.child(path, "apiVersion"))
    if "kind" in resource:
        found += _kind(resource["kind"], field.child(path, "kind"))
    if "metadata" in resource:
        found += _metadata(resource["metadata"], field.child(path, "metadata"))
    return found


def _api_version(value: Any, path: str) -> ErrorList:
    if not isinstance(value, str):
        return [field.invalid(path, value, "must be a string")]
    if not value:
        return [field.invalid(path, value, "must not be empty")]
    return [field.invalid(path, value, f"unexpected GroupVersion string: {value}")] if value.count("/") > 1 else []


def _kind(value: Any, path: str) -> ErrorList:
    if not isinstance(value, str):
        return [field.invalid(path, value, "must be a string")]
    if not value:
        return [field.invalid(path, value, "must not be empty")]
    wrong = names.dns1035_label(value.lower())
    why = "may have mixed case, but should otherwise match: " + ",".join(wrong)
    return [field.invalid(path, value, why)] if wrong else []


def _metadata(value: Any, path: str) -> ErrorList:
    try:
        meta, _ = decode(type_named("#meta/v1.ObjectMeta"), {} if value is None else value)
    except DecodeError as e:
        return [field.invalid(path, value, str(e))]
    meta = {**meta, "name": meta.get("name") or "fakename"}
    found = metadata.validate(meta, bool(meta.get("namespace")), lambda name, _: names.path_segment(name), core=False)
    return [replace(e, field=path + e.field.removeprefix("metadata")) for e in found]
