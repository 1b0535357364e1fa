"""StatefulSet."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.core.persistent_volume_claim import KIND as CLAIM
from pilothouse.api.kinds.core.persistent_volume_claim import spec_warnings
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.rows import names_and_images
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_NEGATIVE = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    workloads.absent(spec, updateStrategy={}, persistentVolumeClaimRetentionPolicy={}, replicas=1)
    workloads.absent(spec, revisionHistoryLimit=10)
    strategy = spec["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        workloads.absent(strategy, rollingUpdate={})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        workloads.absent(strategy["rollingUpdate"], partition=0, maxUnavailable=1)
    retention = spec["persistentVolumeClaimRetentionPolicy"]
    for name in ("whenDeleted", "whenScaled"):
        if not retention.get(name):
            retention[name] = "Retain"
    workloads.default_template(spec)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        CLAIM.default(claim)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    out = []
    if old is None or workloads.is_changed(new, old):
        out += template_warnings(spec.get("template"), "spec.template")
    for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{i}]"
        out += spec_warnings(claim.get("spec") or {}, path if old is None else f"{path}.Spec")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        out.append(_NEGATIVE)
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        age(obj, now_s),
        *names_and_images(spec.get("template")),
    ]


KIND = Kind(
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=workloads.prepare_update,
    prepare_status=workloads.prepare_status,
    warnings=_warnings,
    row=_row,
)
