"""DaemonSet. The generation of its template has no field any more: it lives in a deprecated annotation."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.apps.rolling import amount
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.int_or_percent import at_most_all, int_or_percent
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import selected, stored_faults, workloads
from pilothouse.api.kinds.core.podspec.counts import not_decremented
from pilothouse.api.kinds.core.podspec.forms import non_negative
from pilothouse.api.kinds.core.podspec.gates import drop_disabled_template
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.rows import label_text, names_and_images
from pilothouse.api.kinds.core.podspec.spec import template as template_rules
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_COUNTS: Final = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
)  # fmt: skip
_integer = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


def _default(obj: Obj) -> None:
    if TEMPLATE_GENERATION not in (meta(obj).get("annotations") or {}):
        _write_template_generation(obj, 0)  # upstream writes it whenever it converts one
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


def _own(obj: Obj, lenient: Leniency, *, any_selector_values: bool) -> ErrorList:
    spec = obj.get("spec") or {}
    path, selector, template = "spec.template", spec.get("selector"), spec.get("template")
    found = selectors.label_selector(selector, "spec.selector", allow_invalid_values=any_selector_values)
    found += selected.template_labels(selector, template, path)
    if selected.is_empty(selector):
        found.append(field.invalid("spec.selector", {}, "empty selector is invalid for daemonset"))
    found += template_rules(template, path, lenient) + workloads.always_running(template, path, "DaemonSet")
    found += non_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    found += non_negative(template_generation(obj), "spec.templateGeneration")
    found += _strategy(spec.get("updateStrategy") or {})
    return found + non_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")


def _strategy(strategy: Obj) -> ErrorList:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = internal("apps/v1.DaemonSetUpdateStrategy", strategy)
        return [field.not_supported(path, shown, ("RollingUpdate", "OnDelete"))]
    at = f"{path}.rollingUpdate"
    if rolling is None:
        return [field.required(at)]
    unavailable, surge = (0 if rolling.get(n) is None else rolling[n] for n in ("maxUnavailable", "maxSurge"))
    found = int_or_percent(unavailable, f"{at}.maxUnavailable") + int_or_percent(surge, f"{at}.maxSurge")
    found += at_most_all(unavailable, f"{at}.maxUnavailable") + at_most_all(surge, f"{at}.maxSurge")
    if amount(unavailable) and amount(surge):
        found.append(field.invalid(f"{at}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif not amount(unavailable) and not amount(surge):
        found.append(field.required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return found


def _validate(obj: Obj) -> ErrorList:
    return _own(obj, stored_faults.leniency(None), any_selector_values=False)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = selected.immutable_selector(spec.get("selector"), before.get("selector"), "spec.selector")
    lenient = stored_faults.leniency(before.get("template"))
    tolerated = lenient.selector_values or selectors.has_invalid_values(before.get("selector"))
    return found + _own(new, lenient, any_selector_values=tolerated)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status, before = new.get("status") or {}, old.get("status") or {}
    found: ErrorList = []
    for name in _COUNTS:
        found += non_negative(status.get(name), f"status.{name}")
    return found + not_decremented(status.get("collisionCount"), before.get("collisionCount"), "status.collisionCount")


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
    converted_annotations=frozenset({"deprecated.daemonset.template.generation"}),
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=_warnings,
    row=_row,
)
