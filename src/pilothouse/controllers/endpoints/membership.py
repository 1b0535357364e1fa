"""Which pods belong to a service, which services a changed pod concerns, and what endpoints tell of a pod.

Source: upstream's k8s.io/endpointslice (util, utils.go) and pkg/controller/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from pilothouse.api.objects import Obj, key_of
from pilothouse.client import Lister
from pilothouse.clock import format_time
from pilothouse.controllers.pods import condition, is_deleted, is_ready, is_terminal, time_of

HEADLESS_LABEL: Final = "service.kubernetes.io/headless"
TRIGGER_ANNOTATION: Final = "endpoints.kubernetes.io/last-change-trigger-time"
LEADER_ANNOTATION: Final = "control-plane.alpha.kubernetes.io/leader"

_FNV128: Final = 0x6C62272E07BB014262B821756295C58D
_FNV128_PRIME: Final = 0x0000000001000000000000000000013B


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(k) == v for k, v in selector.items())


def pods_of(service: Obj, pods: Lister) -> list[Obj]:
    selector = service["spec"]["selector"]
    found = pods.list(service["metadata"]["namespace"])
    return [pod for pod in found if selects(selector, pod["metadata"].get("labels") or {})]


def has_selector(service: Obj) -> bool:
    """Its endpoints are ours to keep."""
    spec = service["spec"]
    return spec.get("type") != "ExternalName" and spec.get("selector") is not None


def services_touched(services: Lister, old: Obj | None, new: Obj | None) -> set[str]:
    """The keys of the services whose endpoints may differ by this change of a pod (`old` absent: it is new; `new`: it is
    gone)."""
    pod = new or old
    assert pod is not None
    here = services.list(pod["metadata"]["namespace"])
    if old is None or new is None:
        return _services_of(here, pod)
    changed = _told(old) != _told(new)
    moved = _belonging(old) != _belonging(new)
    if not changed and not moved:
        return set()
    after = _services_of(here, new)
    if not moved:
        return after
    before = _services_of(here, old)
    return before | after if changed else before ^ after


def _services_of(services: Iterable[Obj], pod: Obj) -> set[str]:
    labels = pod["metadata"].get("labels") or {}
    return {
        key_of(s) for s in services if s["spec"].get("selector") is not None and selects(s["spec"]["selector"], labels)
    }


def _told(pod: Obj) -> tuple[object, ...]:
    return (
        pod["metadata"].get("deletionTimestamp"),
        is_ready(pod),
        (pod.get("status") or {}).get("podIPs"),
        is_terminal(pod),
    )


def _belonging(pod: Obj) -> tuple[object, ...]:
    return pod["metadata"].get("labels"), pod["spec"].get("hostname"), pod["spec"].get("subdomain")


def has_address(pod: Obj, *, terminating: bool) -> bool:
    """It may be an endpoint: it has an address and has not ended; with `terminating`, also while it ends."""
    status = pod.get("status") or {}
    if is_terminal(pod) or not (status.get("podIP") or status.get("podIPs")):
        return False
    return terminating or not is_deleted(pod)


@lru_cache(maxsize=65536)
def family(ip: str) -> str:
    """`IPv4`, `IPv6`, or nothing where the text is no address."""
    try:
        return "IPv6" if ip_address(ip).version == 6 else "IPv4"
    except ValueError:
        return ""


def addresses(pod: Obj, wanted: str) -> list[str]:
    found = ((pod.get("status") or {}).get("podIPs")) or ()
    return [ip["ip"] for ip in found if family(ip.get("ip") or "") == wanted]


def families(service: Obj) -> list[str]:
    """The address families whose endpoints the service has; both where a headless one does not say."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return list(dict.fromkeys(spec["ipFamilies"]))
    if is_ip_set(service):
        return [family(spec["clusterIP"]) or "IPv4"]
    return ["IPv4", "IPv6"]


def is_ip_set(service: Obj) -> bool:
    return service["spec"].get("clusterIP") not in (None, "", "None")


def hostname(pod: Obj, service: Obj) -> str | None:
    """The name by which DNS shall know the pod, where it has asked for one under this service."""
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        return str(spec["hostname"])
    return None


def target_of(pod: Obj) -> Obj:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def port_number(pod: Obj, port: Obj) -> int | None:
    """The number of the port in the pod that a service's port means; None where the pod has none of that name."""
    target = port.get("targetPort")
    if not isinstance(target, str):
        return int(target or 0)
    protocol = port.get("protocol") or "TCP"
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for declared in container.get("ports") or ():
            if declared.get("name") == target and (declared.get("protocol") or "TCP") == protocol:
                return int(declared["containerPort"])
    return None


def ports_of(service: Obj, pod: Obj) -> list[Obj]:
    """The service's ports by the pod's numbers, as endpoints name them."""
    out = []
    for port in service["spec"].get("ports") or ():
        number = port_number(pod, port)
        if number is not None:
            found = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol") or "TCP"}
            if port.get("appProtocol") is not None:
                found["appProtocol"] = port["appProtocol"]
            out.append(found)
    return out


@lru_cache(maxsize=4096)
def fnv128a(text: str) -> int:
    value = _FNV128
    for byte in text.encode():
        value = ((value ^ byte) * _FNV128_PRIME) & ((1 << 128) - 1)
    return value


def endpoint_port_order(port: Obj) -> int:
    """Where upstream puts a port of an Endpoints' subset: by the hash of what a Go library prints of it."""
    return fnv128a(
        f"(v1.EndpointPort){{Name:(string){port.get('name') or ''} Port:(int32){port['port']} "
        f"Protocol:(v1.Protocol){port.get('protocol') or ''} AppProtocol:(*string){_pointer(port.get('appProtocol'))}}}"
    )


def slice_port_order(port: Obj) -> int:
    """The same for a port of an EndpointSlice."""
    return fnv128a(
        f"(v1.EndpointPort){{Name:(*string){_pointer(port.get('name'))} Protocol:(*v1.Protocol)"
        f"{_pointer(port.get('protocol'))} Port:(*int32){_pointer(port.get('port'))} "
        f"AppProtocol:(*string){_pointer(port.get('appProtocol'))}}}"
    )


def _pointer(value: Any) -> str:
    return "<nil>" if value is None else str(value)


class TriggerTimes:
    """When what changed a service's endpoints happened: the earliest change of a pod or of the service since the last look."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, dict[str, float]]] = {}

    def next(self, service: Obj, pods: list[Obj]) -> str:
        """The time for the annotation, empty where nothing that has a time changed."""
        key = key_of(service)
        made_s = time_of(service["metadata"].get("creationTimestamp"))
        known = self._seen.get(key)
        times = {pod["metadata"]["name"]: since for pod in pods if (since := _ready_changed(pod))}
        self._seen[key] = (made_s, times)
        if known is None:
            return format_time(made_s) if made_s else ""
        last_made_s, last = known
        changes = [since for name, since in times.items() if since > last.get(name, 0.0)]
        if made_s > last_made_s:
            changes.append(made_s)
        return format_time(min(changes)) if changes else ""

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


def _ready_changed(pod: Obj) -> float:
    ready = condition(pod, "Ready")
    return time_of(ready.get("lastTransitionTime")) if ready is not None else 0.0


def annotated(annotations: Mapping[str, str], trigger: str) -> dict[str, str]:
    out = {k: v for k, v in annotations.items() if k != TRIGGER_ANNOTATION}
    if trigger:
        out[TRIGGER_ANNOTATION] = trigger
    return out
