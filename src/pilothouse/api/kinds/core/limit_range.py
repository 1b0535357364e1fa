"""LimitRange."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import compare, parse, round_list
from pilothouse.api.kinds.common.resources import container_resource_name, may_overcommit, resource_name
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta

_PARTS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
_MAX_MILLI: Final = (2**63 - 1) // 1000


def _default(obj: Obj) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            limits, requests = dict(item.get("default") or {}), dict(item.get("defaultRequest") or {})
            for source, target in ((item.get("max"), limits), (limits, requests), (item.get("min"), requests)):
                for name, quantity in (source or {}).items():
                    target.setdefault(name, quantity)
            for part, values in (("default", limits), ("defaultRequest", requests)):
                if values:
                    item[part] = values
        for part in _PARTS:
            round_list(item.get(part))


def _validate(obj: Obj) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path = f"spec.limits[{i}]"
        kind = item.get("type") or ""
        found += _type(kind, f"{path}.type")
        if kind in seen:
            found.append(field.duplicate(f"{path}.type", kind))
        seen.add(kind)
        found += _names(item, kind, path)
        parts = {part: item.get(part) or {} for part in _PARTS}
        if kind == "Pod":
            parts |= {"default": {}, "defaultRequest": {}}
        for key in sorted({k for values in parts.values() for k in values}):
            found += _relations(key, {part: values.get(key) for part, values in parts.items()}, path)
    return found


def _type(kind: str, path: str) -> ErrorList:
    found = [field.invalid(path, kind, d) for d in names.qualified_name(kind)]
    if not found and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
        found.append(field.invalid(path, kind, "must be a standard limit type or fully qualified"))
    return found


def _names(item: Obj, kind: str, path: str) -> ErrorList:
    rule = container_resource_name if kind in ("Pod", "Container") else resource_name
    found: ErrorList = []
    for part in _PARTS:
        values = item.get(part) or {}
        bounded = "storage" in (item.get("min") or {}) or "storage" in (item.get("max") or {})
        if part == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim" and not bounded:
            detail = "either minimum or maximum storage value is required, but neither was provided"
            found.append(field.required(f"{path}.limits", detail))
        if kind == "Pod" and part in ("default", "defaultRequest"):
            if values:
                found.append(field.forbidden(f"{path}.{part}", "may not be specified when `type` is 'Pod'"))
            continue
        for name in values:
            found += rule(name, f"{path}.{part}[{name}]")
    return found


def _relations(key: str, values: dict[str, Any], path: str) -> ErrorList:
    found: ErrorList = []
    least, most, ratio = values["min"], values["max"], values["maxLimitRequestRatio"]
    limit, request = values["default"], values["defaultRequest"]

    def in_order(low: Any, high: Any, part: str, shown: Any, low_name: str, high_name: str) -> None:
        if low is not None and high is not None and compare(low, high) > 0:
            detail = f"{low_name} value {low} is greater than {high_name} value {high}"
            found.append(field.invalid(f"{path}.{part}[{key}]", shown, detail))

    in_order(least, most, "min", least, "min", "max")
    in_order(least, request, "defaultRequest", request, "min", "default request")
    in_order(request, most, "defaultRequest", request, "default request", "max")
    in_order(request, limit, "defaultRequest", request, "default request", "default limit")
    in_order(least, limit, "default", least, "min", "default")
    in_order(limit, most, "default", most, "default", "max")
    if ratio is not None:
        found += _ratio(ratio, least, most, f"{path}.maxLimitRequestRatio[{key}]")
    if not may_overcommit(key) and limit is not None and request is not None and compare(limit, request):
        detail = f"default value {limit} must equal to defaultRequest value {request} in {key}"
        found.append(field.invalid(f"{path}.defaultRequest[{key}]", request, detail))
    return found


def _ratio(ratio: Any, least: Any, most: Any, path: str) -> ErrorList:
    found: ErrorList = []
    if compare(ratio, "1") < 0:
        found.append(field.invalid(path, ratio, f"ratio {ratio} is less than 1"))
    if least is None or most is None:
        return found
    wanted, low, high = parse(ratio), parse(least), parse(most)
    value, low_value, high_value = float(wanted.value()), low.value(), high.value()
    if max(wanted.value(), low_value, high_value) < _MAX_MILLI:
        value, low_value, high_value = wanted.milli() / 1000, low.milli(), high.milli()
    # Division by zero has Go's answers.
    if low_value:
        bound = high_value / low_value
    else:
        bound = float("inf") if high_value > 0 else float("-inf") if high_value < 0 else float("nan")
    if value > bound:
        shown = {"inf": "+Inf", "-inf": "-Inf"}.get(str(bound), f"{bound:f}")
        found.append(field.invalid(path, ratio, f"ratio {ratio} is greater than max/min = {shown}"))
    return found


def _row(obj: Obj, _now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), meta(obj).get("creationTimestamp") or ""]


KIND = Kind(
    names_are_checked_again=True,
    names_itself=True,
    default=_default,
    validate=_validate,
    validate_update=lambda new, _old: _validate(new),
    row=_row,
    create_on_update=True,
)
