"""ReplicaSet."""

from __future__ import annotations

from typing import Any

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.core.podspec import rows, selected, stored_faults, workloads
from pilothouse.api.kinds.core.podspec.counts import available, counts
from pilothouse.api.kinds.core.podspec.forms import non_negative
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj

_COUNTS = (
    "replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration", "terminatingReplicas",
)  # fmt: skip


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    workloads.absent(spec, replicas=1)
    workloads.default_template(spec)


def _own(spec: Obj, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    for name in ("replicas", "minReadySeconds"):
        found += non_negative(spec.get(name), f"spec.{name}")
    return found + workloads.selector_and_template(spec, lenient)


def _validate(obj: Obj) -> ErrorList:
    return _own(obj.get("spec") or {}, stored_faults.leniency(None))


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _own(spec, stored_faults.leniency(before.get("template")))
    return found + selected.immutable_selector(spec.get("selector"), before.get("selector"), "spec.selector")


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    status = new.get("status") or {}
    return counts(status, "status", _COUNTS, _COUNTS[1:4]) + available(status, "status")


def _row(obj: Obj, now_s: float) -> list[Any]:
    return rows.replicas(obj, now_s, selectors.show((obj.get("spec") or {}).get("selector")))


KIND = Kind(
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=workloads.prepare_update,
    prepare_status=workloads.prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=workloads.warnings,
    row=_row,
)
