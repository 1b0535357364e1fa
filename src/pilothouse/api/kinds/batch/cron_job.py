"""CronJob."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.batch.job_spec import default_spec, drop_disabled, spec_warnings
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.gates import drop_disabled_template
from pilothouse.api.kinds.core.podspec.rows import names_and_images
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, get, meta
from pilothouse.api.printing import age, since

_ZONE_IN_SCHEDULE = (
    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "
    "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


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
    warnings=_warnings,
    row=_row,
)
