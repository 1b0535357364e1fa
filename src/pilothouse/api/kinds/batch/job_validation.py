"""What a Job must be like on create and may become on update. Source: upstream's pkg/apis/batch/validation; KEP-2926, 5440."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.batch.job_rules import job_spec
from pilothouse.api.kinds.common.conditions import is_true
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import has_invalid_values, is_usable, label_selector, same
from pilothouse.api.kinds.core.podspec import selected, stored_faults
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.objects import Obj, copy, meta
from pilothouse.api.selectors import of_object

_OLD_LABELS: Final = (("controller-uid", "uid"), ("job-name", "name"))
_LABELS: Final = (("batch.kubernetes.io/controller-uid", "uid"), ("batch.kubernetes.io/job-name", "name"))


def validate(obj: Obj) -> ErrorList:
    found = _generated_selector(obj)
    found += _own(obj.get("spec") or {}, stored_faults.leniency(None), any_selector_values=False)
    return found + _name(obj)


def _generated_selector(obj: Obj) -> ErrorList:
    """The labels and the selector that a Job gets on its creation are as they were made."""
    spec, metadata = obj.get("spec") or {}, meta(obj)
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    found: ErrorList = [] if metadata.get("uid") else [field.required("metadata.uid")]
    labels = meta(spec.get("template") or {}).get("labels") or {}
    expected = {}
    for label, name in (*_OLD_LABELS, *_LABELS):
        wanted = expected[label] = metadata.get(name) or ""
        at = f"spec.template.metadata.labels[{label}]"
        if label not in labels:
            found.append(field.required(at, f"must be '{wanted}'"))
        elif labels[label] != wanted:
            found.append(field.invalid(at, dict(sorted(labels.items())), f"must be '{wanted}'"))
    if is_usable(selector) and not of_object(selector).matches(expected):
        found.append(field.invalid("spec.selector", selected.shown(selector), "`selector` not auto-generated"))
    return found


def _own(spec: Obj, lenient: Leniency, *, any_selector_values: bool) -> ErrorList:
    found = job_spec(spec, "spec", lenient)
    selector = spec.get("selector")
    if selector is None:
        found.append(field.required("spec.selector"))
    else:
        found += label_selector(selector, "spec.selector", allow_invalid_values=any_selector_values)
    return found + selected.template_labels(selector, spec.get("template"), "spec.template")


def _name(obj: Obj) -> ErrorList:
    """The pods of an indexed Job are named after it and their index."""
    spec, name = obj.get("spec") or {}, meta(obj).get("name") or ""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return []
    longest = f"{name}-{completions - 1}"
    if not names.dns1123_label(longest):
        return []
    detail = f"will not able to create pod with invalid DNS label: {longest}"
    return [field.invalid("metadata.name", name, detail)]


def validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    lenient = stored_faults.leniency(before.get("template"))
    tolerated = lenient.selector_values or has_invalid_values(before.get("selector"))
    found = _own(spec, lenient, any_selector_values=tolerated) + _completions(spec, before)
    found += selected.immutable_selector(spec.get("selector"), before.get("selector"), "spec.selector")
    found += _template(spec, old)
    found += _immutable(spec, before, "completionMode")
    found += _immutable(spec, before, "podFailurePolicy", "batch/v1.PodFailurePolicy")
    for name in ("backoffLimitPerIndex", "managedBy"):
        found += _immutable(spec, before, name)
    return found + _immutable(spec, before, "successPolicy", "batch/v1.SuccessPolicy") + _name(new)


def _immutable(spec: Obj, before: Obj, name: str, type_name: str = "") -> ErrorList:
    value: Any = spec.get(name)
    if same(value, before.get(name)):
        return []
    shown = internal(type_name, value) if type_name and value is not None else value
    return [field.invalid(f"spec.{name}", shown, "field is immutable")]


def _completions(spec: Obj, before: Obj) -> ErrorList:
    """An indexed Job can grow and shrink, with its parallelism (KEP-3715)."""
    completions = spec.get("completions")
    if spec.get("completionMode") != "Indexed":
        return _immutable(spec, before, "completions")
    if completions == before.get("completions") or completions is None or completions == spec.get("parallelism"):
        return []
    detail = "can only be modified in tandem with spec.parallelism"
    return [field.invalid("spec.completions", completions, detail)]


def _template(spec: Obj, old: Obj) -> ErrorList:
    before = old.get("spec") or {}
    template, was = spec.get("template") or {}, before.get("template") or {}
    suspended, status = bool(before.get("suspend")), old.get("status") or {}
    at_rest = not status.get("startTime") or is_true(status.get("conditions"), "Suspended")
    mutable = suspended and at_rest and not status.get("active")
    redirected = mutable
    if not gates.is_open("MutableSchedulingDirectivesForSuspendedJobs"):
        redirected = suspended and not status.get("startTime")
    if redirected:
        was = _with_directives(was, template)
    if not mutable or not gates.is_open("MutablePodResourcesForSuspendedJobs"):
        if same(template, was):
            return []
        shown = internal("core/v1.PodTemplateSpec", template)
        return [field.invalid("spec.template", shown, "field is immutable")]
    pod, old_pod = template.get("spec") or {}, copy(was.get("spec") or {})
    for name in ("containers", "initContainers"):
        containers, others = pod.get(name) or [], old_pod.get(name) or []
        if len(containers) != len(others):
            continue
        for container, other in zip(containers, others, strict=True):
            if container.get("name") == other.get("name"):
                _take(other, container, "resources")
    if same(pod, old_pod):
        return []
    return [field.invalid("spec.template.spec", internal("core/v1.PodSpec", pod), "field is immutable")]


def _with_directives(old: Obj, new: Obj) -> Obj:
    """The old template with what tells the new one's pods where to go."""
    out: Obj = copy(old)
    spec, wanted = out.setdefault("spec", {}), new.get("spec") or {}
    affinity, new_affinity = spec.get("affinity"), wanted.get("affinity")
    if new_affinity is not None:
        spec["affinity"] = affinity = dict(affinity or {})
        _take(affinity, new_affinity, "nodeAffinity")
    elif affinity is not None:
        affinity.pop("nodeAffinity", None)
        if not any(v is not None for v in affinity.values()):
            del spec["affinity"]
    for name in ("nodeSelector", "tolerations", "schedulingGates"):
        _take(spec, wanted, name)
    metadata = out["metadata"] = dict(meta(out))
    for name in ("annotations", "labels"):
        _take(metadata, meta(new), name)
    return out


def _take(target: Obj, source: Obj, name: str) -> None:
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)
