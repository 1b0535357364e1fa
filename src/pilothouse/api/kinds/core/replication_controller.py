"""ReplicationController."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.core.podspec import defaults, workloads
from pilothouse.api.kinds.core.podspec.rows import label_text, names_and_images
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    template = spec.get("template")
    labels = meta(template or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not meta(obj).get("labels"):
            obj.setdefault("metadata", {})["labels"] = dict(labels)
    workloads.absent(spec, replicas=1)
    defaults.template(template)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    if old is None:
        return workloads.warnings(new, None)
    if not workloads.is_changed(new, old):
        return []
    return template_warnings((old.get("spec") or {}).get("template"), "spec.template")  # the old one: as upstream


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(obj, now_s),
        *names_and_images(spec.get("template")),
        label_text(spec.get("selector")),
    ]


def _fields(obj: Obj) -> dict[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


KIND = Kind(
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=workloads.prepare_update,
    prepare_status=workloads.prepare_status,
    warnings=_warnings,
    row=_row,
    fields=_fields,
    field_names=frozenset({"status.replicas"}),
)
