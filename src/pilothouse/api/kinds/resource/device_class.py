"""DeviceClass."""

from __future__ import annotations

from typing import Any

from pilothouse.api import names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import (
    fields,
    in_bytes,
    max_items,
    optional,
    optional_pointer,
    struct,
)
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import first_generation, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.resource import claims, forms
from pilothouse.api.kinds.resource.forms import each
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_RULES = fields({"spec": [struct(fields({
    "selectors": [optional, max_items(claims.SELECTORS_MAX)],
    "config": [
        optional, max_items(claims.CONFIG_MAX), declarative.each(struct(fields({"opaque": claims.OPAQUE}))),
    ],
    "extendedResourceName": [optional_pointer, forms.extended_name],
}))]})  # fmt: skip


def _own(obj: Obj, old: Obj | None) -> ErrorList:
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    unchanged = old is not None and same(spec.get("selectors"), before.get("selectors"))
    found = claims.selectors(spec.get("selectors"), "spec.selectors", stored=unchanged)
    stored = old is not None and same(spec.get("config"), before.get("config"))
    found += each(
        spec.get("config"), claims.CONFIG_MAX, lambda c, p: claims.configuration(c, p, stored=stored), "spec.config"
    )
    name = spec.get("extendedResourceName")
    return found if name is None else found + forms.extended_resource(name, "spec.extendedResourceName")


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj, None), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new, old), _RULES, new, old)


def _prepare_update(new: Obj, old: Obj) -> None:
    next_generation(new, old, "spec")


def _name(text: str, prefix: bool) -> list[str]:
    return [] if prefix else in_bytes(names.dns1123_subdomain(text))


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), age(obj, now_s)]


KIND = Kind(
    prepare_create=first_generation,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    name=_name,
    row=_row,
    reset_fields=frozenset(),
)
