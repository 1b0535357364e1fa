"""CronJob."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.batch import schedule_rules
from pilothouse.api.kinds.batch.job_rules import job_spec
from pilothouse.api.kinds.batch.job_spec import default_spec, drop_disabled, spec_warnings
from pilothouse.api.kinds.common import declarative, selectors
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import selected, stored_faults, workloads
from pilothouse.api.kinds.core.podspec.forms import non_negative, supported
from pilothouse.api.kinds.core.podspec.gates import drop_disabled_template
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.rows import names_and_images
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, get, meta
from pilothouse.api.printing import age, since

_ZONE_IN_SCHEDULE = (
    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "
    "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


_NAME_MAX_BYTES = 52  # a Job's name has eleven characters more
_RULES = declarative.fields({"spec": [declarative.struct(declarative.fields({"schedule": [declarative.required]}))]})


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    workloads.absent(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1, jobTemplate={})
    default_spec(workloads.spec_of(spec["jobTemplate"]))


def _job_spec(obj: Obj) -> Obj:
    found: Obj = get(obj, "spec", "jobTemplate", "spec", default={})
    return found


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {}
    obj.setdefault("metadata", {})["generation"] = 1
    spec = _job_spec(obj)
    drop_disabled(spec, None)
    drop_disabled_template(spec.get("template"), None)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    spec, before = _job_spec(new), _job_spec(old)
    drop_disabled(spec, before)
    drop_disabled_template(spec.get("template"), before.get("template"))
    if not same(new.get("spec"), old.get("spec")):
        workloads.next_generation(new, old)


def _own(spec: Obj, old: Obj | None, lenient: Leniency) -> ErrorList:
    """`old`: the stored spec, None on create. That there is a schedule the declarative rules judge."""
    found: ErrorList = []
    text, zone = spec.get("schedule") or "", spec.get("timeZone")
    if text:
        inside = "TZ" in ((old or {}).get("schedule") or "")
        found += schedule_rules.schedule(text, zone, "spec.schedule", zone_inside=inside)
    found += non_negative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    if old is None or old.get("timeZone") != zone:
        found += schedule_rules.time_zone(zone, "spec.timeZone")
    policy, at = spec.get("concurrencyPolicy") or "", "spec.concurrencyPolicy"
    found += supported(policy, at, "Allow", "Forbid", "Replace") if policy else [field.required(at)]
    found += _template((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec", lenient)
    for name in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += non_negative(spec.get(name), f"spec.{name}")
    return found


def _template(spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    found = job_spec(spec, path, lenient)
    if spec.get("selector") is not None:
        shown = selected.shown(spec["selector"])
        found.append(field.invalid(f"{path}.selector", shown, "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        found.append(field.not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    return found


def _validate(obj: Obj) -> ErrorList:
    found = _own(obj.get("spec") or {}, None, stored_faults.leniency(None))
    name = meta(obj).get("name") or ""
    if len(name.encode()) > _NAME_MAX_BYTES:
        found.append(field.invalid("metadata.name", name, f"must be no more than {_NAME_MAX_BYTES} characters"))
    return declarative.merged(found, _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    lenient = stored_faults.leniency(_job_spec(old).get("template"))
    return declarative.merged(_own(new.get("spec") or {}, old.get("spec") or {}, lenient), _RULES, new, old)


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    path = "spec.jobTemplate.spec"
    if old is None:
        return workloads.name_warnings(new) + spec_warnings(_job_spec(new), path)
    out = spec_warnings(_job_spec(new), path) if workloads.is_changed(new, old) else []
    if "TZ" in ((new.get("spec") or {}).get("schedule") or ""):
        out.append(_ZONE_IN_SCHEDULE)
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    last, zone, suspended = status.get("lastScheduleTime"), spec.get("timeZone"), spec.get("suspend")
    return [
        meta(obj).get("name", ""),
        spec.get("schedule") or "",
        "<none>" if zone is None else zone,
        "<unset>" if suspended is None else str(suspended),
        len(status.get("active") or ()),
        since(last, now_s) if last else "<none>",
        age(obj, now_s),
        *names_and_images(_job_spec(obj).get("template")),
        selectors.show(_job_spec(obj).get("selector")),
    ]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=workloads.prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
)
