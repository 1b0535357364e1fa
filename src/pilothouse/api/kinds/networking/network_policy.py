"""NetworkPolicy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses, declarative, selectors
from pilothouse.api.kinds.common.declarative import (
    covered,
    each,
    fields,
    optional,
    optional_pointer,
    required,
    struct,
)  # fmt: skip
from pilothouse.api.kinds.common.strategy import first_generation, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_DIRECTIONS: Final = (("ingress", "from"), ("egress", "to"))
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
_PEER = struct(fields({"ipBlock": [optional_pointer, struct(fields({"cidr": [required]}))]}))
_RULES = fields(
    {
        "spec": [
            struct(
                fields(
                    {
                        direction: [optional, each(struct(fields({peers: [optional, each(_PEER)]})))]
                        for direction, peers in _DIRECTIONS
                    }
                )
            )
        ]
    }
)


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction, _ in _DIRECTIONS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"


def _prepare_update(new: Obj, old: Obj) -> None:
    next_generation(new, old, "spec")


def _port(port: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        found.append(field.not_supported(f"{path}.protocol", protocol, _PROTOCOLS))
    if isinstance(number, int):
        found += [field.invalid(f"{path}.port", number, d) for d in names.port_number(number)]
        if end is not None:
            if end < number:
                found.append(field.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
            found += [field.invalid(f"{path}.endPort", end, d) for d in names.port_number(end)]
        return found
    if end is not None:
        what = "not specified" if number is None else "non-numeric"
        found.append(field.invalid(f"{path}.endPort", end, f"may not be specified when `port` is {what}"))
    if number is not None:
        found += [field.invalid(f"{path}.port", number, d) for d in names.port_name(number)]
    return found


def _peer(peer: Obj, path: str, allow_invalid_values: bool, stored: list[str]) -> ErrorList:
    found: ErrorList = []
    chosen = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    for name in chosen:
        if name == "ipBlock":
            found += _ip_block(peer[name], f"{path}.ipBlock", stored)
        else:
            found += selectors.label_selector(peer[name], f"{path}.{name}", allow_invalid_values=allow_invalid_values)
    if not chosen:
        found.append(field.required(path, "must specify a peer"))
    elif len(chosen) > 1 and "ipBlock" in chosen:
        found.append(field.forbidden(path, "may not specify both ipBlock and another peer"))
    return found


def _ip_block(block: Obj, path: str, stored: list[str]) -> ErrorList:
    text = block.get("cidr") or ""
    if not text:
        return [covered(field.required(f"{path}.cidr"))]
    found = addresses.legacy_cidr(text, f"{path}.cidr", stored)
    parsed = addresses.parse_cidr(text)
    if parsed is None:
        return found
    network = parsed[1]
    for i, one in enumerate(block.get("except") or ()):
        at = f"{path}.except[{i}]"
        found += addresses.legacy_cidr(one, at, stored)
        inner = addresses.parse_cidr(one)
        if inner is None:
            continue
        start = inner[1].network_address
        inside = start.version == network.version and start in network
        if not inside or network.prefixlen >= inner[1].prefixlen:
            found.append(field.invalid(at, one, "must be a strict subset of `cidr`"))
    return found


def _own(spec: Obj, *, allow_invalid_values: bool = False, stored: list[str] | None = None) -> ErrorList:
    found = selectors.label_selector(
        spec.get("podSelector"), "spec.podSelector", allow_invalid_values=allow_invalid_values
    )
    for direction, peers in _DIRECTIONS:
        for i, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{i}]"
            for j, port in enumerate(rule.get("ports") or ()):
                found += _port(port, f"{path}.ports[{j}]")
            for j, peer in enumerate(rule.get(peers) or ()):
                found += _peer(peer, f"{path}.{peers}[{j}]", allow_invalid_values, stored or [])
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        return [*found, field.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
    for i, kind in enumerate(types):
        if kind not in ("Ingress", "Egress"):
            found.append(field.not_supported(f"spec.policyTypes[{i}]", kind, ["Ingress", "Egress"]))
    return found


def _blocks(spec: Obj) -> Iterator[tuple[str, Obj]]:
    for direction, peers in _DIRECTIONS:
        for i, rule in enumerate(spec.get(direction) or ()):
            for j, peer in enumerate(rule.get(peers) or ()):
                if peer.get("ipBlock") is not None:
                    yield f"spec.{direction}[{i}].{peers}[{j}].ipBlock", peer["ipBlock"]


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj.get("spec") or {}), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    before = old.get("spec") or {}
    stored = [c for _, block in _blocks(before) for c in (block.get("cidr") or "", *(block.get("except") or ()))]
    lenient = bool(selectors.label_selector(before.get("podSelector"), ""))
    found = _own(new.get("spec") or {}, allow_invalid_values=lenient, stored=stored)
    return declarative.merged(found, _RULES, new, old)


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    out = []
    for path, block in _blocks(new.get("spec") or {}):
        out += addresses.cidr_warnings(block.get("cidr") or "", f"{path}.cidr")
        for i, one in enumerate(block.get("except") or ()):
            out += addresses.cidr_warnings(one, f"{path}.except[{i}]")
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    selector = (obj.get("spec") or {}).get("podSelector")
    return [meta(obj).get("name", ""), selectors.show(selector), age(obj, now_s)]


KIND = Kind(
    default=_default,
    prepare_create=first_generation,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
)
