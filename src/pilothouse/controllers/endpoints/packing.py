"""How a service's endpoints are laid into slices of a limited size with as few writes as can be.

Source: upstream's k8s.io/endpointslice/reconciler.go (KEP-752): what is in a slice stays there; new ones fill slices that are
written anyway, then the fullest slice that has room for all of them, then new slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pilothouse.api.objects import Obj
from pilothouse.controllers.endpoints import membership as m

EndpointKey: TypeAlias = tuple[Any, ...]
PortsKey: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class Plan:
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)

    def add(self, other: Plan) -> None:
        self.create += other.create
        self.update += other.update
        self.delete += other.delete

    def recycle(self) -> None:
        """Rewrites a slice that would be deleted in place of making a new one of its address type."""
        kept = []
        for old in self.delete:
            if self.create and self.create[-1]["addressType"] == old["addressType"]:
                new = self.create.pop()
                self.update.append({**new, "metadata": {**old["metadata"], **_own(new["metadata"])}})
            else:
                kept.append(old)
        self.delete = kept


def _own(metadata: Obj) -> Obj:
    return {k: metadata[k] for k in ("labels", "annotations", "ownerReferences") if k in metadata}


def key_of_endpoint(endpoint: Obj) -> EndpointKey:
    """Two endpoints are the same one where these are equal."""
    target = endpoint.get("targetRef") or {}
    return (
        tuple(sorted(endpoint.get("addresses") or ())),
        endpoint.get("hostname"),
        tuple(target.get(k) or "" for k in ("kind", "namespace", "name", "uid")),
    )


def key_of_ports(ports: list[Obj] | None) -> PortsKey:
    rows = ((p.get("name"), p.get("protocol"), p.get("port"), p.get("appProtocol")) for p in ports or ())
    return tuple(sorted(rows, key=repr))


def in_order(ports: list[Obj]) -> list[Obj]:
    return sorted(ports, key=m.slice_port_order)


def _told(endpoint: Obj) -> tuple[Any, ...]:
    conditions = endpoint.get("conditions") or {}
    return (
        endpoint.get("nodeName"), endpoint.get("zone"),
        conditions.get("ready"), conditions.get("serving"), conditions.get("terminating"),
    )  # fmt: skip


def pack(existing: list[Obj], wanted: dict[EndpointKey, Obj], labels: dict[str, str], new: Obj, most: int) -> Plan:
    """The changes after which the slices `existing` (of equal ports) hold exactly `wanted`. `new` is an empty slice."""
    left = dict(wanted)
    plan = Plan()
    unchanged: list[Obj] = []
    for old in existing:
        kept, changed = [], False
        endpoints = old.get("endpoints") or []
        for endpoint in endpoints:
            found = left.pop(key_of_endpoint(endpoint), None)
            if found is None:
                changed = True
                continue
            kept.append({**found, "hints": endpoint["hints"]} if endpoint.get("hints") else found)
            changed = changed or _told(found) != _told(endpoint)
        if changed and not kept:
            plan.delete.append(old)
        elif changed or (old["metadata"].get("labels") or {}) != labels:
            plan.update.append({**old, "metadata": {**old["metadata"], "labels": labels}, "endpoints": kept})
        else:
            unchanged.append(old)
    rest = list(left.values())
    for slice_ in sorted(plan.update, key=lambda s: -len(s["endpoints"])):
        room = most - len(slice_["endpoints"])
        slice_["endpoints"] += rest[:room]
        rest = rest[max(0, room) :]
    while rest:
        fill = _with_room(unchanged, len(rest), most)
        if fill is not None:
            unchanged.remove(fill)
            plan.update.append({**fill, "endpoints": [*(fill.get("endpoints") or ()), *rest]})
            break
        plan.create.append({**new, "endpoints": rest[:most]})
        rest = rest[most:]
    return plan


def _with_room(slices: list[Obj], count: int, most: int) -> Obj | None:
    """The slice that would be fullest with so many more."""
    if count >= most:
        return None
    fitting = [s for s in slices if len(s.get("endpoints") or ()) + count <= most]
    return max(fitting, key=lambda s: len(s.get("endpoints") or ()), default=None)
