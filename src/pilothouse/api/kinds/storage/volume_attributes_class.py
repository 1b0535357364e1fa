"""VolumeAttributesClass."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.storage.parameters import parameters, provisioner_form
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def _validate(obj: Obj) -> ErrorList:
    driver = obj.get("driverName") or ""
    found = [] if driver else [field.required("driverName")]
    found += provisioner_form(driver, "driverName")
    return found + parameters(obj.get("parameters"), "parameters", may_be_empty=False)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    if (new.get("driverName") or "") != (old.get("driverName") or ""):
        found.append(field.forbidden("driverName", "updates to driverName are forbidden."))
    if not same(new.get("parameters"), old.get("parameters")):
        found.append(field.forbidden("parameters", "updates to parameters are forbidden."))
    return found + _validate(new)


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), obj.get("driverName") or "", age(obj, now_s)]


KIND = Kind(names_are_checked_again=True, validate=_validate, validate_update=_validate_update, row=_row)
