"""Job."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import names
from pilothouse.api.kinds.batch.job_spec import default_spec, drop_disabled, spec_warnings
from pilothouse.api.kinds.batch.job_status import validate_status
from pilothouse.api.kinds.batch.job_validation import validate, validate_update
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.rows import names_and_images
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age, human_duration, since
from pilothouse.clock.timestamps import parse_time

_NAME_LABELS: Final = ("job-name", "batch.kubernetes.io/job-name")
_UID_LABELS: Final = ("controller-uid", "batch.kubernetes.io/controller-uid")
_STATES: Final = (  # conditions in the order in which the first that holds is shown; None: being deleted
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    (None, "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    default_spec(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    per_index = spec.get("backoffLimitPerIndex") is not None
    workloads.absent(
        spec,
        parallelism=1,
        backoffLimit=2**31 - 1 if per_index else 6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed",
        manualSelector=False,
    )
    labels = meta(spec.get("template") or {}).get("labels")
    if labels is not None and not meta(obj).get("labels"):
        # One map for both, as in upstream: the labels that are generated later come to both.
        obj.setdefault("metadata", {})["labels"] = labels


def _prepare_create(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    if not spec.get("manualSelector"):
        _generate_selector(spec, meta(obj))
    drop_disabled(spec, None)
    workloads.prepare_create(obj)
    _label(obj)


def _label(obj: Obj) -> None:
    """A Job without labels has those of its pods: upstream defaults it when it is read from the store, generated ones too.
    Invalid ones are refused where they stand."""
    labels = meta(obj["spec"].get("template") or {}).get("labels")
    if labels and not meta(obj).get("labels") and not any(names.label_value(v or "") for v in labels.values()):
        obj.setdefault("metadata", {})["labels"] = dict(labels)


def _prepare_status(new: Obj, old: Obj) -> None:
    workloads.prepare_status(new, old)
    workloads.spec_of(new)
    _label(new)


def _generate_selector(spec: Obj, metadata: Obj) -> None:
    """Labels that only this Job's pods have. One that is there already and says otherwise is refused later."""
    workloads.absent(spec, template={}, selector={})
    workloads.absent(spec["template"], metadata={})
    workloads.absent(spec["template"]["metadata"], labels={})
    labels = spec["template"]["metadata"]["labels"]
    name, uid = metadata.get("name") or "", metadata.get("uid") or ""
    for label in _NAME_LABELS:
        labels.setdefault(label, name)
    for label in _UID_LABELS:
        labels.setdefault(label, uid)
    workloads.absent(spec["selector"], matchLabels={})
    spec["selector"]["matchLabels"].setdefault(_UID_LABELS[1], uid)


def _prepare_update(new: Obj, old: Obj) -> None:
    drop_disabled(workloads.spec_of(new), old.get("spec") or {})
    workloads.prepare_update(new, old)
    _label(new)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    if old is None:
        return workloads.name_warnings(new) + spec_warnings(spec, "spec")
    return spec_warnings(spec, "spec") if workloads.is_changed(new, old) else []


def _state(obj: Obj) -> str:
    first: dict[Any, Any] = {}
    for condition in (obj.get("status") or {}).get("conditions") or ():
        first.setdefault(condition.get("type"), condition.get("status"))
    for kind, shown in _STATES:
        if meta(obj).get("deletionTimestamp") if kind is None else first.get(kind) == "True":
            return shown
    return "Running"


def _completions(spec: Obj, succeeded: int) -> str:
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(status: Obj, now_s: float) -> str:
    started, ended = status.get("startTime"), status.get("completionTime")
    if not started:
        return ""
    if not ended:
        return since(started, now_s)
    try:
        return human_duration(parse_time(ended) - parse_time(started))
    except ValueError:
        return "<unknown>"


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        _state(obj),
        _completions(spec, status.get("succeeded") or 0),
        _duration(status, now_s),
        age(obj, now_s),
        *names_and_images(spec.get("template")),
        selectors.show(spec.get("selector")),
    ]


def _fields(obj: Obj) -> dict[str, str]:
    return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=validate,
    validate_update=validate_update,
    validate_status=validate_status,
    warnings=_warnings,
    row=_row,
    fields=_fields,
    field_names=frozenset({"status.successful"}),
)
