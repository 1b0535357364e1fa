"""Node.

Source: upstream's registry/core/node/strategy.go, ValidateNode* and its printer.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import keep, update_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ROLE: Final = "node-role.kubernetes.io/"
_OLD_ROLE: Final = "kubernetes.io/role"


def _default(obj: Obj) -> None:
    status = obj.get("status")
    if isinstance(status, dict) and status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")


def _validate(obj: Obj) -> ErrorList:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    found: ErrorList = []
    if spec.get("taints"):
        found += taints(spec["taints"], "spec.taints")
    seen: set[str] = set()
    for i, address in enumerate(status.get("addresses") or ()):
        key = f"{address.get('type')}/{address.get('address')}"
        if key in seen:
            found.append(field.duplicate(f"status.addresses[{i}]", address))
        seen.add(key)
    return found + _networks(spec)


def _networks(spec: Obj) -> ErrorList:
    networks = spec.get("podCIDRs") or []
    found: ErrorList = []
    for text in networks:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            found.append(field.invalid("spec.podCIDRs", text, why))
    if len(networks) > 2:
        found.append(field.invalid("spec.podCIDRs", networks, "may specify no more than one CIDR for each IP family"))
    return found


def taints(given: list[Any], path: str) -> ErrorList:
    found: ErrorList = []
    unique: set[tuple[str, str]] = set()
    for i, taint in enumerate(given):
        at = f"{path}[{i}]"
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        found += [field.invalid(f"{at}.key", key, d) for d in names.qualified_name(key)]
        found += [field.invalid(f"{at}.value", value, d) for d in names.label_value(value)]
        if not effect:
            found.append(field.required(f"{at}.effect"))
        elif effect not in _EFFECTS:
            found.append(field.not_supported(f"{at}.effect", effect, _EFFECTS))
        if (key, effect) in unique:
            duplicate = field.duplicate(at, taint)
            duplicate.detail = "taints must be unique by key and effect pair"
            found.append(duplicate)
        unique.add((key, effect))
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found = _validate(new)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        found.append(field.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        found.append(
            field.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
        )
    return found


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
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    shown = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if spec.get("unschedulable"):
        shown += ",SchedulingDisabled"
    info = status.get("nodeInfo") or {}
    addresses = status.get("addresses") or ()

    def address(kind: str) -> str:
        return next((a.get("address") for a in addresses if a.get("type") == kind), None) or "<none>"

    def known(name: str) -> str:
        return info.get(name) or "<unknown>"

    return [
        meta(obj).get("name", ""), shown, _roles(obj), age(obj, now_s), info.get("kubeletVersion") or "",
        address("InternalIP"), address("ExternalIP"), known("osImage"), known("kernelVersion"), known("containerRuntimeVersion"),
    ]  # fmt: skip


KIND = Kind(
    default=_default,
    prepare_update=_prepare_update,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    fields=lambda obj: {"spec.unschedulable": "true" if (obj.get("spec") or {}).get("unschedulable") else "false"},
    field_names=frozenset({"spec.unschedulable"}),
)
