"""PriorityClass."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import first_generation, immutable
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_USER_MAX: Final = 1_000_000_000
_SYSTEM: Final = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def _default(obj: Obj) -> None:
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def _validate(obj: Obj) -> ErrorList:
    found: ErrorList = []
    name, value = meta(obj).get("name") or "", obj.get("value") or 0
    if name.startswith("system-"):
        wrong = _system(name, value, bool(obj.get("globalDefault")))
        if wrong:
            detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {wrong}"
            found.append(field.forbidden("metadata.name", detail))
    elif value > _USER_MAX:
        detail = f"maximum allowed value of a user defined priority is {_USER_MAX}"
        found.append(field.forbidden("value", detail))
    policy = obj.get("preemptionPolicy")
    if policy == "":
        found.append(field.required("preemptionPolicy"))
    elif policy not in (None, "PreemptLowerPriority", "Never"):
        found.append(field.not_supported("preemptionPolicy", policy, ["PreemptLowerPriority", "Never"]))
    return found


def _system(name: str, value: int, global_default: bool) -> str:
    wanted = _SYSTEM.get(name)
    if wanted is None:
        return f"{name} is not a known system priority class"
    if wanted != value:
        return f"value of {name} PriorityClass must be {wanted}"
    return f"globalDefault of {name} PriorityClass must be false" if global_default else ""


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        found.append(field.forbidden("value", "may not be changed in an update."))
    return found + immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [
        meta(obj).get("name", ""),
        obj.get("value") or 0,
        bool(obj.get("globalDefault")),
        age(obj, now_s),
        obj.get("preemptionPolicy") or "",
    ]


KIND = Kind(
    default=_default,
    prepare_create=first_generation,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
)
