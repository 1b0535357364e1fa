"""The devices of a ResourceSlice. Source: upstream's pkg/apis/resource/validation and declarative tags."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, render
from pilothouse.api.kinds.common.declarative import (
    covered,
    each_key,
    each_value,
    enum,
    fields,
    max_items,
    optional,
    required,
    short_name,
    struct,
    union,
    unique,
)
from pilothouse.api.kinds.common.nodes import node_selector
from pilothouse.api.kinds.common.selectors import label_name, same
from pilothouse.api.kinds.resource import capacities, forms
from pilothouse.api.kinds.resource.claim_status import binding_conditions
from pilothouse.api.kinds.resource.claims import EFFECTS
from pilothouse.api.kinds.resource.expressions import PER_DEVICE_MAX, VALUE_MAX
from pilothouse.api.kinds.resource.forms import each, each_entry, each_once, hide
from pilothouse.api.objects import Obj

_VALUES_MAX: Final = 48
_TAINTS_MAX: Final = 16
_CONSUMED_MAX: Final = 2
_BINDING_CONDITIONS_MAX: Final = 4
COUNTERS_MAX: Final = 32
_SINGLE: Final = ("int", "bool", "string", "version")
_LISTS: Final = ("ints", "bools", "strings", "versions")
_NUMBER: Final = r"(0|[1-9]\d*)"
_PRE: Final = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE}(\.{_PRE})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
)


def _name_of(item: Any) -> Any:
    return (item or {}).get("name") or ""


def _counter_set_of(item: Any) -> Any:
    return (item or {}).get("counterSet") or ""


_TAINT = fields({"effect": [required, enum(*EFFECTS)]})
_COUNTERS = [required, each_key(short_name)]
_DEVICE = fields({
    "attributes": [optional, each_value(struct(union((*_SINGLE, *_LISTS))))],
    "consumesCounters": [
        optional, max_items(_CONSUMED_MAX), unique(_counter_set_of), declarative.each(
            struct(fields({"counterSet": [required, short_name], "counters": _COUNTERS})), key=_counter_set_of),
    ],
    "taints": [optional, declarative.each(struct(_TAINT))],
    "bindingConditions": [optional, max_items(_BINDING_CONDITIONS_MAX)],
    "bindingFailureConditions": [optional, max_items(_BINDING_CONDITIONS_MAX)],
})  # fmt: skip
DEVICE_RULES: Final = [optional, declarative.each(struct(_DEVICE), key=_name_of)]
COUNTER_SET_RULES: Final = fields({"name": [required, short_name], "counters": _COUNTERS})
TAINT_RULES: Final = _TAINT


def device(device: Obj, old: Obj | None, path: str, chooses_nodes: bool) -> ErrorList:
    """`chooses_nodes`: each device of the slice says which nodes it is for."""
    found = forms.label(_name_of(device), f"{path}.name")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > PER_DEVICE_MAX:
        wrong = f"the total number of attributes and capacities must not exceed {PER_DEVICE_MAX}"
        found.append(field.invalid(path, count, wrong))
    values = sum(sum(len(a.get(n) or ()) for n in _LISTS) or 1 for a in attributes.values())
    if values > _VALUES_MAX:
        wrong = f"the total number of attribute values must not exceed {_VALUES_MAX}"
        found.append(field.invalid(path, values, wrong))
    found += each_entry(attributes, -1, forms.qualified, _attribute, f"{path}.attributes")
    if old is None or not same(old.get("capacity"), device.get("capacity")):
        judge = capacities.shared if device.get("allowMultipleAllocations") else capacities.whole
        found += each_entry(capacity, -1, forms.qualified, judge, f"{path}.capacity")
    if old is None or not same(old.get("taints"), device.get("taints")):
        found += each(device.get("taints"), _TAINTS_MAX, taint, f"{path}.taints", hidden=False)
    found += each_once(
        device.get("consumesCounters"), _CONSUMED_MAX, _consumption, _counter_set_of, f"{path}.consumesCounters"
    )
    return found + _nodes(device, path, chooses_nodes) + binding_conditions(device, path)


def _nodes(device: Obj, path: str, chooses: bool) -> ErrorList:
    node, selector, every = device.get("nodeName"), device.get("nodeSelector"), device.get("allNodes")
    if not chooses:
        if node is None and selector is None and every is None:
            return []
        wrong = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in "
            "the ResourceSlice spec"
        )
        return [field.invalid(path, None, wrong)]
    found: ErrorList = []
    given: list[str] = []
    if node:
        given.append("`nodeName`")
        found += forms.subdomain(node, f"{path}.nodeName")
    elif node is not None:
        found.append(field.invalid(f"{path}.nodeName", node, "must not be empty"))
    if selector is not None:
        given.append("`nodeSelector`")
        found += node_selector(selector, f"{path}.nodeSelector")
    if every:
        given.append("`allNodes`")
    elif every is not None:
        found.append(field.invalid(f"{path}.allNodes", every, "must be either unset or set to true"))
    wrong = (
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
        "true in the ResourceSlice spec"
    )
    if not given:
        found.append(field.required(path, wrong))
    elif len(given) > 1:
        found.append(field.invalid(path, "{" + ", ".join(given) + "}", wrong))
    return found


def _attribute(attribute: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    if attribute.get("string") is not None:
        found += _text(attribute["string"], f"{path}.string")
    if attribute.get("version") is not None:
        found += _version(attribute["version"], f"{path}.version")
    given = [n for n in _SINGLE if attribute.get(n) is not None]
    for name in _LISTS:
        values = attribute.get(name)
        if values is None:
            continue
        given.append(name)
        if not values:
            found.append(field.invalid(f"{path}.{name}", values, "must not be empty if specified"))
        for i, value in enumerate(values):
            if name == "strings":
                found += hide(_text(value, f"{path}.strings[{i}]"), "maxBytes")
            elif name == "versions":
                found += _version(value, f"{path}.versions[{i}]")
    if len(given) != 1:
        shown = render.internal("resource/v1.DeviceAttribute", attribute) if given else ""
        found.append(covered(field.invalid(path, shown, "exactly one value must be specified"), "union"))
    return found


def _text(value: str, path: str) -> ErrorList:
    return [field.too_long(path, VALUE_MAX)] if len(value.encode()) > VALUE_MAX else []


def _version(value: str, path: str) -> ErrorList:
    found: ErrorList = []
    if not _SEMVER.fullmatch(value):
        found.append(field.invalid(path, value, "must be a string compatible with semver.org spec 2.0.0"))
    return found + _text(value, path)


def taint(taint: Obj, path: str, old: Obj | None = None) -> ErrorList:
    found = label_name(taint.get("key") or "", f"{path}.key")
    value, effect = taint.get("value") or "", taint.get("effect") or ""
    if value:
        found += [field.invalid(f"{path}.value", value, d) for d in names.label_value(value)]
    if old is not None and (old.get("effect") or "") == effect:
        return found
    if not effect:
        found.append(covered(field.required(f"{path}.effect")))
    elif effect not in EFFECTS:
        found.append(covered(field.not_supported(f"{path}.effect", effect, EFFECTS)))
    return found


def _consumption(consumption: Obj, path: str) -> ErrorList:
    return _counters("counterSet", consumption, path)


def counter_set(counters: Obj, path: str) -> ErrorList:
    return _counters("name", counters, path)


def _counters(name: str, holder: Obj, path: str) -> ErrorList:
    text, counters = holder.get(name) or "", holder.get("counters")
    found: ErrorList = []
    if text:
        found += hide(forms.label(text, f"{path}.{name}"), "format=k8s-short-name")
    else:
        found.append(covered(field.required(f"{path}.{name}")))
    if not counters:
        return [*found, covered(field.required(f"{path}.counters"))]
    return found + each_entry(
        counters, COUNTERS_MAX, forms.label, lambda *_: [], f"{path}.counters", key_max=63, hidden_keys=True
    )
