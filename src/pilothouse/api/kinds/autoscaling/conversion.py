"""HorizontalPodAutoscaler between autoscaling/v2, which is stored, and autoscaling/v1, which keeps what it has no fields for in
annotations.

Source: upstream's pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from pilothouse.api.kinds.common.quantities import compare, parse
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.objects import Obj, copy

_PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
_METRICS: Final = f"{_PREFIX}metrics"
_STATUSES: Final = f"{_PREFIX}current-metrics"
_CONDITIONS: Final = f"{_PREFIX}conditions"
_BEHAVIOR: Final = f"{_PREFIX}behavior"
_ANNOTATIONS: Final = (
    _METRICS, _STATUSES, _CONDITIONS, _BEHAVIOR, f"{_PREFIX}scale-down-tolerance", f"{_PREFIX}scale-up-tolerance",
)  # fmt: skip
CPU_DEFAULT: Final = 80


def cpu_metric(percent: int) -> Obj:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _is_cpu_utilization(metric: Obj) -> bool:
    resource = metric.get("resource")
    if metric.get("type") != "Resource" or resource is None or resource.get("name") != "cpu":
        return False
    return (resource.get("target") or {}).get("averageUtilization") is not None


def _present(**fields: Any) -> Obj:
    return {k: v for k, v in fields.items() if v is not None}


def _reference(ref: Obj | None) -> Obj:
    ref = ref or {}
    out = {"kind": ref.get("kind") or "", "name": ref.get("name") or ""}
    return out | ({"apiVersion": ref["apiVersion"]} if ref.get("apiVersion") else {})


def _selector(selector: Obj | None) -> Obj | None:
    if selector is None:
        return None
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    out: Obj = {"matchLabels": dict(sorted(labels.items()))} if labels else {}
    if expressions:
        out["matchExpressions"] = [
            {"key": e.get("key") or "", "operator": e.get("operator") or ""}
            | ({"values": e["values"]} if e.get("values") else {})
            for e in expressions
        ]
    return out


def _metric_to_v1(metric: Obj) -> Obj:
    out: Obj = {"type": metric.get("type") or ""}
    source = metric.get("object")
    if source is not None:
        target, told = source.get("target") or {}, source.get("metric") or {}
        out["object"] = _present(
            target=_reference(source.get("describedObject")),
            metricName=told.get("name") or "",
            targetValue=target.get("value") or "0",
            selector=_selector(told.get("selector")),
            averageValue=target.get("averageValue"),
        )
    source = metric.get("pods")
    if source is not None:
        target, told = source.get("target") or {}, source.get("metric") or {}
        out["pods"] = _present(
            metricName=told.get("name") or "",
            targetAverageValue=target.get("averageValue") or "0",
            selector=_selector(told.get("selector")),
        )
    for kind in ("resource", "containerResource"):
        source = metric.get(kind)
        if source is not None:
            target = source.get("target") or {}
            out[kind] = _present(
                name=source.get("name") or "",
                targetAverageUtilization=target.get("averageUtilization"),
                targetAverageValue=target.get("averageValue"),
                container=(source.get("container") or "") if kind == "containerResource" else None,
            )
    source = metric.get("external")
    if source is not None:
        target, told = source.get("target") or {}, source.get("metric") or {}
        out["external"] = _present(
            metricName=told.get("name") or "",
            metricSelector=_selector(told.get("selector")),
            targetValue=target.get("value"),
            targetAverageValue=target.get("averageValue"),
        )
    return out


def _status_to_v1(metric: Obj) -> Obj:
    out: Obj = {"type": metric.get("type") or ""}
    source = metric.get("object")
    if source is not None:
        current, told = source.get("current") or {}, source.get("metric") or {}
        out["object"] = _present(
            target=_reference(source.get("describedObject")),
            metricName=told.get("name") or "",
            currentValue=current.get("value") or "0",
            selector=_selector(told.get("selector")),
            averageValue=current.get("averageValue"),
        )
    source = metric.get("pods")
    if source is not None:
        current, told = source.get("current") or {}, source.get("metric") or {}
        out["pods"] = _present(
            metricName=told.get("name") or "",
            currentAverageValue=current.get("averageValue") or "0",
            selector=_selector(told.get("selector")),
        )
    for kind in ("resource", "containerResource"):
        source = metric.get(kind)
        if source is not None:
            current = source.get("current") or {}
            out[kind] = _present(
                name=source.get("name") or "",
                currentAverageUtilization=current.get("averageUtilization"),
                currentAverageValue=current.get("averageValue") or "0",
                container=(source.get("container") or "") if kind == "containerResource" else None,
            )
    source = metric.get("external")
    if source is not None:
        current, told = source.get("current") or {}, source.get("metric") or {}
        out["external"] = _present(
            metricName=told.get("name") or "",
            metricSelector=_selector(told.get("selector")),
            currentValue=current.get("value") or "0",
            currentAverageValue=current.get("averageValue"),
        )
    return out


def _identifier(name: Any, selector: Any) -> Obj:
    return _present(name=name or "", selector=selector)


def _metric_from_v1(metric: Obj) -> Obj:
    out: Obj = {"type": metric.get("type") or ""}
    source = metric.get("object")
    if source is not None:
        average, value = source.get("averageValue"), str(source.get("targetValue") or "0")
        if average is not None and not compare(value, "0"):
            value = ""
        out["object"] = {
            "describedObject": _reference(source.get("target")),
            "target": _present(
                type="Value" if average is None else "AverageValue", value=value or None, averageValue=average
            ),
            "metric": _identifier(source.get("metricName"), source.get("selector")),
        }
    source = metric.get("pods")
    if source is not None:
        out["pods"] = {
            "metric": _identifier(source.get("metricName"), source.get("selector")),
            "target": {"type": "AverageValue", "averageValue": source.get("targetAverageValue") or "0"},
        }
    for kind in ("resource", "containerResource"):
        source = metric.get(kind)
        if source is not None:
            percent = source.get("targetAverageUtilization")
            out[kind] = {
                "name": source.get("name") or "",
                "target": _present(
                    type="AverageValue" if percent is None else "Utilization",
                    averageValue=source.get("targetAverageValue"),
                    averageUtilization=percent,
                ),
            }
            if kind == "containerResource":
                out[kind]["container"] = source.get("container") or ""
    source = metric.get("external")
    if source is not None:
        value = source.get("targetValue")
        out["external"] = {
            "metric": _identifier(source.get("metricName"), source.get("metricSelector")),
            "target": _present(
                type="AverageValue" if value is None else "Value",
                value=value,
                averageValue=source.get("targetAverageValue"),
            ),
        }
    return out


def _status_from_v1(metric: Obj) -> Obj:
    out: Obj = {"type": metric.get("type") or ""}
    source = metric.get("object")
    if source is not None:
        out["object"] = {
            "metric": _identifier(source.get("metricName"), source.get("selector")),
            "current": _present(value=source.get("currentValue") or "0", averageValue=source.get("averageValue")),
            "describedObject": _reference(source.get("target")),
        }
    source = metric.get("pods")
    if source is not None:
        out["pods"] = {
            "metric": _identifier(source.get("metricName"), source.get("selector")),
            "current": {"averageValue": source.get("currentAverageValue") or "0"},
        }
    for kind in ("resource", "containerResource"):
        source = metric.get(kind)
        if source is not None:
            out[kind] = {
                "name": source.get("name") or "",
                "current": _present(
                    averageValue=source.get("currentAverageValue") or "0",
                    averageUtilization=source.get("currentAverageUtilization"),
                ),
            }
            if kind == "containerResource":
                out[kind]["container"] = source.get("container") or ""
    source = metric.get("external")
    if source is not None:
        out["external"] = {
            "metric": _identifier(source.get("metricName"), source.get("metricSelector")),
            "current": _present(
                value=source.get("currentValue") or "0", averageValue=source.get("currentAverageValue")
            ),
        }
    return out


def _condition(condition: Obj) -> Obj:
    out: Obj = {
        "type": condition.get("type") or "",
        "status": condition.get("status") or "",
        "lastTransitionTime": condition.get("lastTransitionTime"),
    }
    for name in ("reason", "message", "observedGeneration"):
        if condition.get(name):
            out[name] = condition[name]
    return out


def _json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def to_v1(obj: Obj) -> Obj:
    """A stored autoscaler as autoscaling/v1 shows it."""
    out = {**obj, "apiVersion": "autoscaling/v1", "metadata": dict(obj.get("metadata") or {})}
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    told: dict[str, str] = {}
    metrics = spec.get("metrics") or []
    others = [_metric_to_v1(m) for m in metrics if not _is_cpu_utilization(m)]
    if others:
        told[_METRICS] = _json(others)
    if status.get("currentMetrics"):
        told[_STATUSES] = _json([_status_to_v1(m) for m in status["currentMetrics"]])
    if spec.get("behavior") is not None:
        told[_BEHAVIOR] = _json(internal("autoscaling/v2.HorizontalPodAutoscalerBehavior", spec["behavior"]))
    if status.get("conditions"):
        told[_CONDITIONS] = _json([_condition(c) for c in status["conditions"]])
    annotations = out["metadata"].get("annotations") or {}
    kept = {k: v for k, v in annotations.items() if k not in _ANNOTATIONS} | told
    if kept:
        out["metadata"]["annotations"] = kept
    else:
        out["metadata"].pop("annotations", None)
    out["spec"] = {k: v for k, v in spec.items() if k not in ("metrics", "behavior")}
    cpu = next((m for m in metrics if _is_cpu_utilization(m)), None)
    if cpu is not None:
        out["spec"]["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
    if "status" in obj:
        shown = {k: v for k, v in status.items() if k not in ("currentMetrics", "conditions")}
        replicas = {k: shown.pop(k, 0) for k in ("currentReplicas", "desiredReplicas")}
        out["status"] = {**shown, **replicas}
        for metric in status.get("currentMetrics") or ():
            resource = metric.get("resource") or {}
            percent = (resource.get("current") or {}).get("averageUtilization")
            if metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent is not None:
                out["status"]["currentCPUUtilizationPercentage"] = percent
    return out


def from_v1(obj: Obj) -> Obj:
    """An autoscaler of autoscaling/v1 as it is stored."""
    out = copy(obj) | {"apiVersion": "autoscaling/v2"}
    metadata = out.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    spec = out.setdefault("spec", {})
    metrics = [m for m in map(_metric_from_v1, _list(annotations.get(_METRICS))) if _is_sound(m)]
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        metrics.append(cpu_metric(percent))
    spec["metrics"] = metrics or [cpu_metric(CPU_DEFAULT)]
    behavior = _lowered(_parsed(annotations.get(_BEHAVIOR)))
    if isinstance(behavior, dict) and any(behavior.get(k) for k in ("scaleUp", "scaleDown")):
        spec["behavior"] = behavior
    _status_of(out, annotations)
    if any(name in annotations for name in _ANNOTATIONS):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k not in _ANNOTATIONS}
        if not metadata["annotations"]:
            del metadata["annotations"]
    return out  # type: ignore[no-any-return]


def _status_of(out: Obj, annotations: Obj) -> None:
    status = out.setdefault("status", {})
    percent = status.pop("currentCPUUtilizationPercentage", None)
    if percent is not None:
        current = {"averageUtilization": percent}
        status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
    if _STATUSES in annotations:
        status["currentMetrics"] = [_status_from_v1(m) for m in _list(annotations[_STATUSES])]
    if _CONDITIONS in annotations:
        status["conditions"] = [_condition(c) for c in _list(annotations[_CONDITIONS])]


def _parsed(text: Any) -> Any:
    try:
        return orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return None


def _list(text: Any) -> list[Obj]:
    """The objects of an annotation; none where it is not what this server could have written."""
    values = _parsed(text)
    if not isinstance(values, list):
        return []
    sources = ("object", "pods", "resource", "containerResource", "external")
    for value in values:
        if not isinstance(value, dict):
            return []
        for source in sources:
            if not isinstance(value.get(source, {}), (dict, type(None))):
                return []
    return values


def _is_sound(metric: Obj) -> bool:
    """Whether what an annotation said has the types that a metric must have."""
    for source in ("object", "pods", "resource", "containerResource", "external"):
        target = (metric.get(source) or {}).get("target") or {}
        for name in ("value", "averageValue"):
            text = target.get(name)
            if text is None:
                continue
            try:
                parse(text)
            except ValueError:
                return False
        if not isinstance(target.get("averageUtilization", 0), int):
            return False
    return isinstance(metric.get("type"), str)


def _lowered(value: Any) -> Any:
    """Fields of the internal type as the API names them; absent ones are left out."""
    if isinstance(value, dict):
        return {k[:1].lower() + k[1:]: _lowered(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_lowered(v) for v in value]
    return value
