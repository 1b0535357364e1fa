"""ControllerRevision."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.core.podspec.forms import non_negative
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, controller_of, meta
from pilothouse.api.printing import age


def _validate(obj: Obj) -> ErrorList:
    found = non_negative(obj.get("revision"), "revision")
    data = obj.get("data")
    if data is None:
        return [*found, field.required("data", "data is mandatory")]
    if not isinstance(data, dict):
        return [*found, field.required("data", "data must be a valid JSON object")]
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found = non_negative(new.get("revision"), "revision")
    return found + immutable(new.get("data"), old.get("data"), "data")


def _row(obj: Obj, now_s: float) -> list[Any]:
    owner = controller_of(obj)
    shown = "<none>"
    if owner is not None:
        group, slash, _ = (owner.get("apiVersion") or "").partition("/")
        kind = (owner.get("kind") or "").lower()
        shown = f"{kind}.{group}/{owner.get('name') or ''}" if slash else f"{kind}/{owner.get('name') or ''}"
    return [meta(obj).get("name", ""), shown, obj.get("revision") or 0, age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    reset_fields=frozenset(),
)
