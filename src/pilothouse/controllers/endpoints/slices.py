"""EndpointSlices: up to a hundred endpoints each, by address family and ports.

Source: upstream's pkg/controller/endpointslice and k8s.io/endpointslice (KEP-752).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.names import dns1123_subdomain
from pilothouse.api.objects import Obj, copy
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.endpoints import hints
from pilothouse.controllers.endpoints import membership as m
from pilothouse.controllers.endpoints.packing import (
    EndpointKey,
    Plan,
    PortsKey,
    in_order,
    key_of_endpoint,
    key_of_ports,
    pack,
)
from pilothouse.controllers.endpoints.staleness import OwnWrites
from pilothouse.controllers.pods import controller_ref, is_deleted, is_namespace_terminating, is_ready

SERVICE_LABEL: Final = "kubernetes.io/service-name"
MANAGED_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
BY_SERVICE: Final = "service"
"""The index of slices by the key of their service."""

_MANAGER: Final = "endpointslice-controller.k8s.io"
_ZONE: Final = "topology.kubernetes.io/zone"
_RESERVED: Final = (SERVICE_LABEL, MANAGED_LABEL, m.HEADLESS_LABEL)
_SLICE_CHANGE_DELAY_S: Final = 1.0
_CACHE_BEHIND_S: Final = 0.02
_PER_SLICE: Final = 100


def service_key(slice_: Obj) -> str:
    """The key of the service that a slice is for; empty where it does not say."""
    name = (slice_["metadata"].get("labels") or {}).get(SERVICE_LABEL)
    return f"{slice_['metadata']['namespace']}/{name}" if name else ""


def managed_by(slice_: Obj, manager: str) -> bool:
    return bool((slice_["metadata"].get("labels") or {}).get(MANAGED_LABEL) == manager)


def generate_name(name: str) -> str:
    """What the names of slices begin with."""
    return f"{name}-" if not dns1123_subdomain(f"{name}-a") else name


class EndpointSliceController(Controller):
    name = "endpointslice-controller"
    component = "endpoint-slice-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informer("", "v1", "services")
        self.pods = self.informer("", "v1", "pods")
        self.nodes = self.informer("", "v1", "nodes")
        self.slices = self.informer("discovery.k8s.io", "v1", "endpointslices")
        self.slices.add_index(BY_SERVICE, lambda s: (service_key(s),))
        self._api = self.client.resource("discovery.k8s.io", "v1", "endpointslices")
        self._batch_s: float = context.option("endpoint-updates-batch-period", 0.0)
        self._most: int = context.option("max-endpoints-per-slice", _PER_SLICE)
        self._triggers = m.TriggerTimes()
        self._own = OwnWrites(self.slices)
        self.services.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.slices.add_handler(self._slice_changed, self._slice_updated, self._slice_changed)
        self.pods.add_handler(
            lambda pod: self._pod_changed(None, pod), self._pod_changed, lambda pod: self._pod_changed(pod, None)
        )

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        for key in sorted(m.services_touched(self.services.lister, old, new)):
            self.enqueue_after(key, self._batch_s)

    def _slice_changed(self, slice_: Obj) -> None:
        key = service_key(slice_)
        if key and managed_by(slice_, _MANAGER):
            self.enqueue_after(key, max(_SLICE_CHANGE_DELAY_S, self._batch_s))

    def _slice_updated(self, old: Obj, new: Obj) -> None:
        self._slice_changed(new)
        if service_key(old) != service_key(new) or not managed_by(new, _MANAGER):
            self._slice_changed(old)

    async def reconcile(self, key: str) -> None:
        service = self.services.lister.by_key(key)
        if service is None:
            self._triggers.forget(key)
            self._own.forget(key)
            return
        if not m.has_selector(service):
            return
        if self._own.unseen(key):
            self.enqueue_after(key, _CACHE_BEHIND_S)
            return
        pods = m.pods_of(service, self.pods.lister)
        found = self.slices.lister.by_index(BY_SERVICE, key)
        found = [s for s in found if managed_by(s, _MANAGER) and not is_deleted(s)]
        try:
            await self._apply(key, service, pods, self._own.present(key, found))
        except StatusError as error:
            message = f"Error updating Endpoint Slices for Service {key}: {error}"
            self.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise

    async def _apply(self, key: str, service: Obj, pods: list[Obj], existing: list[Obj]) -> None:
        trigger = self._triggers.next(service, pods)
        wanted = m.families(service)
        failures: list[str] = []
        for family in wanted:
            here = [s for s in existing if s["addressType"] == family]
            await self._write(key, service, self._plan(service, pods, here, family, failures), trigger)
        await self._write(key, service, Plan(delete=[s for s in existing if s["addressType"] not in wanted]), trigger)
        if failures:
            text = failures[0] if len(failures) == 1 else "[" + ", ".join(failures) + "]"
            raise StatusError(500, "", text)

    def _plan(self, service: Obj, pods: list[Obj], existing: list[Obj], family: str, failures: list[str]) -> Plan:
        """What makes the slices of one family right."""
        plan = Plan()
        by_ports: dict[PortsKey, list[Obj]] = {}
        for old in existing:
            if _is_owned(old, service):
                by_ports.setdefault(key_of_ports(old.get("ports")), []).append(old)
            else:
                plan.delete.append(old)
        wanted, ports_of = self._wanted(service, pods, family, failures)
        labels = _labels(service)
        for ports, endpoints in wanted.items():
            new = _empty(service, family, in_order(ports_of[ports]), labels)
            plan.add(pack(by_ports.get(ports, []), endpoints, labels, new, self._most))
        for ports, slices in by_ports.items():
            if ports not in wanted:
                plan.delete += slices
        if len(plan.delete) == len(existing) and not plan.create:
            placeholder = _empty(service, family, [], labels)
            if len(existing) == 1 and _is_placeholder(existing[0], placeholder):
                plan.delete.clear()
            else:
                plan.create.append(placeholder)
        untouched = {s["metadata"]["name"] for s in (*plan.update, *plan.delete)}
        rest = [s for s in existing if s["metadata"]["name"] not in untouched]
        plan.update += hints.assign(service, plan.create, plan.update, rest)
        return plan

    def _wanted(
        self, service: Obj, pods: list[Obj], family: str, failures: list[str]
    ) -> tuple[dict[PortsKey, dict[EndpointKey, Obj]], dict[PortsKey, list[Obj]]]:
        """The endpoints by the ports that they have."""
        unready_too = bool(service["spec"].get("publishNotReadyAddresses"))
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        headless = not service["spec"].get("ports") and service["spec"].get("clusterIP") == "None"
        wanted: dict[PortsKey, dict[EndpointKey, Obj]] = {}
        ports_of: dict[PortsKey, list[Obj]] = {}
        for pod in pods:
            if not m.has_address(pod, terminating=True):
                continue
            ports = [] if headless else m.ports_of(service, pod)
            at = key_of_ports(ports)
            endpoints = wanted.setdefault(at, {})
            ports_of.setdefault(at, ports)
            node_name = pod["spec"].get("nodeName") or ""
            node = self.nodes.lister.get("", node_name)
            if node is None and not unready_too:
                failures.append(
                    f"skipping Pod {pod['metadata']['name']} for Service {namespace}/{name}: Node {node_name} Not Found"
                )
                continue
            endpoint = _endpoint(service, pod, node, family)
            if endpoint["addresses"]:
                endpoints[key_of_endpoint(endpoint)] = endpoint
        return wanted, ports_of

    async def _write(self, key: str, service: Obj, plan: Plan, trigger: str) -> None:
        plan.recycle()
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        for new in plan.create if not is_deleted(service) else ():
            try:
                self._own.wrote(key, await self._api.create(_triggered(new, trigger)))
            except StatusError as error:
                if is_namespace_terminating(error):
                    return
                error.message = f"failed to create EndpointSlice for Service {namespace}/{name}: {error.message}"
                error.args = (error.message,)
                raise
        for new in plan.update:
            try:
                self._own.wrote(key, await self._api.update(_triggered(new, trigger)))
            except StatusError as error:
                which = new["metadata"]["name"]
                error.message = (
                    f"failed to update {which} EndpointSlice for Service {namespace}/{name}: {error.message}"
                )
                error.args = (error.message,)
                raise
        for old in plan.delete:
            try:
                await self._api.delete(old["metadata"]["name"], namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
            self._own.deleted(key, old)


def _endpoint(service: Obj, pod: Obj, node: Obj | None, family: str) -> Obj:
    serving, terminating = is_ready(pod), is_deleted(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    out: Obj = {
        "addresses": m.addresses(pod, family),
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
    }
    name = m.hostname(pod, service)
    if name:
        out["hostname"] = name
    out["targetRef"] = m.target_of(pod)
    if pod["spec"].get("nodeName"):
        out["nodeName"] = pod["spec"]["nodeName"]
    zone = ((node or {}).get("metadata") or {}).get("labels", {}).get(_ZONE)
    if zone:
        out["zone"] = zone
    return out


def _labels(service: Obj) -> dict[str, str]:
    labels = {k: v for k, v in (service["metadata"].get("labels") or {}).items() if k not in _RESERVED}
    if not m.is_ip_set(service):
        labels[m.HEADLESS_LABEL] = ""
    labels[SERVICE_LABEL] = service["metadata"]["name"]
    labels[MANAGED_LABEL] = _MANAGER
    return labels


def _empty(service: Obj, family: str, ports: list[Obj], labels: dict[str, str]) -> Obj:
    metadata = {
        "generateName": generate_name(service["metadata"]["name"]),
        "namespace": service["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [controller_ref({"apiVersion": "v1", "kind": "Service", **service})],
    }
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": family,
        "endpoints": [], "ports": ports,
    }  # fmt: skip


def _is_owned(slice_: Obj, service: Obj) -> bool:
    uid = service["metadata"]["uid"]
    return any(
        r.get("uid") == uid and r.get("kind") == "Service" and r.get("apiVersion") == "v1"
        for r in slice_["metadata"].get("ownerReferences") or ()
    )


def _is_placeholder(slice_: Obj, placeholder: Obj) -> bool:
    return (
        not slice_.get("endpoints")
        and not slice_.get("ports")
        and (slice_["metadata"].get("labels") or {}) == placeholder["metadata"]["labels"]
        and slice_["metadata"].get("ownerReferences") == placeholder["metadata"]["ownerReferences"]
    )


def _triggered(slice_: Obj, trigger: str) -> Obj:
    annotations = m.annotated(slice_["metadata"].get("annotations") or {}, trigger)
    return copy({**slice_, "metadata": {**slice_["metadata"], "annotations": annotations}})  # type: ignore[no-any-return]
