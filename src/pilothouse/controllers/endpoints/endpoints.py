"""Endpoints: one object a service, with the addresses of its pods by the ports that they have.

Source: upstream's pkg/controller/endpoint and pkg/api/v1/endpoints.
"""

from __future__ import annotations

import math
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy, key_of
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.endpoints import membership as m
from pilothouse.controllers.endpoints.staleness import OwnWrites
from pilothouse.controllers.pods import is_namespace_terminating, is_ready

_MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
_MANAGER: Final = "endpoint-controller"
_OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
_CAPACITY: Final = 1000
_CACHE_BEHIND_S: Final = 0.02


class EndpointsController(Controller):
    name = "endpoints-controller"
    component = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informer("", "v1", "services")
        self.pods = self.informer("", "v1", "pods")
        self.endpoints = self.informer("", "v1", "endpoints")
        self._api = self.client.resource("", "v1", "endpoints")
        self._batch_s: float = context.option("endpoint-updates-batch-period", 0.0)
        self._triggers = m.TriggerTimes()
        self._own = OwnWrites(self.endpoints)
        self.services.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.endpoints.add_handler(deleted=self.enqueue)
        self.pods.add_handler(
            lambda pod: self._pod_changed(None, pod), self._pod_changed, lambda pod: self._pod_changed(pod, None)
        )

    async def synced(self) -> None:
        """Endpoints whose service went while nobody looked are found here."""
        for endpoints in self.endpoints.lister.list():
            if m.LEADER_ANNOTATION not in (endpoints["metadata"].get("annotations") or {}):
                self.enqueue(endpoints)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for key in sorted(m.services_touched(self.services.lister, old, new)):
            self.enqueue_after(key, self._batch_s)

    async def reconcile(self, key: str) -> None:
        service = self.services.lister.by_key(key)
        if service is None:
            await self._forget(key)
            return
        if not m.has_selector(service):
            return
        if self._own.unseen(key):
            self.enqueue_after(key, _CACHE_BEHIND_S)
            return
        pods = m.pods_of(service, self.pods.lister)
        trigger = self._triggers.next(service, pods)
        subsets = repack(_subsets(service, pods))
        old = self.endpoints.lister.by_key(key)
        if old is not None and _is_right(old, service, subsets):
            return
        metadata = copy(old["metadata"]) if old else {"name": service["metadata"]["name"]}
        metadata.setdefault("namespace", service["metadata"]["namespace"])
        annotations = m.annotated(metadata.get("annotations") or {}, trigger)
        annotations.pop(_OVER_CAPACITY, None)
        subsets, truncated = _truncated(subsets)
        if truncated:
            annotations[_OVER_CAPACITY] = "truncated"
        labels = dict(service["metadata"].get("labels") or {})
        if m.is_ip_set(service):
            labels.pop(m.HEADLESS_LABEL, None)
        else:
            labels[m.HEADLESS_LABEL] = ""
        labels[_MANAGED_BY] = _MANAGER
        metadata["labels"] = labels
        metadata["annotations"] = annotations
        new = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets}
        await self._write(key, new, create=old is None)

    async def _forget(self, key: str) -> None:
        self._triggers.forget(key)
        self._own.forget(key)
        old = self.endpoints.lister.by_key(key)
        if old is None:
            return
        try:
            await self._api.delete(old["metadata"]["name"], old["metadata"]["namespace"])
        except StatusError as error:
            if error.code != 404:
                raise

    async def _write(self, key: str, new: Obj, *, create: bool) -> None:
        try:
            written = await (self._api.create(new) if create else self._api.update(new))
            self._own.wrote(key, written)
        except StatusError as error:
            if create and is_namespace_terminating(error):
                return
            reason = "FailedToCreateEndpoint" if create else "FailedToUpdateEndpoint"
            doing = "create endpoint for service" if create else "update endpoint"
            self.recorder.event(new, "Warning", reason, f"Failed to {doing} {key_of(new)}: {error}")
            raise


def _subsets(service: Obj, pods: list[Obj]) -> list[Obj]:
    """One subset for each pod and port."""
    spec = service["spec"]
    unready_too = bool(spec.get("publishNotReadyAddresses"))
    out: list[Obj] = []
    for pod in pods:
        if not m.has_address(pod, terminating=unready_too):
            continue
        found = m.addresses(pod, _family(service, pod))
        if not found:
            continue
        address: Obj = {"ip": found[0], "nodeName": pod["spec"].get("nodeName") or "", "targetRef": m.target_of(pod)}
        name = m.hostname(pod, service)
        if name:
            address["hostname"] = name
        at = "addresses" if unready_too or is_ready(pod) else "notReadyAddresses"
        if not spec.get("ports"):
            if spec.get("clusterIP") == "None":
                out.append({at: [address]})
            continue
        out += [{at: [address], "ports": [port]} for port in m.ports_of(service, pod)]
    return out


