"""Node. What is valid is the business of node_rules.

Source: upstream's registry/core/node/strategy.go and its printer.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.common.strategy import keep, keep_spec
from pilothouse.api.kinds.core import node_rules
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_ROLE: Final = "node-role.kubernetes.io/"
_OLD_ROLE: Final = "kubernetes.io/role"
_GATED: Final = (Gated("InPlacePodVerticalScalingSchedulerPreemption", fields("spec.podPreemptionPolicy")),)
_GATED_STATUS: Final = (Gated("KubeletInUserNamespace", fields("status.nodeInfo.runningInUserNamespace")),)


def _default(obj: Obj) -> None:
    spec, status = obj.get("spec"), obj.get("status")
    if isinstance(spec, dict):
        _pair_networks(spec)
    if isinstance(status, dict) and status.get("capacity") is not None and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])


def _pair_networks(spec: Obj) -> None:
    """podCIDR is the first of podCIDRs; where the two differ it counts."""
    single, several = spec.get("podCIDR"), spec.get("podCIDRs")
    if single and (not several or several[0] != single):
        spec["podCIDRs"] = [single]
    elif several and several[0]:
        spec["podCIDR"] = several[0]


def _prepare_create(obj: Obj) -> None:
    if obj.get("spec"):
        obj["spec"].pop("configSource", None)
    if obj.get("status"):
        obj["status"].pop("config", None)
    drop(_GATED, obj, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    before, spec = old.get("spec") or {}, new.get("spec") or {}
    if before.get("configSource") is None:
        spec.pop("configSource", None)
    drop(_GATED, new, old)


def _prepare_status(new: Obj, old: Obj) -> None:
    keep_spec(new, old)
    if (old.get("status") or {}).get("config") is None and new.get("status"):
        new["status"].pop("config", None)
    drop(_GATED_STATUS, new, old)


def _roles(obj: Obj) -> str:
    found = set()
    for key, value in (meta(obj).get("labels") or {}).items():
        if key.startswith(_ROLE):
            if len(key) > len(_ROLE):
                found.add(key[len(_ROLE) :])
        elif key == _OLD_ROLE and value:
            found.add(value)
    return ",".join(sorted(found)) or "<none>"


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = next((c for c in reversed(status.get("conditions") or ()) if c.get("type") == "Ready"), None)
    shown = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if spec.get("unschedulable"):
        shown += ",SchedulingDisabled"
    info = status.get("nodeInfo") or {}
    addresses = status.get("addresses") or ()
    kernel = info.get("kernelVersion") or "<unknown>"
    if info.get("architecture"):
        kernel += f" ({info['architecture']})"

    def address(kind: str) -> str:
        return next((a.get("address") or "" for a in addresses if a.get("type") == kind), "<none>")

    def known(name: str) -> str:
        return info.get(name) or "<unknown>"

    return [
        meta(obj).get("name", ""), shown, _roles(obj), age(obj, now_s), info.get("kubeletVersion") or "",
        address("InternalIP"), address("ExternalIP"), known("osImage"), kernel, known("containerRuntimeVersion"),
    ]  # fmt: skip


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=node_rules.validate,
    validate_update=node_rules.validate_update,
    validate_status=node_rules.validate_status,
    warnings=node_rules.warnings,
    row=_row,
    fields=lambda obj: {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"},
    field_names=frozenset({"spec.unschedulable"}),
)
