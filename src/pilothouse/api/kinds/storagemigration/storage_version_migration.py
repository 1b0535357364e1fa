"""StorageVersionMigration."""

from __future__ import annotations

import re
from typing import Any

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.conditions import conditions, is_true
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import drop_status, update_status, update_without_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta


def _validate(obj: Obj) -> ErrorList:
    found: ErrorList = []
    target = (obj.get("spec") or {}).get("resource") or {}
    resource, group = target.get("resource") or "", target.get("group") or ""
    if not resource:
        found.append(field.required("spec.resource.resource", "resource is required to be set"))
    else:
        details = names.dns1035_label(resource)
        if details:
            found.append(field.invalid("spec.resource.resource", resource, ",".join(details)))
    if group:
        details = names.dns1123_subdomain(group)
        if details:
            found.append(field.invalid("spec.resource.group", group, ",".join(details)))
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found = _validate(new)
    if not same(new.get("spec"), old.get("spec")):
        value = internal("storagemigration/v1.StorageVersionMigrationSpec", new.get("spec") or {})
        found.append(field.invalid("spec", value, "field is immutable"))
    return found


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status, before = new.get("status") or {}, old.get("status") or {}
    path = "status.conditions"
    version, was = status.get("resourceVersion") or "", before.get("resourceVersion") or ""
    found: ErrorList = []
    if version and not re.fullmatch("0|[1-9][0-9]*", version):
        detail = f"resource version is not well formed: {version}"
        found.append(field.invalid("status.resourceVersion", version, detail))
    states = status.get("conditions")
    found += conditions(states, path)
    if was and was != version:
        found.append(field.invalid("status.resourceVersion", version, "field is immutable"))
    done, failed = is_true(states, "Succeeded"), is_true(states, "Failed")
    if done and failed:
        detail = "Both success and failed conditions cannot be true at the same time"
        found.append(field.invalid(path, states, detail))
    if is_true(before.get("conditions"), "Succeeded") and not done:
        found.append(field.invalid(path, states, "Success condition cannot be set to false once it is true"))
    if is_true(before.get("conditions"), "Failed") and not failed:
        found.append(field.invalid(path, states, "Failed condition cannot be set to false once it is true"))
    return found


def _row(obj: Obj, _now_s: float) -> list[Any]:
    target = (obj.get("spec") or {}).get("resource") or {}
    resource, group = target.get("resource") or "", target.get("group") or ""
    status = "Unknown"
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Running", "Failed", "Succeeded"):
            status = condition["type"]
    return [meta(obj).get("name", ""), f"{resource}.{group}" if group else resource, status]


KIND = Kind(
    status_reset_fields=frozenset({"metadata", "spec"}),
    prepare_create=drop_status,
    prepare_update=update_without_generation,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    unconditional_update=False,
)
