"""Service. Addresses and node ports are the allocators' business (apiserver/allocators).

Source: upstream's registry/core/service/strategy.go, SetDefaults_Service, ValidateService* and its printer.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import drop_status, keep, update_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.metadata import labels as label_errors
from pilothouse.api.metadata import masked
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_AFFINITIES: Final = ("ClientIP", "None")
_POLICIES: Final = ("Cluster", "Local")
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
_AFFINITY_S: Final = 10_800
_AFFINITY_MAX_S: Final = 86_400
_EXTERNAL: Final = ("NodePort", "LoadBalancer")


def _default(obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        spec = obj["spec"] = {}
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}) or {}
        client = config.get("clientIP") or {}
        if client.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {**config, "clientIP": {**client, "timeoutSeconds": _AFFINITY_S}}
    if not spec.get("type"):
        spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port") or 0
    if spec["type"] in _EXTERNAL and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] != "ExternalName" and spec.get("internalTrafficPolicy") is None:
        spec["internalTrafficPolicy"] = "Cluster"
    if spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is None:
        spec["allocateLoadBalancerNodePorts"] = True
    status = obj.get("status")
    if isinstance(status, dict):
        for ingress in (status.get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"


def _prepare_create(obj: Obj) -> None:
    drop_status(obj)
    obj["status"] = {"loadBalancer": {}}
    _drop_unused(obj, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    _drop_unused(new, old)


def _drop_unused(new: Obj, old: Obj | None) -> None:
    """Fields that only the former type had, and that the client did not change, go with it (dropTypeDependentFields)."""
    if old is None:
        return
    spec, before = new["spec"], old.get("spec") or {}
    kind, was = spec.get("type"), before.get("type")
    if was in _EXTERNAL and kind not in _EXTERNAL:
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy"):
            spec.pop("externalTrafficPolicy", None)
        same = [p.get("nodePort") for p in spec.get("ports") or ()] == [
            p.get("nodePort") for p in before.get("ports") or ()
        ]
        if same:
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
    if was == "LoadBalancer" != kind:
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(name) == before.get(name):
                spec.pop(name, None)
    if was == "ExternalName" != kind and spec.get("externalName") == before.get("externalName"):
        spec.pop("externalName", None)


def _validate(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    found: ErrorList = []
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if not ports and not headless and kind != "ExternalName":
        found.append(field.required("spec.ports"))
    match kind:
        case "LoadBalancer" | "NodePort" if headless:
            found.append(field.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
        case "ExternalName":
            found += _external_name(spec)
    seen_names: set[str] = set()
    seen_ports: set[tuple[str, Any]] = set()
    seen_node_ports: set[tuple[str, Any]] = set()
    for i, port in enumerate(ports):
        at = f"spec.ports[{i}]"
        found += _port(port, at, named=len(ports) > 1, seen=seen_names)
        pair = (port.get("protocol") or "", port.get("port"))
        if pair in seen_ports:
            found.append(field.duplicate(at, {"protocol": pair[0], "port": pair[1]}))
        seen_ports.add(pair)
        node_port = port.get("nodePort") or 0
        if node_port:
            if kind not in _EXTERNAL:
                found.append(field.forbidden(f"{at}.nodePort", f"may not be used when `type` is '{kind}'"))
            elif (pair[0], node_port) in seen_node_ports:
                found.append(field.duplicate(f"{at}.nodePort", node_port))
            seen_node_ports.add((pair[0], node_port))
    found += label_errors(spec.get("selector") or {}, "spec.selector")
    for i, address in enumerate(spec.get("externalIPs") or ()):
        found += _external_ip(address, f"spec.externalIPs[{i}]")
    found += _affinity(spec)
    if not kind:
        found.append(field.required("spec.type"))
    elif kind not in _TYPES:
        found.append(field.not_supported("spec.type", kind, _TYPES))
    return found + _policies(spec, kind)


def _external_name(spec: Obj) -> ErrorList:
    found: ErrorList = []
    if spec.get("clusterIPs") or spec.get("clusterIP"):
        found.append(field.forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*found, field.required("spec.externalName")]
    return found + [field.invalid("spec.externalName", name, why) for why in names.dns1123_subdomain(name)]


def _port(port: Obj, path: str, *, named: bool, seen: set[str]) -> ErrorList:
    found: ErrorList = []
    name, number, protocol = port.get("name") or "", port.get("port") or 0, port.get("protocol") or ""
    if named and not name:
        found.append(field.required(f"{path}.name"))
    elif name:
        found += [field.invalid(f"{path}.name", name, why) for why in names.dns1123_label(name)]
        if name in seen:
            found.append(field.duplicate(f"{path}.name", name))
        seen.add(name)
    found += [field.invalid(f"{path}.port", number, why) for why in names.port_number(number)]
    if not protocol:
        found.append(field.required(f"{path}.protocol"))
    elif protocol not in _PROTOCOLS:
        found.append(field.not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    target = port.get("targetPort")
    if isinstance(target, str):
        found += [field.invalid(f"{path}.targetPort", target, why) for why in names.port_name(target)]
    elif isinstance(target, int):
        found += [field.invalid(f"{path}.targetPort", target, why) for why in names.port_number(target)]
    return found


def _external_ip(address: str, path: str) -> ErrorList:
    """Upstream's ValidateEndpointIP: an address, and none that only one machine or link knows."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return [field.invalid(path, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    found: ErrorList = []
    if ip.is_unspecified:
        found.append(field.invalid(path, address, f"may not be unspecified ({address})"))
    if ip.is_loopback:
        found.append(field.invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if ip.is_link_local:
        found.append(field.invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if ip.is_multicast and ip.packed[:3] == b"\xe0\x00\x00":
        found.append(
            field.invalid(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
        )
    return found


def _affinity(spec: Obj) -> ErrorList:
    affinity = spec.get("sessionAffinity") or ""
    if not affinity:
        return [field.required("spec.sessionAffinity")]
    if affinity not in _AFFINITIES:
        return [field.not_supported("spec.sessionAffinity", affinity, _AFFINITIES)]
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if affinity == "ClientIP" and seconds is not None and not 0 < seconds <= _AFFINITY_MAX_S:
        at = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        return [field.invalid(at, seconds, f"must be greater than 0 and less than {_AFFINITY_MAX_S}")]
    return []


def _policies(spec: Obj, kind: str) -> ErrorList:
    found: ErrorList = []
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if kind in _EXTERNAL:
        if external not in _POLICIES:
            found.append(field.not_supported("spec.externalTrafficPolicy", external or "", _POLICIES))
    elif external and not spec.get("externalIPs"):
        why = "may only be set for externally-accessible services"
        found.append(field.invalid("spec.externalTrafficPolicy", external, why))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        found.append(field.not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    if internal is not None and internal not in _POLICIES:
        found.append(field.not_supported("spec.internalTrafficPolicy", internal, _POLICIES))
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        found.append(
            field.forbidden("spec.allocateLoadBalancerNodePorts", "may only be used when `type` is 'LoadBalancer'")
        )
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    fixed = before.get("clusterIPs") or []
    if fixed and before.get("type") != "ExternalName" != spec.get("type"):
        now = spec.get("clusterIPs") or []
        if not now or now[0] != fixed[0]:
            found.append(field.invalid("spec.clusterIPs[0]", now[0] if now else "", "may not change once set"))
    return found + _validate(new)


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
        found = [i.get("ip") or i.get("hostname") or "" for i in ingress]
        return ",".join([*found, *outside]) or "<pending>"
    return ",".join(outside) or "<none>"


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_validate_update,
    name=lambda name, prefix: names.dns1035_label(masked(name) if prefix else name),
    row=_row,
    fields=lambda obj: {
        "spec.clusterIP": (obj.get("spec") or {}).get("clusterIP") or "",
        "spec.type": (obj.get("spec") or {}).get("type") or "",
    },
    field_names=frozenset({"spec.clusterIP", "spec.type"}),
)
