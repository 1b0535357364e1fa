"""ReplicationController."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.core.podspec import defaults, forms, rows, selected, stored_faults, workloads
from pilothouse.api.kinds.core.podspec.counts import available, counts
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.spec import template as template_rules
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta

_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
_RULES = declarative.fields(
    {
        "spec": [
            declarative.struct(
                declarative.fields(
                    {
                        "replicas": [declarative.required_pointer, declarative.minimum(0)],
                        "minReadySeconds": [declarative.minimum(0, zero=True)],
                    }
                )
            )
        ]
    }
)


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


def _own(spec: Obj, lenient: Leniency) -> ErrorList:
    """Replicas and minReadySeconds the declarative rules judge."""
    found: ErrorList = []
    path, template = "spec.template", spec.get("template")
    labels = spec.get("selector")
    if not labels:
        found.append(field.required("spec.selector"))
    if template is None:
        return [*found, field.required(path)]
    if labels:
        own = meta(template).get("labels") or {}
        if any(own.get(k) != v for k, v in labels.items()):
            found.append(selected.mismatch(template, path))
    return (
        found
        + template_rules(template, path, lenient)
        + workloads.always_running(template, path, "ReplicationController")
    )


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj.get("spec") or {}, stored_faults.leniency(None)), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    lenient = stored_faults.leniency((old.get("spec") or {}).get("template"))
    return declarative.merged(_own(new.get("spec") or {}, lenient), _RULES, new, old)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status = new.get("status") or {}
    found = counts(status, "status", _COUNTS, _COUNTS[1:4]) + available(status, "status")
    return declarative.merged(found, _RULES, new, old)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    if old is None:
        return workloads.warnings(new, None)
    if not workloads.is_changed(new, old):
        return []
    return template_warnings((old.get("spec") or {}).get("template"), "spec.template")  # the old one: as upstream


def _name(name: str, is_prefix: bool) -> list[str]:
    details = forms.maybe_prefix(names.dns1123_subdomain, name) if is_prefix else names.dns1123_subdomain(name)
    return declarative.in_bytes(details)


def _row(obj: Obj, now_s: float) -> list[Any]:
    return rows.replicas(obj, now_s, rows.label_text((obj.get("spec") or {}).get("selector")))


def _fields(obj: Obj) -> dict[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas") or 0)}


KIND = Kind(
    default=_default,
    prepare_create=workloads.prepare_create,
    prepare_update=workloads.prepare_update,
    prepare_status=workloads.prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    name=_name,
    warnings=_warnings,
    row=_row,
    fields=_fields,
    field_names=frozenset({"status.replicas"}),
)