def _family(service: Obj, pod: Obj) -> str:
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return str(spec["ipFamilies"][0])
    if m.is_ip_set(service):
        return m.family(spec["clusterIP"]) or "IPv4"
    return m.family((pod.get("status") or {}).get("podIP") or "") or "IPv4"


def _address_order(address: Obj) -> tuple[str, str]:
    return address["ip"], (address.get("targetRef") or {}).get("uid") or ""


def repack(subsets: list[Obj]) -> list[Obj]:
    """The same in as few subsets as can be: ports that the same addresses have, in the same readiness, come together.
    An address that is not ready for a port in one of `subsets` is not ready for it at all."""
    known: dict[tuple[str, str], Obj] = {}
    by_port: dict[tuple[Any, ...] | None, dict[tuple[str, str], bool]] = {}
    for subset in subsets:
        ports = [
            (p.get("name") or "", p["port"], p.get("protocol"), p.get("appProtocol")) for p in subset.get("ports") or ()
        ]
        for port in ports or (None,):
            ready_of = by_port.setdefault(port, {})
            for at, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(at) or ():
                    where = _address_order(address)
                    known.setdefault(where, address)
                    ready_of[where] = ready_of.get(where, True) and ready
    groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for port, ready_of in by_port.items():
        ports = groups.setdefault(tuple(sorted(ready_of.items())), [])
        if port is not None:
            ports.append(port)
    out = []
    for members, ports in groups.items():
        subset = {}
        for at, ready in (("addresses", True), ("notReadyAddresses", False)):
            found = [known[where] for where, is_so in members if is_so is ready]
            if found:
                subset[at] = found
        if ports:
            subset["ports"] = sorted((_port(*port) for port in ports), key=m.endpoint_port_order)
        out.append(subset)
    return sorted(out, key=lambda s: [m.endpoint_port_order(p) for p in s.get("ports") or ()])


def _port(name: str, port: int, protocol: str | None, app_protocol: str | None) -> Obj:
    out: Obj = {"name": name} if name else {}
    out["port"] = port
    if protocol:
        out["protocol"] = protocol
    if app_protocol is not None:
        out["appProtocol"] = app_protocol
    return out


def _is_right(old: Obj, service: Obj, subsets: list[Obj]) -> bool:
    metadata = old["metadata"]
    labels = metadata.get("labels") or {}
    wanted = service["metadata"].get("labels") or {}
    ours = {k: v for k, v in labels.items() if k not in (m.HEADLESS_LABEL, _MANAGED_BY)}
    if labels.get(_MANAGED_BY) != _MANAGER or ours != {k: v for k, v in wanted.items() if k != m.HEADLESS_LABEL}:
        return False
    if _OVER_CAPACITY in (metadata.get("annotations") or {}) or _size(old.get("subsets") or []) > _CAPACITY:
        return _comparable(old.get("subsets") or []) == _comparable(_truncated(subsets)[0])
    return _comparable(old.get("subsets") or []) == _comparable(subsets)


def _comparable(subsets: list[Obj]) -> list[Obj]:
    return repack([_without_versions(subset) for subset in subsets])


def _without_versions(subset: Obj) -> Obj:
    out = dict(subset)
    for at in ("addresses", "notReadyAddresses"):
        if subset.get(at):
            out[at] = [
                {**a, "targetRef": {k: v for k, v in a["targetRef"].items() if k != "resourceVersion"}}
                if a.get("targetRef")
                else a
                for a in subset[at]
            ]
    return out


def _size(subsets: list[Obj]) -> int:
    return sum(len(s.get("addresses") or ()) + len(s.get("notReadyAddresses") or ()) for s in subsets)


def _truncated(subsets: list[Obj]) -> tuple[list[Obj], bool]:
    """At most a thousand addresses, the ready ones first, each subset with its share."""
    if _size(subsets) <= _CAPACITY:
        return subsets, False
    ready = sum(len(s.get("addresses") or ()) for s in subsets)
    at, total, most = "notReadyAddresses", _size(subsets) - ready, _CAPACITY - ready
    if ready > _CAPACITY:
        at, total, most = "addresses", ready, _CAPACITY
    left, out = most, []
    for subset in subsets:
        found = subset.get(at) or []
        share = min(left, math.ceil(len(found) / total * most))
        short = {k: v for k, v in subset.items() if k != "notReadyAddresses"}
        if found[:share]:
            short[at] = found[:share]
        left -= len(found[:share])
        out.append(short)
    return out, True
