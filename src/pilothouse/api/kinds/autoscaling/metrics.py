"""The metrics that an autoscaler looks at: their rules, and how tables show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import compare
from pilothouse.api.kinds.common.resources import container_resource_name
from pilothouse.api.objects import Obj

# type → field
TYPES: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_SHOWN: Final = 2


def api_version_error(text: str, *, allow_core: bool) -> str:
    """What is wrong with a reference's apiVersion."""
    if not text or text == "/":
        group = ""
    elif text.count("/") > 1:
        return f"unexpected GroupVersion string: {text}"
    else:
        group = text.partition("/")[0] if "/" in text else ""
    return "" if group or allow_core else "apiVersion must specify API group"


def reference(ref: Obj, path: str, *, allow_core: bool, any_version: bool) -> ErrorList:
    found: ErrorList = []
    for name in ("kind", "name"):
        text = ref.get(name) or ""
        if text:
            found += [field.invalid(f"{path}.{name}", text, d) for d in names.path_segment(text)]
        else:
            found.append(field.required(f"{path}.{name}"))
    version = ref.get("apiVersion") or ""
    wrong = "" if any_version else api_version_error(version, allow_core=allow_core)
    if wrong:
        found.append(field.invalid(f"{path}.apiVersion", version, wrong))
    return found


def metrics(values: list[Obj] | None, path: str, least: int | None, *, any_version: bool) -> ErrorList:
    """`least`: the fewest replicas; scaling to zero needs a metric that is there without pods."""
    found: ErrorList = []
    for i, metric in enumerate(values or ()):
        found += _metric(metric, f"{path}[{i}]", any_version)
    if least == 0 and not any(m.get("type") in ("Object", "External") for m in values or ()):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.append(field.forbidden(path, detail))
    return found


def _metric(metric: Obj, path: str, any_version: bool) -> ErrorList:
    found: ErrorList = []
    kind = metric.get("type") or ""
    if not kind:
        found.append(field.required(f"{path}.type", "must specify a metric source type"))
    if kind not in TYPES:
        found.append(field.not_supported(f"{path}.type", kind, TYPES))
    present = [name for name in ("object", "external", "pods", "resource", "containerResource") if metric.get(name)
               is not None]  # fmt: skip
    if present:
        first = present[0]
        source, at = metric[first], f"{path}.{first}"
        found += _object(source, at, any_version) if first == "object" else _RULES[first](source, at)
    expected = TYPES.get(kind)
    if expected is None:
        found.append(field.not_supported(f"{path}.type", kind, TYPES))
    elif expected not in present:
        detail = "must populate information for the given metric source"
        found.append(field.required(f"{path}.{expected}", detail))
    if len(present) != 1:
        others = [name for name in present if name != expected]
        detail = "must populate the given metric source only"
        found += [field.forbidden(f"{path}.{name}", detail) for name in others]
    return found


def _object(source: Obj, path: str, any_version: bool) -> ErrorList:
    target = source.get("target") or {}
    found = reference(
        source.get("describedObject") or {}, f"{path}.describedObject", allow_core=True, any_version=any_version
    )
    found += _identifier(source, path) + _target(target, f"{path}.target")
    if target.get("value") is None and target.get("averageValue") is None:
        detail = "must set either a target value or averageValue"
        found.append(field.required(f"{path}.target.averageValue", detail))
    return found


def _external(source: Obj, path: str) -> ErrorList:
    target = source.get("target") or {}
    found = _identifier(source, path) + _target(target, f"{path}.target")
    value, average = target.get("value"), target.get("averageValue")
    if value is None and average is None:
        detail = "must set either a target value for metric or a per-pod target"
        found.append(field.required(f"{path}.target.averageValue", detail))
    if value is not None and average is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        found.append(field.forbidden(f"{path}.target.value", detail))
    return found


def _pods(source: Obj, path: str) -> ErrorList:
    target = source.get("target") or {}
    found = _identifier(source, path) + _target(target, f"{path}.target")
    if target.get("averageValue") is None:
        detail = "must specify a positive target averageValue"
        found.append(field.required(f"{path}.target.averageValue", detail))
    return found


def _container_resource(source: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    name, container = source.get("name") or "", source.get("container") or ""
    if name:
        found += container_resource_name(name, f"{path}.name")
    else:
        found.append(field.required(f"{path}.name", "must specify a resource name"))
    if container:
        found += [field.invalid(f"{path}.container", container, d) for d in names.dns1123_label(container)]
    else:
        found.append(field.required(f"{path}.container", "must specify a container"))
    return found + _resource_target(source, path)


def _resource(source: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    if not source.get("name"):
        found.append(field.required(f"{path}.name", "must specify a resource name"))
    return found + _resource_target(source, path)


def _resource_target(source: Obj, path: str) -> ErrorList:
    target = source.get("target") or {}
    found = _target(target, f"{path}.target")
    percent, average = target.get("averageUtilization"), target.get("averageValue")
    if percent is None and average is None:
        detail = "must set either a target raw value or a target utilization"
        found.append(field.required(f"{path}.target.averageUtilization", detail))
    if percent is not None and average is not None:
        detail = "may not set both a target raw value and a target utilization"
        found.append(field.forbidden(f"{path}.target.averageValue", detail))
    return found


_RULES: Final[dict[str, Callable[[Obj, str], ErrorList]]] = {
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


def _target(target: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    kind = target.get("type") or ""
    if not kind:
        found.append(field.required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        detail = "must be either Utilization, Value, or AverageValue"
        found.append(field.invalid(f"{path}.type", kind, detail))
    for name in ("value", "averageValue"):
        amount = target.get(name)
        if amount is not None and compare(amount, "0") <= 0:
            found.append(field.invalid(f"{path}.{name}", amount, "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        found.append(field.invalid(f"{path}.averageUtilization", percent, "must be greater than 0"))
    return found


def _identifier(source: Obj, path: str) -> ErrorList:
    name = (source.get("metric") or {}).get("name") or ""
    if not name:
        return [field.required(f"{path}.metric.name", "must specify a metric name")]
    return [field.invalid(f"{path}.metric.name", name, d) for d in names.path_segment(name)]


def show(specs: list[Obj] | None, statuses: list[Obj] | None) -> str:
    """The Targets column: current over target of the first two metrics."""
    if not specs:
        return "<none>"
    known = statuses or []
    parts = [_show(spec, known[i] if i < len(known) else {}) for i, spec in enumerate(specs)]
    text = ", ".join(parts[:_SHOWN])
    return f"{text} + {len(parts) - _SHOWN} more..." if len(parts) > _SHOWN else text


def _show(spec: Obj, status: Obj) -> str:
    name = TYPES.get(spec.get("type") or "")
    if name is None:
        return "<unknown type>"
    source = spec.get(name) or {}
    target, told = source.get("target") or {}, status.get(name)
    current = (told or {}).get("current") or {}
    average = target.get("averageValue")

    def known(part: str, suffix: str = "") -> str:
        value: Any = current.get(part)
        return "<unknown>" if told is None or value is None else f"{value}{suffix}"

    if name == "pods":
        return f"{known('averageValue')}/{average or '0'}"
    if name in ("external", "object"):
        if average is not None:
            return f"{known('averageValue')}/{average} (avg)"
        return f"{known('value')}/{target.get('value') or '0'}"
    shown = source.get("name") or ""
    if average is not None:
        return f"{shown}: {known('averageValue')}/{average}"
    percent = target.get("averageUtilization")
    wanted = "<auto>" if percent is None else f"{percent}%"
    return f"{shown}: {known('averageUtilization', '%')}/{wanted}"
