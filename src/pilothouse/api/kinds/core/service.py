"""Service. Addresses and node ports are the allocators' business (apiserver/allocators), what is valid that of service_rules.

Source: upstream's registry/core/service/strategy.go, SetDefaults_Service and its printer.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import names
from pilothouse.api.kinds.common.strategy import keep, keep_spec
from pilothouse.api.kinds.core import service_rules
from pilothouse.api.kinds.core.service_rules import externally_accessible, needs_health_check
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.metadata import masked
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_AFFINITY_S: Final = 10_800
_OUTSIDE: Final = ("LoadBalancer", "NodePort")


def _default(obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        spec = obj["spec"] = {}
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _AFFINITY_S}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port") or 0
    if externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in ("ClusterIP", *_OUTSIDE) and spec.get("internalTrafficPolicy") is None:
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {"loadBalancer": {}}


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    _drop_unused(new["spec"], old.get("spec") or {})
    if new["spec"].get("type") != "LoadBalancer" and "status" in new:
        new["status"] = {**new["status"], "loadBalancer": {}}


def _drop_unused(spec: Obj, before: Obj) -> None:
    """Fields that only the former type had, and that the client did not change, go with it (dropTypeDependentFields)."""

    def drop(*fields: str) -> None:
        if all((spec.get(f) or None) == (before.get(f) or None) for f in fields):
            for f in fields:
                spec.pop(f, None)

    kind, was = spec.get("type"), before.get("type")
    if was != "ExternalName" == kind:
        drop("clusterIP", "clusterIPs")
        drop("ipFamilies")
        drop("ipFamilyPolicy")
    if was in _OUTSIDE and kind not in _OUTSIDE and _node_ports(spec) <= _node_ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(spec):
        drop("healthCheckNodePort")
    if was == "LoadBalancer" != kind:
        if spec.get("allocateLoadBalancerNodePorts") == before.get("allocateLoadBalancerNodePorts"):
            spec.pop("allocateLoadBalancerNodePorts", None)
        if spec.get("loadBalancerClass") == before.get("loadBalancerClass"):
            spec.pop("loadBalancerClass", None)
    if externally_accessible(before) and not externally_accessible(spec):
        drop("externalTrafficPolicy")


def _node_ports(spec: Obj) -> set[int]:
    return {p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")}


def _canonicalize(obj: Obj) -> None:
    if obj["spec"].get("type") == "ExternalName":
        obj["spec"].pop("internalTrafficPolicy", None)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kind = spec.get("type") or ""
    addresses = spec.get("clusterIPs") or []
    selector = ",".join(f"{k}={v}" for k, v in sorted((spec.get("selector") or {}).items()))
    return [
        meta(obj).get("name", ""), kind, addresses[0] if addresses else "<none>", _external(kind, spec, status),
        ",".join(_shown(port) for port in spec.get("ports") or ()) or "<none>", age(obj, now_s), selector or "<none>",
    ]  # fmt: skip


def _shown(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol')}"


def _external(kind: str, spec: Obj, status: Obj) -> str:
    outside = spec.get("externalIPs") or []
    if kind == "ExternalName":
        return spec.get("externalName") or ""
    if kind == "LoadBalancer":
        ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
        found = sorted({i.get("ip") or i.get("hostname") or "" for i in ingress})
        return ",".join([*found, *outside]) or "<pending>"
    return ",".join(outside) or "<none>"


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=keep_spec,
    validate=service_rules.validate,
    validate_update=service_rules.validate_update,
    validate_status=service_rules.validate_status,
    warnings=service_rules.warnings,
    status_warnings=service_rules.status_warnings,
    name=lambda name, prefix: names.dns1123_label(masked(name) if prefix else name),
    canonicalize=_canonicalize,
    create_on_update=True,
    row=_row,
    fields=lambda obj: {
        "spec.clusterIP": (obj.get("spec") or {}).get("clusterIP") or "",
        "spec.type": (obj.get("spec") or {}).get("type") or "",
    },
    field_names=frozenset({"spec.clusterIP", "spec.type"}),
)
