"""What was allocated to a claim, and who uses it. Source: upstream's pkg/apis/resource/validation."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses, declarative
from pilothouse.api.kinds.common.conditions import conditions
from pilothouse.api.kinds.common.declarative import (
    Check,
    Covered,
    covered,
    enum,
    fields,
    long_name_caseless,
    max_bytes,
    max_items,
    max_length,
    optional,
    optional_pointer,
    required,
    struct,
    unique,
)
from pilothouse.api.kinds.common.nodes import node_selector
from pilothouse.api.kinds.common.selectors import label_name, same
from pilothouse.api.kinds.resource import claims, forms
from pilothouse.api.kinds.resource.claims import request_reference
from pilothouse.api.kinds.resource.forms import each, each_once, hide
from pilothouse.api.objects import Obj

_RESERVED_MAX: Final = 256
_RESULTS_MAX: Final = 32
_CONDITIONS_MAX: Final = 8
_BINDING_CONDITIONS_MAX: Final = 4
_DATA_MAX: Final = 10 * 1024
_INTERFACE_MAX: Final = 256
_HARDWARE_MAX: Final = 128
_IPS_MAX: Final = 16
_SOURCES: Final = ("FromClaim", "FromClass")


def _no_change(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
    changed = updating and new is not None and old is not None
    return (
        [Covered(field.ErrorType.INVALID, path, None, "field cannot be modified once set", "update")] if changed else []
    )


_RESULT = fields({
    "driver": [required, long_name_caseless, max_length(forms.DOMAIN_MAX)],
    "pool": [required, forms.pool_name],
    "tolerations": [optional, claims.TOLERATIONS],
    "bindingConditions": [optional, max_items(_BINDING_CONDITIONS_MAX)],
    "bindingFailureConditions": [optional, max_items(_BINDING_CONDITIONS_MAX)],
    "shareID": [optional_pointer, forms.uuid_form],
})  # fmt: skip
_ALLOCATED_CONFIG = fields({
    "source": [required, enum(*_SOURCES)],
    "requests": [optional, max_items(claims.REQUESTS_MAX), unique(lambda name: name)],
    "opaque": claims.OPAQUE,
})  # fmt: skip
_ALLOCATION = fields({"devices": [struct(fields({
    "results": [optional, max_items(_RESULTS_MAX), declarative.each(struct(_RESULT))],
    "config": [optional, max_items(2 * claims.CONFIG_MAX), declarative.each(struct(_ALLOCATED_CONFIG))],
}))]})  # fmt: skip
_NETWORK = fields({
    "interfaceName": [optional, max_bytes(_INTERFACE_MAX)],
    "ips": [optional, max_items(_IPS_MAX), unique(lambda ip: ip)],
    "hardwareAddress": [optional, max_bytes(_HARDWARE_MAX)],
})  # fmt: skip


def shared_id(device: Obj) -> tuple[str, str, str, str]:
    return (
        device.get("driver") or "", device.get("pool") or "", device.get("device") or "", device.get("shareID") or "",
    )  # fmt: skip


def _uid(reference: Any) -> Any:
    return (reference or {}).get("uid") or ""


STATUS_RULES: Final = fields({
    "allocation": [optional_pointer, Check(_no_change, stops=True), struct(_ALLOCATION)],
    "reservedFor": [optional, max_items(_RESERVED_MAX), unique(_uid)],
    "devices": [optional, unique(shared_id), declarative.each(
        struct(fields({"shareID": [optional_pointer, forms.uuid_form], "networkData": [optional_pointer, struct(_NETWORK)]})),
        key=shared_id,
    )],
})  # fmt: skip


def status(new: Obj, old: Obj, deleted: bool, known: dict[str, set[str]]) -> ErrorList:
    """Of an update: `new` and `old` are statuses."""
    path = "status"
    found = each_once(new.get("reservedFor"), _RESERVED_MAX, _consumer, _uid, f"{path}.reservedFor")
    allocation, before = new.get("allocation"), old.get("allocation")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    allocated = {shared_id(r) for r in results}
    found += each_once(new.get("devices"), -1, lambda d, p: _device(d, p, allocated), shared_id, f"{path}.devices")
    if new.get("reservedFor"):
        at = f"{path}.reservedFor"
        if allocation is None:
            found.append(field.forbidden(at, "may not be specified when `allocated` is not set"))
        elif deleted and any(r not in (old.get("reservedFor") or ()) for r in new["reservedFor"]):
            wrong = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            found.append(field.forbidden(at, wrong))
    at = f"{path}.allocation"
    if allocation is not None and before is not None:
        if not same(allocation, before):
            found.append(covered(field.invalid(at, None, "field is immutable"), "update"))
    elif allocation is not None:
        found += _allocation(allocation, at, known)
    return found


def _consumer(reference: Obj, path: str) -> ErrorList:
    return [field.required(f"{path}.{n}") for n in ("resource", "name", "uid") if not reference.get(n)]


def _allocation(allocation: Obj, path: str, known: dict[str, set[str]]) -> ErrorList:
    devices, at = allocation.get("devices") or {}, f"{path}.devices"
    found = each(devices.get("results"), _RESULTS_MAX, lambda r, p: _result(r, p, known), f"{at}.results")
    found += each(devices.get("config"), 2 * claims.CONFIG_MAX, lambda c, p: _config(c, p, known), f"{at}.config")
    selector = allocation.get("nodeSelector")
    return found if selector is None else found + node_selector(selector, f"{path}.nodeSelector")


def _result(result: Obj, path: str, known: dict[str, set[str]]) -> ErrorList:
    found = request_reference(result.get("request") or "", f"{path}.request", known)
    found += forms.driver(result.get("driver") or "", f"{path}.driver", hidden=True)
    pool = result.get("pool") or ""
    found += hide(forms.pool(pool, f"{path}.pool"), "format=k8s-resource-pool-name" if pool else "")
    found += forms.label(result.get("device") or "", f"{path}.device")
    found += binding_conditions(result, path)
    for i, toleration in enumerate(result.get("tolerations") or ()):
        found += claims.toleration(toleration, f"{path}.tolerations[{i}]")
    share = result.get("shareID")
    return found if share is None else found + hide(forms.uuid(share, f"{path}.shareID"), "format=k8s-uuid")


def _config(config: Obj, path: str, known: dict[str, set[str]]) -> ErrorList:
    source = config.get("source") or ""
    found: ErrorList = []
    if not source:
        found.append(covered(field.required(f"{path}.source")))
    elif source not in _SOURCES:
        found.append(covered(field.not_supported(f"{path}.source", source, _SOURCES)))
    found += each_once(
        config.get("requests"), claims.REQUESTS_MAX, lambda v, p: request_reference(v, p, known), lambda v: v,
        f"{path}.requests",
    )  # fmt: skip
    return found + claims.configuration(config, path)


def binding_conditions(device: Obj, path: str) -> ErrorList:
    """Conditions under which an allocated device may be used; those that fail it go with them."""
    ready, failed = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    ready_path, failed_path = f"{path}.bindingConditions", f"{path}.bindingFailureConditions"
    found = each(ready, _BINDING_CONDITIONS_MAX, label_name, ready_path)
    found += each(failed, _BINDING_CONDITIONS_MAX, label_name, failed_path)
    found += _repeated(ready, ready_path)
    for i, name in enumerate(failed):
        if name in failed[:i]:
            found.append(field.duplicate(f"{failed_path}[{i}]", name))
        if name in ready:
            wrong = "bindingFailureConditions must not overlap with bindingConditions"
            found.append(field.invalid(f"{failed_path}[{i}]", name, wrong))
    if not ready and failed:
        wrong = "bindingConditions are required to use bindingFailureConditions"
        found.append(field.invalid(ready_path, device.get("bindingConditions"), wrong))
    if not failed and ready:
        wrong = "bindingFailureConditions are required to use bindingConditions"
        found.append(field.invalid(failed_path, device.get("bindingFailureConditions"), wrong))
    return found


def _repeated(values: list[str], path: str) -> ErrorList:
    return [field.duplicate(f"{path}[{i}]", v) for i, v in enumerate(values) if v in values[:i]]


def _device(device: Obj, path: str, allocated: set[tuple[str, str, str, str]]) -> ErrorList:
    found = forms.driver(device.get("driver") or "", f"{path}.driver")
    found += forms.pool(device.get("pool") or "", f"{path}.pool")
    found += forms.label(device.get("device") or "", f"{path}.device")
    share = device.get("shareID")
    if share is not None:
        found += hide(forms.uuid(share, f"{path}.shareID"), "format=k8s-uuid")
    identity = shared_id(device)
    if identity not in allocated:
        driver, pool, name, share_id = identity
        shown = {"Driver": driver, "Pool": pool, "Device": name, "ShareID": share_id}
        found.append(field.invalid(path, shown, "must be an allocated device in the claim"))
    listed = device.get("conditions") or ()
    if len(listed) > _CONDITIONS_MAX:
        found.append(field.too_many(f"{path}.conditions", len(listed), _CONDITIONS_MAX))
    found += conditions(device.get("conditions"), f"{path}.conditions")
    if device.get("data") is not None:
        found += claims.raw_object(device["data"], f"{path}.data", _DATA_MAX)
    network = device.get("networkData")
    return found if network is None else found + _network(network, f"{path}.networkData")


def _network(network: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for name, most in (("interfaceName", _INTERFACE_MAX), ("hardwareAddress", _HARDWARE_MAX)):
        if len((network.get(name) or "").encode()) > most:
            found.append(covered(field.too_long(f"{path}.{name}", most), "maxBytes"))
    return found + each_once(network.get("ips"), _IPS_MAX, _interface_address, lambda ip: ip, f"{path}.ips")


def _interface_address(text: str, path: str) -> ErrorList:
    """An address with the size of its network: `192.0.2.5/24`."""
    parsed = addresses.parse_cidr(text)
    if parsed is None:
        wrong = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        return [field.invalid(path, text, wrong)]
    return []
