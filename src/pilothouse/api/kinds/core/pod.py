"""Pod. Its rules stand in `pod_rules`, what it shares with pod templates in `podspec`."""

from __future__ import annotations

from pilothouse.api import gates, names
from pilothouse.api.kinds.common import addresses
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core import pod_row, pod_rules
from pilothouse.api.kinds.core.pod_status import validate_status
from pilothouse.api.kinds.core.podspec import defaults, podlevel, preparation
from pilothouse.api.kinds.core.podspec.gates import drop_disabled, drop_disabled_status
from pilothouse.api.kinds.core.podspec.qos import qos_class
from pilothouse.api.kinds.core.podspec.warnings import pod_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, copy, meta

_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
_KEPT_STATUS = ("resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses")


def _prepare_create(obj: Obj) -> None:
    spec, metadata = obj.setdefault("spec", {}), obj.setdefault("metadata", {})
    metadata["generation"] = 1
    status: Obj = {"phase": "Pending"}
    obj["status"] = status
    drop_disabled(spec, metadata, None)
    if spec.get("schedulingGates"):
        status["conditions"] = [dict(_GATED)]
    preparation.merge_label_keys(obj)
    preparation.sync_app_armor(obj)
    if gates.is_open("PodLevelResourcesFixDefaulting"):
        podlevel.fill(spec)
    status["qosClass"] = qos_class(spec)


def _stamp(new: Obj, old: Obj | None, now: str) -> None:
    """When the condition of a pod with scheduling gates came to be."""
    if old is None:
        for condition in (new.get("status") or {}).get("conditions") or ():
            condition.setdefault("lastTransitionTime", now)


def _prepare_update(new: Obj, old: Obj) -> None:
    spec, before = new.setdefault("spec", {}), old.get("spec") or {}
    keep(new, old, "status")
    fixed = gates.is_open("PodLevelResourcesFixDefaulting")
    if fixed and spec.get("resources") is None and before.get("resources") is not None:
        spec["resources"] = copy(before["resources"])
    drop_disabled(spec, new.get("metadata"), before)
    count(new, old)


def count(new: Obj, old: Obj) -> None:
    """Changes new: a new generation where the spec changed."""
    if not same(new.get("spec"), old.get("spec")):
        metadata = new.setdefault("metadata", {})
        metadata["generation"] = (metadata.get("generation") or 0) + 1


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    metadata = new.setdefault("metadata", {})
    metadata.pop("deletionTimestamp", None)
    keep(metadata, meta(old), "ownerReferences")
    status, before = new.get("status"), old.get("status") or {}
    if status is None:
        status = new["status"] = {}
    if not status.get("qosClass"):
        keep(status, before, "qosClass")
    for name in _KEPT_STATUS:
        if status.get(name) is None and before.get(name) is not None:
            status[name] = before[name]
    _keep_observed(status, before)
    drop_disabled_status(status, before)


def _keep_observed(status: Obj, before: Obj) -> None:
    """A writer that does not know of observed generations does not clear them."""
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    known: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        known.setdefault(condition.get("type") or "", []).append(condition.get("observedGeneration") or 0)
    for condition in status.get("conditions") or ():
        left = known.get(condition.get("type") or "")
        generation = left.pop(0) if left else 0
        if not condition.get("observedGeneration") and generation:
            condition["observedGeneration"] = generation


def _grace_period_s(pod: Obj, wanted: int | None) -> int:
    """None for a pod that runs nowhere or no more."""
    spec = pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    period = wanted if wanted is not None else spec.get("terminationGracePeriodSeconds") or 0
    return 1 if period < 0 else int(period)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    if old is not None:
        return []
    out = []
    details = names.dns1123_label(meta(new).get("name") or "")
    if details:
        told = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        out.append(f"metadata.name: {told}: [{' '.join(details)}]")
    return out + pod_warnings(new)


def status_warnings(new: Obj) -> list[str]:
    """About addresses in a status."""
    status = new.get("status") or {}
    out = []
    for name in ("podIPs", "hostIPs"):
        for i, one in enumerate(status.get(name) or ()):
            out += addresses.ip_warnings(one.get("ip") or "", f"status.{name}[{i}].ip")
    return out


def _fields(pod: Obj) -> dict[str, str]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ips = status.get("podIPs") or ()
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
        "status.phase": status.get("phase") or "",
        "spec.host": spec.get("nodeName") or "",  # what old clients call it
        "status.podIPs": "",  # known, never told
        "status.podIP": (ips[0].get("ip") or "") if ips else "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


KIND = Kind(
    names_are_checked_again=True,
    status_reset_fields=frozenset({"spec", "metadata.deletionTimestamp", "metadata.ownerReferences"}),
    default=defaults.pod,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    stamp=_stamp,
    validate=pod_rules.validate,
    validate_update=pod_rules.validate_update,
    validate_status=validate_status,
    warnings=_warnings,
    row=pod_row.row,
    row_conditions=pod_row.conditions,
    fields=_fields,
    field_names=frozenset(_fields({})),
    grace_period_s=_grace_period_s,
)
