"""ReplicaSet."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.rows import names_and_images
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    workloads.absent(spec, replicas=1)
    workloads.default_template(spec)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(obj, now_s),
        *names_and_images(spec.get("template")),
        selectors.show(spec.get("selector")),
    ]


def _fields(obj: Obj) -> dict[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


KIND = Kind(
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=workloads.prepare_update,
    prepare_status=workloads.prepare_status,
    warnings=workloads.warnings,
    row=_row,
    fields=_fields,
    field_names=frozenset({"status.replicas"}),
)
