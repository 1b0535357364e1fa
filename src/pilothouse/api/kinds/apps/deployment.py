"""Deployment."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.apps.rolling import amount
from pilothouse.api.kinds.common.gated import drop
from pilothouse.api.kinds.common.int_or_percent import at_most_all, int_or_percent
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import selected, stored_faults, workloads
from pilothouse.api.kinds.core.podspec.counts import available, counts, not_decremented
from pilothouse.api.kinds.core.podspec.forms import non_negative
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.rows import names_and_images, selector_text
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_COUNTS = (
    "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas",
    "terminatingReplicas", "collisionCount",
)  # fmt: skip


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    workloads.absent(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        workloads.absent(strategy, rollingUpdate={})
        workloads.absent(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    workloads.default_template(spec)


def _prepare_update(new: Obj, old: Obj) -> None:
    """Annotations count too: they are copied to replica sets."""
    workloads.prepare_update(new, old)
    if not same(meta(new).get("annotations"), meta(old).get("annotations")):
        workloads.next_generation(new, old)


def _prepare_status(new: Obj, old: Obj) -> None:
    """The controller writes its revision's annotation with the status; labels stay."""
    keep(new, old, "spec")
    drop(workloads.TERMINATING, new, old)
    keep(new.setdefault("metadata", {}), meta(old), "labels")


def _own(spec: Obj, lenient: Leniency) -> ErrorList:
    found = non_negative(spec.get("replicas"), "spec.replicas")
    found += workloads.selector_and_template(spec, lenient)
    found += _strategy(spec.get("strategy") or {})
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        found += non_negative(spec.get(name), f"spec.{name}")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        found.append(field.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return found


def _strategy(strategy: Obj) -> ErrorList:
    path, kind, rolling = "spec.strategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [field.forbidden(f"{path}.rollingUpdate", detail)]
    if kind != "RollingUpdate":
        shown = internal("apps/v1.DeploymentStrategy", strategy)
        return [field.not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [field.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    at = f"{path}.rollingUpdate"
    unavailable, surge = (0 if rolling.get(n) is None else rolling[n] for n in ("maxUnavailable", "maxSurge"))
    found = int_or_percent(unavailable, f"{at}.maxUnavailable") + int_or_percent(surge, f"{at}.maxSurge")
    if not amount(unavailable) and not amount(surge):
        detail = "may not be 0 when `maxSurge` is 0"
        found.append(field.invalid(f"{at}.maxUnavailable", unavailable, detail))
    return found + at_most_all(unavailable, f"{at}.maxUnavailable")


def _validate(obj: Obj) -> ErrorList:
    return _own(obj.get("spec") or {}, stored_faults.leniency(None))


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _own(spec, stored_faults.leniency(before.get("template")))
    return found + selected.immutable_selector(spec.get("selector"), before.get("selector"), "spec.selector")


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status, before = new.get("status") or {}, old.get("status") or {}
    found = counts(status, "status", _COUNTS, _COUNTS[2:5]) + available(status, "status")
    return found + not_decremented(status.get("collisionCount"), before.get("collisionCount"), "status.collisionCount")


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age(obj, now_s),
        *names_and_images(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


KIND = Kind(
    status_reset_fields=frozenset({"spec", "metadata.labels"}),
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=workloads.warnings,
    row=_row,
)
