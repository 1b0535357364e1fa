"""What a Service must be, and how it may change.

Source: upstream's validateService and its siblings (pkg/apis/core/validation).
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses
from pilothouse.api.kinds.common.endpoint_ips import endpoint_ip
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.core import service_addresses
from pilothouse.api.kinds.core.service_addresses import is_headless
from pilothouse.api.metadata import labels as label_errors
from pilothouse.api.objects import Obj, meta

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_AFFINITIES: Final = ("ClientIP", "None")
_POLICIES: Final = ("Cluster", "Local")
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
_IP_MODES: Final = ("Proxy", "VIP")
_AFFINITY_MAX_S: Final = 86_400
_ONLY_BALANCED: Final = "may only be used when `type` is 'LoadBalancer'"
_SOURCE_RANGES: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"
TOPOLOGY_HINTS: Final = "service.kubernetes.io/topology-aware-hints"
_TOPOLOGY_MODE: Final = "service.kubernetes.io/topology-mode"


def externally_accessible(spec: Obj) -> bool:
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate(obj: Obj, old: Obj | None = None) -> ErrorList:
    spec, before = obj.get("spec") or {}, (old.get("spec") or {}) if old is not None else None
    found = _annotations(meta(obj).get("annotations") or {})
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    if not ports and not is_headless(spec) and kind != "ExternalName":
        found.append(field.required("spec.ports"))
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        found.append(field.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    elif kind == "ExternalName":
        found += _external_name(spec)
    found += _ports(ports)
    found += label_errors(spec.get("selector") or {}, "spec.selector")
    found += _affinity(spec)
    found += service_addresses.related(spec, before)
    stored = (before or {}).get("externalIPs") or []
    for i, address in enumerate(spec.get("externalIPs") or ()):
        at = f"spec.externalIPs[{i}]"
        found += addresses.legacy_ip(address, at, stored) or endpoint_ip(address, at)
    if not kind:
        found.append(field.required("spec.type"))
    elif kind not in _TYPES:
        found.append(field.not_supported("spec.type", kind, _TYPES))
    found += _port_numbers(ports, kind)
    found += _source_ranges(obj, old)
    allocates = spec.get("allocateLoadBalancerNodePorts")
    if allocates is not None and kind != "LoadBalancer":
        found.append(field.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCED))
    if allocates is None and kind == "LoadBalancer":
        found.append(field.required("allocateLoadBalancerNodePorts"))
    return found + _balancer_class(spec) + _external_policy(spec) + _internal_policy(spec, kind)


def _annotations(given: Obj) -> ErrorList:
    hints, mode = given.get(TOPOLOGY_HINTS), given.get(_TOPOLOGY_MODE)
    if hints is None or mode is None or hints == mode:
        return []
    why = f"must match annotations[{TOPOLOGY_HINTS}] when both are specified"
    return [field.invalid(f"metadata.annotations[{_TOPOLOGY_MODE}]", mode, why)]


def _external_name(spec: Obj) -> ErrorList:
    unwanted = [n for n in ("clusterIPs", "ipFamilies") if spec.get(n)]
    if spec.get("ipFamilyPolicy") is not None:
        unwanted.append("ipFamilyPolicy")
    found = [field.forbidden(f"spec.{n}", "may not be set for ExternalName services") for n in unwanted]
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*found, field.required("spec.externalName")]
    return found + [field.invalid("spec.externalName", name, why) for why in names.dns1123_subdomain(name)]


def _ports(ports: list[Any]) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        found += _port(port, f"spec.ports[{i}]", named=len(ports) > 1, seen=seen)
    return found


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
    target = 0 if target is None else target
    wrong = names.port_name(target) if isinstance(target, str) else names.port_number(target)
    found += [field.invalid(f"{path}.targetPort", target, why) for why in wrong]
    if port.get("appProtocol") is not None:
        found += label_name(port["appProtocol"], f"{path}.appProtocol")
    return found


def _port_numbers(ports: list[Any], kind: str) -> ErrorList:
    """Node ports where they may be, and none of a protocol twice."""
    found: ErrorList = []
    if kind == "ClusterIP":
        for i, port in enumerate(ports):
            if port.get("nodePort"):
                found.append(field.forbidden(f"spec.ports[{i}].nodePort", "may not be used when `type` is 'ClusterIP'"))
    outside: set[tuple[str, int]] = set()
    for i, port in enumerate(ports):
        pair = (port.get("protocol") or "", port.get("nodePort") or 0)
        if pair[1] and pair in outside:
            found.append(field.duplicate(f"spec.ports[{i}].nodePort", pair[1]))
        outside.add(pair)
    inside: set[tuple[str, int]] = set()
    for i, port in enumerate(ports):
        pair = (port.get("protocol") or "", port.get("port") or 0)
        if pair in inside:
            shown = internal("core/v1.ServicePort", {"protocol": pair[0], "port": pair[1]})
            found.append(field.duplicate(f"spec.ports[{i}]", shown))
        inside.add(pair)
    return found


def _affinity(spec: Obj) -> ErrorList:
    affinity, at = spec.get("sessionAffinity") or "", "spec.sessionAffinity"
    config = spec.get("sessionAffinityConfig")
    if not affinity:
        return [field.required(at)]
    if affinity not in _AFFINITIES:
        return [field.not_supported(at, affinity, _AFFINITIES)]
    if affinity == "None":
        why = "must not be set when session affinity is None"
        return [] if config is None else [field.forbidden(f"{at}Config", why)]
    told = f"when session affinity type is {affinity}"
    if config is None:
        return [field.required(f"{at}Config", told)]
    if config.get("clientIP") is None:
        return [field.required(f"{at}Config.clientIP", told)]
    seconds = config["clientIP"].get("timeoutSeconds")
    if seconds is None:
        return [field.required(f"{at}Config.clientIP.timeoutSeconds", told)]
    if 0 < seconds <= _AFFINITY_MAX_S:
        return []
    why = f"must be greater than 0 and less than {_AFFINITY_MAX_S}"
    return [field.invalid(f"{at}Config.clientIP.timeoutSeconds", seconds, why)]


def _source_ranges(obj: Obj, old: Obj | None) -> ErrorList:
    """The field's, or the annotation's that came before it; both may have spaces around a range."""
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    given = spec.get("loadBalancerSourceRanges") or []
    annotated = (meta(obj).get("annotations") or {}).get(_SOURCE_RANGES)
    path = "spec.LoadBalancerSourceRanges" if given else f"metadata.annotations[{_SOURCE_RANGES}]"
    if not given and annotated is None:
        return []
    found: ErrorList = []
    if spec.get("type") != "LoadBalancer":
        found.append(field.forbidden(path, _ONLY_BALANCED))
    if given:
        stored = [value.strip() for value in before.get("loadBalancerSourceRanges") or ()]
        for i, value in enumerate(given):
            found += addresses.legacy_cidr(value.strip(), f"{path}[{i}]", stored)
        return found
    if old is not None and (meta(old).get("annotations") or {}).get(_SOURCE_RANGES) == annotated:
        return found
    listed = str(annotated).strip()
    for value in listed.split(",") if listed else ():
        found += addresses.legacy_cidr(value.strip(), path)
    return found


def _balancer_class(spec: Obj) -> ErrorList:
    given, path = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if given is None:
        return []
    return label_name(given, path) if spec.get("type") == "LoadBalancer" else [field.forbidden(path, _ONLY_BALANCED)]


def _external_policy(spec: Obj) -> ErrorList:
    found: ErrorList = []
    policy, path = spec.get("externalTrafficPolicy") or "", "spec.externalTrafficPolicy"
    if not externally_accessible(spec):
        if policy:
            found.append(field.invalid(path, policy, "may only be set for externally-accessible services"))
    elif not policy:
        found.append(field.required(path))
    elif policy not in _POLICIES:
        found.append(field.not_supported(path, policy, _POLICIES))
    port, path = spec.get("healthCheckNodePort") or 0, "spec.healthCheckNodePort"
    if not needs_health_check(spec):
        if port:
            why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            found.append(field.invalid(path, port, why))
    elif not port:
        found.append(field.required(path))
    else:
        found += [field.invalid(path, port, why) for why in names.port_number(port)]
    return found


def _internal_policy(spec: Obj, kind: str) -> ErrorList:
    found: ErrorList = []
    policy, distribution = spec.get("internalTrafficPolicy"), spec.get("trafficDistribution")
    if policy is None:
        if kind in ("ClusterIP", "LoadBalancer", "NodePort"):
            found.append(field.required("spec.internalTrafficPolicy"))
    elif policy not in _POLICIES:
        found.append(field.not_supported("spec.internalTrafficPolicy", policy, _POLICIES))
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        found.append(field.not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))
    return found


def validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = service_addresses.changed(spec, before)
    if spec.get("type") == before.get("type") == "LoadBalancer":
        given = spec.get("loadBalancerClass")
        if given != before.get("loadBalancerClass"):
            found.append(field.invalid("spec.loadBalancerClass", given, "may not change once set"))
    found += _balancer_class(spec)
    port, was = (s.get("healthCheckNodePort") or 0 for s in (spec, before))
    if port != was and needs_health_check(spec) and needs_health_check(before):
        found.append(field.forbidden("spec.healthCheckNodePort", "field is immutable"))
    return found + validate(new, old)


def validate_status(new: Obj, old: Obj) -> ErrorList:
    given = _ingress(new)
    path = "status.loadBalancer.ingress"
    if given and (new.get("spec") or {}).get("type") != "LoadBalancer":
        return [field.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    stored = [i["ip"] for i in _ingress(old) if i.get("ip")]
    found: ErrorList = []
    for i, ingress in enumerate(given):
        at, ip, mode, host = f"{path}[{i}]", ingress.get("ip"), ingress.get("ipMode"), ingress.get("hostname")
        if ip:
            found += addresses.legacy_ip(ip, f"{at}.ip", stored)
        if mode is None:
            if ip:
                found.append(field.required(f"{at}.ipMode", "must be specified when `ip` is set"))
        elif not ip:
            found.append(field.forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
        elif mode not in _IP_MODES:
            found.append(field.not_supported(f"{at}.ipMode", mode, _IP_MODES))
        if host:
            found += [field.invalid(f"{at}.hostname", host, why) for why in names.dns1123_subdomain(host)]
            if addresses.parse(host) is not None:
                found.append(field.invalid(f"{at}.hostname", host, "must be a DNS name, not an IP address"))
    return found


def _ingress(obj: Obj) -> list[Any]:
    return ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def warnings(new: Obj, _old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    out: list[str] = []
    kind, outside = spec.get("type"), spec.get("externalIPs") or []
    headless = kind == "ClusterIP" and spec.get("clusterIP") == service_addresses.NONE
    if TOPOLOGY_HINTS in (meta(new).get("annotations") or {}):
        out.append(f"annotation {TOPOLOGY_HINTS} is deprecated, please use {_TOPOLOGY_MODE} instead")
    if kind != "ExternalName" and spec.get("clusterIP") not in (None, "", service_addresses.NONE):
        for i, ip in enumerate(spec.get("clusterIPs") or ()):
            out += addresses.ip_warnings(ip, f"spec.clusterIPs[{i}]")
    if headless:
        if spec.get("loadBalancerIP"):
            out.append("spec.loadBalancerIP is ignored for headless services")
        if outside:
            out.append("spec.externalIPs is ignored for headless services")
        if spec.get("sessionAffinity") != "None":
            out.append("spec.SessionAffinity is ignored for headless services")
    for i, ip in enumerate(outside):
        out += addresses.ip_warnings(ip, f"spec.externalIPs[{i}]")
    if outside and not headless and kind != "ExternalName":
        out.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        out += addresses.ip_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for i, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        out += addresses.cidr_warnings(cidr, f"spec.loadBalancerSourceRanges[{i}]")
    if kind == "ExternalName" and outside:
        out.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if kind != "ExternalName" and spec.get("externalName"):
        out.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        out.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return out


def status_warnings(new: Obj) -> list[str]:
    out: list[str] = []
    for i, ingress in enumerate(_ingress(new)):
        if ingress.get("ip"):
            out += addresses.ip_warnings(ingress["ip"], f"status.loadBalancer.ingress[{i}]")
    return out
