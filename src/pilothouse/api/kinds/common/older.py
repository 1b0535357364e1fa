"""Objects of versions that are served no more but may still lie in etcd, as of the version that took their place.

Only where their fields differ; others just change their apiVersion. Source: upstream's conversions of networking.k8s.io/v1beta1,
extensions/v1beta1 and discovery.k8s.io/v1beta1, which kube-apiserver 1.37 still reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pilothouse.api.objects import Obj

_HOSTNAME: Final = "kubernetes.io/hostname"
_ZONE: Final = "topology.kubernetes.io/zone"


def _ingress(obj: Obj) -> Obj:
    spec: Obj = dict(obj.get("spec") or {})
    if spec.get("backend") is not None:
        spec["defaultBackend"] = _backend(spec.pop("backend"))
    if spec.get("rules") is not None:
        spec["rules"] = [_rule(rule) for rule in spec["rules"]]
    return {**obj, "apiVersion": "networking.k8s.io/v1", "spec": spec}


def _rule(rule: Obj) -> Obj:
    paths = (rule.get("http") or {}).get("paths")
    if paths is None:
        return rule
    found = [
        {"pathType": "ImplementationSpecific", **path, "backend": _backend(path.get("backend") or {})} for path in paths
    ]
    return {**rule, "http": {**rule["http"], "paths": found}}


def _backend(backend: Obj) -> Obj:
    out: Obj = {name: value for name, value in backend.items() if name not in ("serviceName", "servicePort")}
    port: Any = backend.get("servicePort")
    if backend.get("serviceName") or port:
        said = {"name": port} if isinstance(port, str) else {"number": port or 0}
        out["service"] = {"name": backend.get("serviceName", ""), "port": said}
    return out


def _endpoint_slice(obj: Obj) -> Obj:
    return {**obj, "apiVersion": "discovery.k8s.io/v1", "endpoints": [_endpoint(e) for e in obj.get("endpoints") or ()]}


def _endpoint(endpoint: Obj) -> Obj:
    out: Obj = {name: value for name, value in endpoint.items() if name != "topology"}
    topology = dict(endpoint.get("topology") or {})
    if _ZONE in topology:
        out["zone"] = topology.pop(_ZONE)
    if topology and out.get("nodeName") == topology.get(_HOSTNAME):
        topology.pop(_HOSTNAME, None)
    if topology:
        out["deprecatedTopology"] = topology
    return out


DECODERS: Final[Mapping[tuple[str, str], Mapping[str, Callable[[Obj], Obj]]]] = {
    ("networking.k8s.io", "Ingress"): {"networking.k8s.io/v1beta1": _ingress, "extensions/v1beta1": _ingress},
    ("discovery.k8s.io", "EndpointSlice"): {"discovery.k8s.io/v1beta1": _endpoint_slice},
}
