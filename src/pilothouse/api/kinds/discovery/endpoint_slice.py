"""EndpointSlice."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses, declarative
from pilothouse.api.kinds.common.declarative import (
    covered,
    each,
    enum,
    fields,
    immutable,
    max_items,
    optional,
    required,
    struct,
)  # fmt: skip
from pilothouse.api.kinds.common.endpoint_ips import endpoint_ip
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import first_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age, some

_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_FAMILIES: Final = ("FQDN", "IPv4", "IPv6")
_ADDRESSES_MAX: Final = 100
_PORTS_MAX: Final = 20_000
_ENDPOINTS_MAX: Final = 1_000
_HINTS_MAX: Final = 8
_SHOWN: Final = 3
_HOSTNAME: Final = "kubernetes.io/hostname"
_MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS: Final = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_ENDPOINT = fields({"addresses": [required, max_items(_ADDRESSES_MAX)]})
_RULES = fields(
    {
        "addressType": [required, immutable, enum(*_FAMILIES)],
        "endpoints": [optional, each(struct(_ENDPOINT))],
    }
)


def _default(obj: Obj) -> None:
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def _prepare_create(obj: Obj) -> None:
    first_generation(obj)
    for endpoint in obj.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def _prepare_update(new: Obj, old: Obj) -> None:
    parts = (new.keys() | old.keys()) - {"metadata", "apiVersion", "kind"}
    changed = not all(same(new.get(p), old.get(p)) for p in parts)
    if changed or not same(meta(new).get("labels"), meta(old).get("labels")):
        new.setdefault("metadata", {})["generation"] = int(meta(old).get("generation") or 0) + 1
    if not same(new.get("endpoints"), old.get("endpoints")):
        _drop_topology(new, old)


def _drop_topology(new: Obj, old: Obj) -> None:
    """discovery.k8s.io/v1 has no topology; a node's name that only it told is kept."""
    told = {(e.get("deprecatedTopology") or {}).get(_HOSTNAME) for e in old.get("endpoints") or ()} - {None, ""}
    for endpoint in new.get("endpoints") or ():
        host = (endpoint.pop("deprecatedTopology", None) or {}).get(_HOSTNAME)
        if endpoint.get("nodeName") is None and host and host in told and not names.dns1123_subdomain(host):
            endpoint["nodeName"] = host


def _ports(ports: list[Obj]) -> ErrorList:
    if len(ports) > _PORTS_MAX:
        return [field.too_many("ports", len(ports), _PORTS_MAX)]
    found: ErrorList = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        path = f"ports[{i}]"
        name, protocol, app = port.get("name") or "", port.get("protocol"), port.get("appProtocol")
        if name:
            found += [field.invalid(f"{path}.name", name, d) for d in names.dns1123_label(name)]
        if name in seen:
            found.append(field.duplicate(f"{path}.name", name))
        seen.add(name)
        if protocol is None:
            found.append(field.required(f"{path}.protocol"))
        elif protocol not in _PROTOCOLS:
            found.append(field.not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
        if app is not None:
            found += [field.invalid(f"{path}.appProtocol", app, d) for d in names.qualified_name(app)]
    return found


def _endpoints(endpoints: list[Obj], family: str) -> ErrorList:
    if len(endpoints) > _ENDPOINTS_MAX:
        return [field.too_many("endpoints", len(endpoints), _ENDPOINTS_MAX)]
    found: ErrorList = []
    for i, endpoint in enumerate(endpoints):
        path = f"endpoints[{i}]"
        told = endpoint.get("addresses") or []
        if not told:
            detail = "must contain at least 1 address"
            found.append(covered(field.required(f"{path}.addresses", detail)))
        elif len(told) > _ADDRESSES_MAX:
            found.append(covered(field.too_many(f"{path}.addresses", len(told), _ADDRESSES_MAX), "maxItems"))
        for j, address in enumerate(told):
            found += _address(address, f"{path}.addresses", j, family)
        node, host, hints = endpoint.get("nodeName"), endpoint.get("hostname"), endpoint.get("hints")
        if node is not None:
            found += [field.invalid(f"{path}.nodeName", node, d) for d in names.dns1123_subdomain(node)]
        if host is not None:
            found += [field.invalid(f"{path}.hostname", host, d) for d in names.dns1123_label(host)]
        if hints is not None:
            found += _hints(hints, f"{path}.hints")
    return found


def _address(address: str, path: str, index: int, family: str) -> ErrorList:
    at = f"{path}[{index}]"
    if family == "FQDN":
        return _domain_name(address, at)
    if family not in ("IPv4", "IPv6"):
        return []
    wrong = addresses.legacy_ip(address, at) if family == "IPv4" else addresses.ip(address, at)
    if wrong:
        return wrong
    found: ErrorList = []
    if (family == "IPv4") != isinstance(addresses.parse(address), IPv4Address):
        found.append(field.invalid(path, address, f"must be an {family} address"))
    return found + endpoint_ip(address, at)


def _domain_name(text: str, path: str) -> ErrorList:
    if not text:
        return [field.required(path)]
    name = text.removesuffix(".")
    details = names.dns1123_subdomain(name)
    if details:
        return [field.invalid(path, name, ",".join(details))]
    labels = name.split(".")
    if len(labels) < 2:
        return [field.invalid(path, name, "should be a domain with at least two segments separated by dots")]
    for label in labels:
        details = names.dns1123_label(label)
        if details:
            return [field.invalid(path, label, ",".join(details))]
    return []


def _hints(hints: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for part, rule in (("forZones", names.label_value), ("forNodes", names.dns1123_subdomain)):
        values = hints.get(part) or []
        if len(values) > _HINTS_MAX:
            return [*found, field.too_many(f"{path}.{part}", len(values), _HINTS_MAX)]
        seen: set[str] = set()
        for i, hint in enumerate(values):
            at, name = f"{path}.{part}[{i}].name", hint.get("name") or ""
            if name in seen:
                found.append(field.duplicate(at, name))
            seen.add(name)
            found += [field.invalid(at, name, d) for d in rule(name)]
    return found


def _own(new: Obj, old: Obj | None) -> ErrorList:
    family = new.get("addressType") or ""
    found: ErrorList = []
    if not family:
        found.append(covered(field.required("addressType")))
    elif family not in _FAMILIES:
        found.append(covered(field.not_supported("addressType", family, _FAMILIES)))
    found += _ports(new.get("ports") or [])
    endpoints = new.get("endpoints") or []
    if old is not None and same(endpoints, old.get("endpoints")):
        return found
    return found + _endpoints(endpoints, family)


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj, None), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new, old), _RULES, new, old)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    out = []
    if old is None and new.get("addressType") == "FQDN":
        out.append("spec.addressType: FQDN endpoints are deprecated")
    if (meta(new).get("labels") or {}).get(_MANAGED_BY) in _CONTROLLERS:
        return out
    for i, endpoint in enumerate(new.get("endpoints") or ()):
        for j, address in enumerate(endpoint.get("addresses") or ()):
            out += addresses.ip_warnings(address, f"endpoints[{i}].addresses[{j}]")
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    ports = []
    for port in obj.get("ports") or ():
        number, name = port.get("port"), port.get("name")
        ports.append(str(number) if number is not None else "*" if name is None else name)
    told = [a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()]
    return [
        meta(obj).get("name", ""),
        obj.get("addressType") or "",
        some(ports, _SHOWN, "<unset>"),
        some(told, _SHOWN, "<unset>"),
        age(obj, now_s),
    ]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
)
