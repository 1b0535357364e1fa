"""Deployment."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.rows import names_and_images, selector_text
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


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
    keep(new.setdefault("metadata", {}), meta(old), "labels")


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
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    warnings=workloads.warnings,
    row=_row,
)
