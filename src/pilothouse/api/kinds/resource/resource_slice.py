"""ResourceSlice."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common import declarative, render
from pilothouse.api.kinds.common.declarative import fields, max_items, optional, struct, unique
from pilothouse.api.kinds.common.gated import Gated, drop
from pilothouse.api.kinds.common.gated import fields as places
from pilothouse.api.kinds.common.nodes import node_selector
from pilothouse.api.kinds.common.strategy import first_generation, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.resource import conversion, devices, forms
from pilothouse.api.kinds.resource.forms import each_once
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_DEVICES_MAX: Final = 128
_DEVICES_MAX_ADVANCED: Final = 64
_COUNTER_SETS_MAX: Final = 8
_WHERE: Final = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_LISTS: Final = ("ints", "bools", "strings", "versions")

_DEVICES: Final = "spec.devices"
_GATED: Final = (
    Gated("DRAPartitionableDevicesType", places("spec.partitionTypeAttribute")),
    Gated("DRADeviceTaints", places(f"{_DEVICES}.taints")),
    Gated("DRAPartitionableDevices", places(
        "spec.sharedCounters", "spec.perDeviceNodeSelection",
        *(f"{_DEVICES}.{n}" for n in ("consumesCounters", "nodeName", "nodeSelector", "allNodes")),
    )),
    Gated("DRADeviceBindingConditions", places(
        *(f"{_DEVICES}.{n}" for n in ("bindingConditions", "bindingFailureConditions", "bindsToNode")),
    )),
    Gated("DRAConsumableCapacity", places(
        f"{_DEVICES}.allowMultipleAllocations", f"{_DEVICES}.capacity.*.requestPolicy",
    )),
    Gated("DRADeviceCompatibilityGroups", places(f"{_DEVICES}.consumesCounters.compatibilityGroups")),
    Gated("DRANodeAllocatableResources", places(f"{_DEVICES}.nodeAllocatableResources")),
    Gated("DRAListTypeAttributes", places(*(f"{_DEVICES}.attributes.*.{n}" for n in _LISTS))),
    Gated("DRAOptionalNodeOperations", places("spec.skipNodeOperations")),
)  # fmt: skip


def _name_of(item: Any) -> Any:
    return (item or {}).get("name") or ""


_RULES = fields({"spec": [struct(fields({
    "devices": devices.DEVICE_RULES,
    "sharedCounters": [
        optional, max_items(_COUNTER_SETS_MAX), unique(_name_of),
        declarative.each(struct(devices.COUNTER_SET_RULES), key=_name_of),
    ],
}))]})  # fmt: skip


def _own(obj: Obj, old: Obj | None) -> ErrorList:
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    found = forms.driver(spec.get("driver") or "", "spec.driver") + _pool(spec.get("pool") or {})
    if old is not None:
        name, was = (spec.get("pool") or {}).get("name") or "", (before.get("pool") or {}).get("name") or ""
        found += _unchanged(name, was, "spec.pool.name")
        found += _unchanged(spec.get("driver") or "", before.get("driver") or "", "spec.driver")
        found += _unchanged(spec.get("nodeName"), before.get("nodeName"), "spec.nodeName")
    found += _where(spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        found.append(field.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed"))
    earlier = {_name_of(d): d for d in reversed(before.get("devices") or ())}
    chooses = bool(spec.get("perDeviceNodeSelection"))
    found += each_once(
        spec.get("devices"), _DEVICES_MAX_ADVANCED if _is_advanced(spec) else _DEVICES_MAX,
        lambda d, p: devices.device(d, earlier.get(_name_of(d)), p, chooses), _name_of, "spec.devices", hidden=False,
    )  # fmt: skip
    counters = spec.get("sharedCounters")
    return found + each_once(counters, _COUNTER_SETS_MAX, devices.counter_set, _name_of, "spec.sharedCounters")


def _unchanged(new: Any, old: Any, path: str) -> ErrorList:
    return [] if new == old else [field.invalid(path, new, "field is immutable")]


def _is_advanced(spec: Obj) -> bool:
    return any(
        d.get("taints") or d.get("consumesCounters")
        or any(a.get(n) is not None for a in (d.get("attributes") or {}).values() for n in _LISTS)
        for d in spec.get("devices") or ()
    )  # fmt: skip


def _pool(pool: Obj) -> ErrorList:
    found = forms.pool(pool.get("name") or "", "spec.pool.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        found.append(field.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        wrong = "must be greater than or equal to zero"
        found.append(field.invalid("spec.pool.generation", generation, wrong))
    return found


def _where(spec: Obj) -> ErrorList:
    found: ErrorList = []
    given: list[str] = []
    node, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if node:
        given.append("`nodeName`")
        found += forms.subdomain(node, "spec.nodeName")
    elif node is not None:
        found.append(field.invalid("spec.nodeName", node, "must be either unset or set to a non-empty string"))
    if selector is not None:
        given.append("`nodeSelector`")
        found += node_selector(selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            shown = render.internals("core/v1.NodeSelectorTerm", selector.get("nodeSelectorTerms"))
            wrong = "must have exactly one node selector term"
            found.append(field.invalid("spec.nodeSelector.nodeSelectorTerms", shown, wrong))
    for name in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(name):
            given.append(f"`{name}`")
        elif spec.get(name) is not None:
            found.append(field.invalid(f"spec.{name}", spec[name], "must be either unset or set to true"))
    if not given:
        found.append(field.required("spec", _WHERE))
    elif len(given) > 1:
        found.append(field.invalid("spec", "{" + ", ".join(given) + "}", f"{_WHERE}, but multiple fields are set"))
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj, None), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new, old), _RULES, new, old)


def _prepare_create(obj: Obj) -> None:
    first_generation(obj)
    drop(_GATED, obj, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    next_generation(new, old, "spec")
    drop(_GATED, new, old)


def _stamp(new: Obj, _old: Obj | None, now: str) -> None:
    for device in (new.get("spec") or {}).get("devices") or ():
        for taint in device.get("taints") or ():
            taint.setdefault("timeAdded", now)


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    driver = (new.get("spec") or {}).get("driver") or ""
    if driver == driver.lower():
        return []
    return [f"spec.driver: driver names should be lowercase; {quote(driver)} contains uppercase characters"]


def _fields(obj: Obj) -> dict[str, str]:
    spec = obj.get("spec") or {}
    return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver") or ""}


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name") or ""
    return [meta(obj).get("name", ""), spec.get("nodeName") or "", spec.get("driver") or "", pool, age(obj, now_s)]


KIND = Kind(
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    stamp=_stamp,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    fields=_fields,
    field_names=frozenset({"spec.nodeName", "spec.driver"}),
    row=_row,
    decode={"v1beta1": conversion.slice_from},
    encode={"v1beta1": conversion.slice_to},
    reset_fields=frozenset(),
)
