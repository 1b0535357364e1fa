"""PodGroup."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.conditions import conditions
from pilothouse.api.kinds.common.declarative import fields, immutable, long_name, optional_pointer, struct
from pilothouse.api.kinds.common.strategy import drop_status, keep, update_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.scheduling import groups
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_SPEC: Final = fields({
    "parentCompositePodGroupName": [optional_pointer, immutable, long_name],
    "workloadRef": [immutable, optional_pointer, struct(groups.REFERENCE)], **groups.rules(mode_is_required=True),
})  # fmt: skip
_RULES: Final = fields({"spec": [struct(_SPEC)]})


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("disruptionMode") is None:
        spec["disruptionMode"] = {"single": {}}
    if spec.get("preemptionPolicy") is None and gates.is_open("PodGroupPreemptionPolicy"):
        spec["preemptionPolicy"] = "PreemptLowerPriority"


def _prepare_create(obj: Obj) -> None:
    drop_status(obj)
    groups.drop_gated(obj.get("spec") or {}, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    groups.drop_gated(new.get("spec") or {}, old.get("spec"))


def _prepare_status(new: Obj, old: Obj) -> None:
    update_status(new, old)
    if not (old.get("spec") or {}).get("resourceClaims") and not gates.is_open("DRAWorkloadResourceClaims"):
        (new.get("status") or {}).pop("resourceClaimStatuses", None)


def _validate(obj: Obj) -> ErrorList:
    found: ErrorList = []
    spec = obj.get("spec") or {}
    if spec.get("parentCompositePodGroupName") is not None and spec.get("workloadRef") is None:
        found.append(field.required("spec.workloadRef", "must be set when parentCompositePodGroupName is set"))
    return declarative.merged(found, _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged([], _RULES, new, old)


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    status = new.get("status") or {}
    claims = {groups.named(c) for c in (new.get("spec") or {}).get("resourceClaims") or ()}
    found = conditions(status.get("conditions"), "status.conditions")
    for i, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        if groups.named(claim) not in claims:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            found.append(field.invalid(f"status.resourceClaimStatuses[{i}].name", groups.named(claim), detail))
    return found


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    states = {c.get("type"): c for c in (obj.get("status") or {}).get("conditions") or ()}
    status = "Pending"
    if "PodGroupInitiallyScheduled" in states:
        done = states["PodGroupInitiallyScheduled"].get("status") == "True"
        status = "Scheduled" if done else "Unschedulable"
    if "DisruptionTarget" in states:
        status = states["DisruptionTarget"].get("reason") or ""
    policy = "Basic" if (spec.get("schedulingPolicy") or {}).get("gang") is None else "Gang"
    reference = spec.get("workloadRef")
    workload = "<none>" if reference is None else reference.get("workloadName") or ""
    return [meta(obj).get("name", ""), policy, workload, status, age(obj, now_s)]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    unconditional_update=False,
    status_reset_fields=frozenset({"metadata", "spec"}),
)
