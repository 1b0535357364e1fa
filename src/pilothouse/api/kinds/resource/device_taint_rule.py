"""DeviceTaintRule."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.conditions import conditions
from pilothouse.api.kinds.common.declarative import fields, struct
from pilothouse.api.kinds.common.strategy import create, update, update_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.resource import devices, forms
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age, since

_CONDITIONS_MAX: Final = 8
_RULES = fields({"spec": [struct(fields({"taint": [struct(devices.TAINT_RULES)]}))]})


def _own(obj: Obj, old: Obj | None) -> ErrorList:
    spec = obj.get("spec") or {}
    selector, found = spec.get("deviceSelector") or {}, []
    judges = (("driver", forms.driver), ("pool", forms.pool), ("device", forms.label))
    for name, judge in judges:
        if selector.get(name) is not None:
            found += judge(selector[name], f"spec.deviceSelector.{name}")
    before = ((old or {}).get("spec") or {}).get("taint") if old is not None else None
    return found + devices.taint(spec.get("taint") or {}, "spec.taint", before)


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj, None), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new, old), _RULES, new, old)


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    listed = (new.get("status") or {}).get("conditions")
    found = conditions(listed, "status.conditions")
    if len(listed or ()) > _CONDITIONS_MAX:
        found.append(field.too_many("status.conditions", len(listed or ()), _CONDITIONS_MAX))
    return found


def _stamp(new: Obj, old: Obj | None, now: str) -> None:
    taint = (new.get("spec") or {}).get("taint")
    if not taint:
        return
    before = ((old or {}).get("spec") or {}).get("taint") or {}
    if (
        old is not None
        and before.get("effect") != taint.get("effect")
        and before.get("timeAdded") == taint.get("timeAdded")
    ):
        taint["timeAdded"] = now
    taint.setdefault("timeAdded", now)


def _row(obj: Obj, now_s: float) -> list[Any]:
    taint = (obj.get("spec") or {}).get("taint") or {}
    added = since(taint.get("timeAdded"), now_s) if taint.get("timeAdded") else "<unknown>"
    return [
        meta(obj).get("name", ""), taint.get("key") or "", taint.get("value") or "", taint.get("effect") or "", added,
        age(obj, now_s),
    ]  # fmt: skip


KIND = Kind(
    prepare_create=create,
    prepare_update=update,
    prepare_status=update_status,
    stamp=_stamp,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
)
