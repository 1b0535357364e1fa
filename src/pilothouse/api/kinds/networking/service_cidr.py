"""ServiceCIDR."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.strategy import drop_status, update_status, update_without_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def _prepare_create(obj: Obj) -> None:
    if gates.is_open("ServiceCIDRStatusFieldWiping"):
        drop_status(obj)


def _prepare_update(new: Obj, old: Obj) -> None:
    if gates.is_open("ServiceCIDRStatusFieldWiping"):
        update_without_generation(new, old)


def _family(text: str) -> int:
    parsed = addresses.parse_cidr(text)
    return 0 if parsed is None else parsed[1].version


def _own(spec: Obj) -> ErrorList:
    cidrs = spec.get("cidrs") or []
    path = "spec.cidrs"
    if not cidrs:
        return [field.required(path, "at least one CIDR required")]
    if len(cidrs) > 2:
        value = internal("networking/v1.ServiceCIDRSpec", spec)
        return [field.invalid(path, value, "may only hold up to 2 values")]
    found: ErrorList = []
    for i, text in enumerate(cidrs):
        found += addresses.cidr(text, f"{path}[{i}]")
    if len(cidrs) == 2 and _family(cidrs[0]) == _family(cidrs[1]) != 0:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        found.append(field.invalid(path, cidrs, detail))
    return found


def _validate(obj: Obj) -> ErrorList:
    return _own(obj.get("spec") or {})


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    """A second family may be added; nothing else changes."""
    spec = new.get("spec") or {}
    cidrs, before = spec.get("cidrs"), (old.get("spec") or {}).get("cidrs") or []
    given = cidrs or []
    changed = [i for i, (now, was) in enumerate(zip(given, before, strict=False)) if now != was]
    found = [field.invalid(f"spec.cidrs[{i}]", given[i], "field is immutable") for i in changed]
    if len(given) == len(before):
        return found
    if len(before) == 1 and len(given) == 2:
        return found + _own(spec)
    return [field.invalid("spec.cidrs", cidrs, "field is immutable")]


def _row(obj: Obj, now_s: float) -> list[Any]:
    cidrs = ",".join((obj.get("spec") or {}).get("cidrs") or ())
    return [meta(obj).get("name", ""), cidrs, age(obj, now_s)]


KIND = Kind(
    status_reset_fields=frozenset({"metadata", "spec"}),
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
)
