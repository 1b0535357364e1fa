"""HorizontalPodAutoscaler."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.autoscaling import conversion, metrics
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import (
    Check,
    covered,
    fields,
    minimum,
    optional_pointer,
    required,
    struct,
)  # fmt: skip
from pilothouse.api.kinds.common.quantities import non_negative
from pilothouse.api.kinds.common.strategy import drop_status, first_generation, keep, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, copy, meta
from pilothouse.api.printing import age

_PERIOD_MAX_S: Final = 1_800
_WINDOW_MAX_S: Final = 3_600
_UP: Final = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Final = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def _least_replicas(before: int | None) -> int:
    """What minReplicas may be, given the stored one."""
    return 0 if before == 0 or gates.is_open("HPAScaleToZero") else 1


def _enough(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
    return minimum(_least_replicas(old)).run(path, new, old, updating)


_RULES = fields(
    {
        "spec": [
            struct(fields({"minReplicas": [optional_pointer, Check(_enough)], "maxReplicas": [required, minimum(1)]})),
        ]
    }
)


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if obj.get("apiVersion") == "autoscaling/v1":
        return  # the conversion has the rest
    if not spec.get("metrics"):
        spec["metrics"] = [conversion.cpu_metric(conversion.CPU_DEFAULT)]
    behavior = spec.get("behavior")
    if behavior is not None:
        for name, default in (("scaleUp", _UP), ("scaleDown", _DOWN)):
            given = {k: v for k, v in (behavior.get(name) or {}).items() if v is not None}
            behavior[name] = copy(default) | given


def _prepare_create(obj: Obj) -> None:
    drop_status(obj)
    if gates.is_open("HPAGeneration"):
        first_generation(obj)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    if gates.is_open("HPAGeneration"):
        next_generation(new, old, "spec")


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")


def _own(obj: Obj, old: Obj | None) -> ErrorList:
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    target, was = spec.get("scaleTargetRef") or {}, before.get("scaleTargetRef") or {}
    found: ErrorList = []
    bound = _least_replicas(before.get("minReplicas"))
    if least is not None and least < bound:
        detail = f"must be greater than or equal to {bound}"
        found.append(covered(field.invalid("spec.minReplicas", least, detail), "minimum"))
    if not most:
        found.append(covered(field.required("spec.maxReplicas", "must be set and greater than 0")))
    elif most < 0:
        detail = "must be greater than or equal to 1"
        found.append(covered(field.invalid("spec.maxReplicas", most, detail), "minimum"))
    if least is not None and most < least:
        detail = "must be greater than or equal to `minReplicas`"
        found.append(field.invalid("spec.maxReplicas", most, detail))
    unchanged = old is not None and all((target.get(k) or "") == (was.get(k) or "") for k in ("apiVersion", "kind"))
    found += metrics.reference(
        target,
        "spec.scaleTargetRef",
        allow_core=target.get("kind") == "ReplicationController",
        any_version=unchanged,
    )
    found += metrics.metrics(spec.get("metrics"), "spec.metrics", least, any_version=_has_odd_version(before))
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if behavior.get(name) is not None:
            found += _scaling(behavior[name], f"spec.behavior.{name}")
    return found


def _has_odd_version(spec: Obj) -> bool:
    """Whether a stored metric has an apiVersion that today's rules refuse."""
    for metric in spec.get("metrics") or ():
        if metric.get("type") == "Object" and metric.get("object") is not None:
            described = metric["object"].get("describedObject") or {}
            if metrics.api_version_error(described.get("apiVersion") or "", allow_core=True):
                return True
    return False


def _scaling(rules: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    window, select, policies = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy"), rules.get("policies")
    at = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        found.append(field.invalid(at, window, "must be greater than or equal to zero"))
    if window is not None and window > _WINDOW_MAX_S:
        found.append(field.invalid(at, window, f"must be less than or equal to {_WINDOW_MAX_S}"))
    if select is not None and select not in ("Disabled", "Max", "Min"):
        found.append(field.not_supported(f"{path}.selectPolicy", select, ["Disabled", "Max", "Min"]))
    if not policies:
        found.append(field.required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(policies or ()):
        found += _policy(policy, f"{path}.policies[{i}]")
    tolerance = rules.get("tolerance")
    return found if tolerance is None else found + non_negative(tolerance, f"{path}.tolerance")


def _policy(policy: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    kind, value, period = policy.get("type") or "", policy.get("value") or 0, policy.get("periodSeconds") or 0
    if kind not in ("Percent", "Pods"):
        found.append(field.not_supported(f"{path}.type", kind, ["Percent", "Pods"]))
    if value <= 0:
        found.append(field.invalid(f"{path}.value", value, "must be greater than zero"))
    if period <= 0:
        found.append(field.invalid(f"{path}.periodSeconds", period, "must be greater than zero"))
    if period > _PERIOD_MAX_S:
        detail = f"must be less than or equal to {_PERIOD_MAX_S}"
        found.append(field.invalid(f"{path}.periodSeconds", period, detail))
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj, None), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new, old), _RULES, new, old)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status = new.get("status") or {}
    detail = "must be greater than or equal to 0"
    found: ErrorList = []
    for i, condition in enumerate(status.get("conditions") or ()):
        generation = condition.get("observedGeneration") or 0
        if generation < 0:
            path = f"status.conditions[{i}].observedGeneration"
            found.append(field.invalid(path, generation, detail))
    for name in ("currentReplicas", "desiredReplicas"):
        count = status.get(name) or 0
        if count < 0:
            found.append(field.invalid(f"status.{name}", count, detail))
    return declarative.merged(found, _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target, least = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    return [
        meta(obj).get("name", ""),
        f"{target.get('kind') or ''}/{target.get('name') or ''}",
        metrics.show(spec.get("metrics"), status.get("currentMetrics")),
        "<unset>" if least is None else str(least),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        age(obj, now_s),
    ]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    decode={"v1": conversion.from_v1},
    encode={"v1": conversion.to_v1},
)
