"""DaemonSet. The generation of its template has no field any more: it lives in a deprecated annotation."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.gates import drop_disabled_template
from pilothouse.api.kinds.core.podspec.rows import label_text, names_and_images
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_integer = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    workloads.absent(spec, updateStrategy={}, revisionHistoryLimit=10)
    strategy = spec["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        workloads.absent(strategy, rollingUpdate={})
        workloads.absent(strategy["rollingUpdate"], maxUnavailable=1, maxSurge=0)
    workloads.default_template(spec)


def template_generation(obj: Obj) -> int:
    text = (meta(obj).get("annotations") or {}).get(TEMPLATE_GENERATION) or ""
    return int(text) if _integer.fullmatch(text) else 0


def _write_template_generation(obj: Obj, generation: int) -> None:
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}


def _prepare_create(obj: Obj) -> None:
    workloads.prepare_create(obj)
    _write_template_generation(obj, max(1, template_generation(obj)))


def _prepare_update(new: Obj, old: Obj) -> None:
    spec, before = workloads.spec_of(new), old.get("spec") or {}
    drop_disabled_template(spec.get("template"), before.get("template"))
    keep(new, old, "status")
    generation = template_generation(old)
    if not same(spec.get("template"), before.get("template")):
        generation += 1
    _write_template_generation(new, generation)
    if not same(spec, before):
        workloads.next_generation(new, old)


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    _write_template_generation(new, template_generation(old))


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    if old is not None and template_generation(new) == template_generation(old):
        return []
    return template_warnings((new.get("spec") or {}).get("template"), "spec.template")


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    template = spec.get("template") or {}
    return [
        meta(obj).get("name", ""),
        status.get("desiredNumberScheduled") or 0,
        status.get("currentNumberScheduled") or 0,
        status.get("numberReady") or 0,
        status.get("updatedNumberScheduled") or 0,
        status.get("numberAvailable") or 0,
        label_text((template.get("spec") or {}).get("nodeSelector")),
        age(obj, now_s),
        *names_and_images(template),
        selectors.show(spec.get("selector")),
    ]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    warnings=_warnings,
    row=_row,
)
