"""Hints by which proxies keep traffic close: `spec.trafficDistribution` of a service.

Source: upstream's k8s.io/endpointslice/trafficdist (KEP-4444, KEP-3015).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.objects import Obj

_CLOSE: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
_TOPOLOGY_ANNOTATIONS: Final = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode")


def assign(service: Obj, create: list[Obj], update: list[Obj], unchanged: list[Obj]) -> list[Obj]:
    """Puts hints on the endpoints of `create` and `update`; returns those of `unchanged` that have to be written for theirs."""
    annotations = service["metadata"].get("annotations") or {}
    mode = next((annotations[a] for a in _TOPOLOGY_ANNOTATIONS if a in annotations), "")
    policy = service["spec"].get("trafficDistribution")
    if policy not in _CLOSE or mode in ("Auto", "auto"):
        policy = ""
    for slice_ in (*create, *update):
        slice_["endpoints"] = [_hinted(e, policy) for e in slice_["endpoints"]]
    more = []
    for slice_ in unchanged:
        endpoints = slice_.get("endpoints") or []
        hinted = [_hinted(e, policy) for e in endpoints]
        if hinted != endpoints:
            more.append({**slice_, "endpoints": hinted})
    return more


def _hinted(endpoint: Obj, policy: str) -> Obj:
    if policy and not (endpoint.get("conditions") or {}).get("ready"):
        return endpoint
    hints: Obj = {}
    if policy and endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if policy == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    if hints == (endpoint.get("hints") or {}):
        return endpoint
    out = {k: v for k, v in endpoint.items() if k != "hints"}
    if hints:
        out["hints"] = hints
    return out
