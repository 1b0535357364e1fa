"""PodDisruptionBudget."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.conditions import conditions
from pilothouse.api.kinds.common.int_or_percent import at_most_all, int_or_percent
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.strategy import create, keep, update
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_EVICTION_POLICIES: Final = ("AlwaysAllow", "IfHealthyBudget")
# What distinguished an empty selector of policy/v1beta1, which chose nothing, from one of v1, which chooses all.
_V1BETA1_LABEL: Final = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"


def _strip(spec: Obj) -> None:
    selector = spec.get("selector")
    if selector is None:
        return
    expressions = selector.get("matchExpressions") or []
    if not selector.get("matchLabels") and len(expressions) == 1:
        one = expressions[0]
        if one.get("key") == _V1BETA1_LABEL and one.get("operator") == "Exists" and not one.get("values"):
            return
    kept = [e for e in expressions if e.get("key") != _V1BETA1_LABEL]
    if len(kept) != len(expressions):
        selector["matchExpressions"] = kept


def _prepare_create(obj: Obj) -> None:
    create(obj)
    _strip(obj.get("spec") or {})


def _prepare_update(new: Obj, old: Obj) -> None:
    update(new, old)
    spec = new.get("spec") or {}
    if not selectors.same(spec.get("selector"), (old.get("spec") or {}).get("selector")):
        _strip(spec)


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")


def _own(spec: Obj, *, allow_invalid_values: bool = False) -> ErrorList:
    found: ErrorList = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        value = internal("policy/v1.PodDisruptionBudgetSpec", spec)
        found.append(field.invalid("spec", value, "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        amount = spec.get(name)
        if amount is not None:
            found += int_or_percent(amount, f"spec.{name}") + at_most_all(amount, f"spec.{name}")
    found += selectors.label_selector(spec.get("selector"), "spec.selector", allow_invalid_values=allow_invalid_values)
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _EVICTION_POLICIES:
        found.append(field.not_supported("spec.unhealthyPodEvictionPolicy", policy, _EVICTION_POLICIES))
    return found


def _validate(obj: Obj) -> ErrorList:
    return _own(obj.get("spec") or {})


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    lenient = bool(selectors.label_selector((old.get("spec") or {}).get("selector"), ""))
    return _own(new.get("spec") or {}, allow_invalid_values=lenient)


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    status = new.get("status") or {}
    found = conditions(status.get("conditions"), "status.conditions")
    for name in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        count = status.get(name) or 0
        if count < 0:
            found.append(field.invalid(f"status.{name}", count, "must be greater than or equal to 0"))
    return found


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        meta(obj).get("name", ""),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        (obj.get("status") or {}).get("disruptionsAllowed") or 0,
        age(obj, now_s),
    ]


KIND = Kind(
    own_metadata=False,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    unconditional_update=False,
)
