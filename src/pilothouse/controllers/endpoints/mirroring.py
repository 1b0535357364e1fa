"""EndpointSlices that mirror the Endpoints which users write for services without a selector.

Source: upstream's pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.client import RateLimiter, WorkQueue
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.endpoints import membership as m
from pilothouse.controllers.endpoints.endpoints import repack
from pilothouse.controllers.endpoints.packing import EndpointKey, Plan, in_order, key_of_endpoint, key_of_ports
from pilothouse.controllers.endpoints.slices import (
    BY_SERVICE,
    MANAGED_LABEL,
    SERVICE_LABEL,
    generate_name,
    managed_by,
    service_key,
)
from pilothouse.controllers.endpoints.staleness import OwnWrites
from pilothouse.controllers.pods import controller_ref, is_deleted, is_namespace_terminating

_MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
_SKIP_LABEL: Final = "endpointslice.kubernetes.io/skip-mirror"
_NOT_COPIED: Final = (m.TRIGGER_ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration")
_PER_SUBSET: Final = 1000
_RETRY_FIRST_S: Final = 1.0
_RETRY_MOST_S: Final = 100.0
_CACHE_BEHIND_S: Final = 0.02


class EndpointSliceMirroringController(Controller):
    name = "endpointslice-mirroring-controller"
    component = "endpoint-slice-mirroring-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.queue = WorkQueue(self.clock, RateLimiter(self.clock, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S))
        self.services = self.informer("", "v1", "services")
        self.endpoints = self.informer("", "v1", "endpoints")
        self.slices = self.informer("discovery.k8s.io", "v1", "endpointslices")
        self.slices.add_index(BY_SERVICE, lambda s: (service_key(s),))
        self._api = self.client.resource("discovery.k8s.io", "v1", "endpointslices")
        self._batch_s: float = context.option("mirroring-endpointslice-updates-batch-period", 0.0)
        self._most: int = context.option("mirroring-max-endpoints-per-subset", _PER_SUBSET)
        self._own = OwnWrites(self.slices)
        self.endpoints.add_handler(self._endpoints_changed, self._endpoints_updated, self._endpoints_changed)
        self.services.add_handler(self._service_changed, self._service_updated, self._service_changed)
        self.slices.add_handler(self._slice_changed, self._slice_updated, self._slice_changed)

    def _endpoints_changed(self, endpoints: Obj) -> None:
        if _is_mirrored(endpoints):
            self.enqueue(endpoints)

    def _endpoints_updated(self, old: Obj, new: Obj) -> None:
        if _is_mirrored(old) or _is_mirrored(new):
            self.enqueue(new)

    def _service_changed(self, service: Obj) -> None:
        if service["spec"].get("selector") is None:
            self.enqueue(service)

    def _service_updated(self, old: Obj, new: Obj) -> None:
        if (old["spec"].get("selector") is None) != (new["spec"].get("selector") is None):
            self.enqueue(new)

    def _slice_changed(self, slice_: Obj) -> None:
        key = service_key(slice_)
        if key and managed_by(slice_, _MANAGER):
            self.enqueue_after(key, self._batch_s)

    def _slice_updated(self, old: Obj, new: Obj) -> None:
        self._slice_changed(new)
        if service_key(old) != service_key(new) or not managed_by(new, _MANAGER):
            self._slice_changed(old)

    async def reconcile(self, key: str) -> None:
        if self._own.unseen(key):
            self.enqueue_after(key, _CACHE_BEHIND_S)
            return
        slices = [s for s in self.slices.lister.by_index(BY_SERVICE, key) if managed_by(s, _MANAGER)]
        slices = self._own.present(key, slices)
        endpoints, service = self.endpoints.lister.by_key(key), self.services.lister.by_key(key)
        wanted = endpoints is not None and _is_mirrored(endpoints) and service is not None
        if not wanted or endpoints is None or service is None or service["spec"].get("selector") is not None:
            await self._write(key, Plan(delete=slices), creating=False)
            return
        plan = self._plan(endpoints, slices)
        plan.recycle()
        await self._write(key, plan, creating=not is_deleted(endpoints))

    def _plan(self, endpoints: Obj, slices: list[Obj]) -> Plan:
        existing: dict[Any, list[Obj]] = {}
        for slice_ in slices:
            existing.setdefault((slice_["addressType"], key_of_ports(slice_.get("ports"))), []).append(slice_)
        wanted: dict[Any, dict[EndpointKey, Obj]] = {}
        ports_of: dict[Any, list[Obj]] = {}
        invalid = skipped = 0
        for subset in repack(endpoints.get("subsets") or []):
            # Endpoints leave an empty name out, slices do not.
            ports = in_order([{**p, "name": p.get("name") or ""} for p in subset.get("ports") or ()])
            added = 0
            for at, ready in (("addresses", True), ("notReadyAddresses", False)):
                for address in subset.get(at) or ():
                    family = m.family(address.get("ip") or "")
                    if added >= self._most:
                        skipped += 1
                    elif not family:
                        invalid += 1
                    else:
                        added += 1
                        group = (family, key_of_ports(ports))
                        ports_of[group] = ports
                        endpoint = _endpoint(address, ready)
                        wanted.setdefault(group, {})[key_of_endpoint(endpoint)] = endpoint
        if invalid:
            text = f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"
            self.recorder.event(endpoints, "Warning", "InvalidIPAddress", text)
        if skipped:
            text = (
                f"A max of {self._most} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{skipped + invalid} addresses were skipped"
            )
            self.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        plan = Plan()
        for group, found in wanted.items():
            here = existing.pop(group, [])
            plan.delete += here[1:]
            new = _slice(endpoints, group[0], ports_of[group], list(found.values())[: self._most])
            if not here:
                plan.create.append(new)
            elif not _is_same(here[0], new):
                metadata = {**here[0]["metadata"], **{k: new["metadata"][k] for k in _OURS}}
                plan.update.append({**new, "metadata": metadata})
        for rest in existing.values():
            plan.delete += rest
        return plan

    async def _write(self, key: str, plan: Plan, *, creating: bool) -> None:
        for new in plan.create if creating else ():
            try:
                self._own.wrote(key, await self._api.create(new))
            except StatusError as error:
                if is_namespace_terminating(error):
                    return
                raise
        for new in plan.update:
            self._own.wrote(key, await self._api.update(new))
        for old in plan.delete:
            try:
                await self._api.delete(old["metadata"]["name"], old["metadata"]["namespace"])
            except StatusError as error:
                if error.code != 404:
                    raise
            self._own.deleted(key, old)


_OURS: Final = ("labels", "annotations", "ownerReferences")


def _is_mirrored(endpoints: Obj) -> bool:
    metadata = endpoints["metadata"]
    return (metadata.get("labels") or {}).get(_SKIP_LABEL) != "true" and m.LEADER_ANNOTATION not in (
        metadata.get("annotations") or {}
    )


def _endpoint(address: Obj, ready: bool) -> Obj:
    out: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "targetRef", "nodeName"):
        if address.get(field):
            out[field] = address[field]
    return out


def _slice(endpoints: Obj, family: str, ports: list[Obj], found: list[Obj]) -> Obj:
    metadata = endpoints["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _NOT_COPIED}
    labels = {**(metadata.get("labels") or {}), SERVICE_LABEL: metadata["name"], MANAGED_LABEL: _MANAGER}
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family, "ports": ports,
        "endpoints": found,
        "metadata": {
            "generateName": generate_name(metadata["name"]), "namespace": metadata["namespace"], "labels": labels,
            "annotations": annotations,
            "ownerReferences": [controller_ref({"apiVersion": "v1", "kind": "Endpoints", **endpoints})],
        },
    }  # fmt: skip


def _is_same(old: Obj, new: Obj) -> bool:
    if any((old["metadata"].get(field) or {}) != (new["metadata"][field] or {}) for field in _OURS):
        return False

    def told(slice_: Obj) -> dict[EndpointKey, tuple[Any, ...]]:
        return {
            key_of_endpoint(e): (e.get("nodeName"), (e.get("conditions") or {}).get("ready"))
            for e in slice_.get("endpoints") or ()
        }

    return told(old) == told(new)
