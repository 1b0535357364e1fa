"""PodTemplate."""

from __future__ import annotations

from typing import Any

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.core.podspec import stored_faults
from pilothouse.api.kinds.core.podspec.gates import drop_disabled_template
from pilothouse.api.kinds.core.podspec.rows import label_text, names_and_images
from pilothouse.api.kinds.core.podspec.spec import template as template_rules
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.core.podspec.workloads import default_template, is_changed, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta


def _prepare_create(obj: Obj) -> None:
    obj.setdefault("metadata", {})["generation"] = 1
    drop_disabled_template(obj.get("template"), None)


def _prepare_update(new: Obj, old: Obj) -> None:
    drop_disabled_template(new.get("template"), old.get("template"))
    if not same(new.get("template"), old.get("template")):
        next_generation(new, old)


def _validate(obj: Obj) -> ErrorList:
    return template_rules(obj.get("template"), "template", stored_faults.leniency(None))


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return template_rules(new.get("template"), "template", stored_faults.leniency(old.get("template")))


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    return template_warnings(new.get("template"), "template") if old is None or is_changed(new, old) else []


def _row(obj: Obj, _now_s: float) -> list[Any]:
    template = obj.get("template") or {}
    return [meta(obj).get("name", ""), *names_and_images(template), label_text(meta(template).get("labels"))]


KIND = Kind(
    default=default_template,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
    reset_fields=frozenset(),
)
