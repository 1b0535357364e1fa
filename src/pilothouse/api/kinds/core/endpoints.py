"""Endpoints.

Source: upstream's ValidateEndpoints and its printer.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.addresses import ip_warnings, legacy_ip
from pilothouse.api.kinds.common.endpoint_ips import endpoint_ip
from pilothouse.api.kinds.common.selectors import label_name, same
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age, some

_SHOWN_MAX: Final = 3
_PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
_CONTROLLER: Final = "endpoint-controller"


def _default(obj: Obj) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _validate(obj: Obj) -> ErrorList:
    found: ErrorList = []
    for i, subset in enumerate(obj.get("subsets") or ()):
        at = f"subsets[{i}]"
        addresses, waiting = subset.get("addresses") or (), subset.get("notReadyAddresses") or ()
        if not addresses and not waiting:
            found.append(field.required(at, "must specify `addresses` or `notReadyAddresses`"))
        for name, group in (("addresses", addresses), ("notReadyAddresses", waiting)):
            for j, address in enumerate(group):
                found += _address(address, f"{at}.{name}[{j}]")
        ports = subset.get("ports") or ()
        for j, port in enumerate(ports):
            found += _port(port, f"{at}.ports[{j}]", named=len(ports) > 1)
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    """What an older server took for valid may stay as it is."""
    return [] if same(new.get("subsets"), old.get("subsets")) else _validate(new)


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    if (meta(new).get("labels") or {}).get(_MANAGED_BY) == _CONTROLLER:
        return []
    out: list[str] = []
    for i, subset in enumerate(new.get("subsets") or ()):
        for group in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(subset.get(group) or ()):
                out += ip_warnings(address.get("ip") or "", f"subsets[{i}].{group}[{j}].ip")
    return out


def _address(address: Obj, path: str) -> ErrorList:
    ip = address.get("ip") or ""
    found = legacy_ip(ip, f"{path}.ip")
    if address.get("hostname"):
        found += [
            field.invalid(f"{path}.hostname", address["hostname"], d) for d in names.dns1123_label(address["hostname"])
        ]
    if address.get("nodeName") is not None:
        found += [
            field.invalid(f"{path}.nodeName", address["nodeName"], d)
            for d in names.dns1123_subdomain(address["nodeName"])
        ]
    return found + endpoint_ip(ip, f"{path}.ip")


def _port(port: Obj, path: str, *, named: bool) -> ErrorList:
    found: ErrorList = []
    name, number, protocol = port.get("name") or "", port.get("port") or 0, port.get("protocol") or ""
    if named and not name:
        found.append(field.required(f"{path}.name"))
    elif name:
        found += [field.invalid(f"{path}.name", name, d) for d in names.dns1123_label(name)]
    found += [field.invalid(f"{path}.port", number, d) for d in names.port_number(number)]
    if not protocol:
        found.append(field.required(f"{path}.protocol"))
    elif protocol not in _PROTOCOLS:
        found.append(field.not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    if port.get("appProtocol") is not None:
        found += label_name(port["appProtocol"], f"{path}.appProtocol")
    return found


def _row(obj: Obj, now_s: float) -> list[Any]:
    places: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [str(address.get("ip")) for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        places += addresses if not ports else ()
        for port in ports:
            places += [f"[{ip}]:{port.get('port')}" if ":" in ip else f"{ip}:{port.get('port')}" for ip in addresses]
    shown = some(places, _SHOWN_MAX, "" if obj.get("subsets") else "<none>")
    return [meta(obj).get("name", ""), shown, age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    create_on_update=True,
    row=_row,
    reset_fields=frozenset(),
)
