"""IPAddress."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses, declarative
from pilothouse.api.kinds.common.declarative import (
    covered,
    fields,
    immutable,
    required,
    required_pointer,
    struct,
)  # fmt: skip
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_REFERENCE = fields({"resource": [required], "name": [required]})
_RULES = fields({"spec": [struct(fields({"parentRef": [required_pointer, immutable, struct(_REFERENCE)]}))]})


def _name(text: str, _prefix: bool) -> list[str]:
    return [e.detail for e in addresses.ip(text, "")]


def _own(obj: Obj) -> ErrorList:
    ref = (obj.get("spec") or {}).get("parentRef")
    path = "spec.parentRef"
    if ref is None:
        return [covered(field.required(path))]
    group = ref.get("group") or ""
    found = [field.invalid(f"{path}.group", group, d) for d in names.dns1123_subdomain(group)] if group else []
    for name in ("resource", "name", "namespace"):
        text = ref.get(name) or ""
        if not text and name != "namespace":
            found.append(covered(field.required(f"{path}.{name}")))
        found += [field.invalid(f"{path}.{name}", text, d) for d in names.path_segment(text)]
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    ref = (obj.get("spec") or {}).get("parentRef")
    shown = "<none>"
    if ref is not None:
        resource, group = ref.get("resource") or "", ref.get("group") or ""
        shown = (f"{resource}.{group}" if group else resource).lower()
        if ref.get("namespace"):
            shown += f"/{ref['namespace']}"
        shown += f"/{ref.get('name') or ''}"
    return [meta(obj).get("name", ""), shown, age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    validate=_validate,
    validate_update=_validate_update,
    name=_name,
    random_names=False,
    row=_row,
)
