"""What a Job's status may become. Checks of a part run only where the part changes, so that a Job whose status is faulty for
another reason can still be updated.

Source: upstream's ValidateJobUpdateStatus and registry/batch/job; KEP-4368.
"""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import OMIT, ErrorList
from pilothouse.api.kinds.batch import indexes
from pilothouse.api.kinds.common.conditions import is_true
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.core.podspec.forms import non_negative
from pilothouse.api.objects import Obj
from pilothouse.clock.timestamps import parse_time

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_TERMINAL = ("Failed", "Complete", "FailureTarget")


class _Side:
    """A Job with what is asked of it most."""

    __slots__ = ("complete", "conditions", "failed", "spec", "status", "success", "target")

    def __init__(self, job: Obj) -> None:
        self.spec: Obj = job.get("spec") or {}
        self.status: Obj = job.get("status") or {}
        self.conditions: list[Obj] = self.status.get("conditions") or []
        self.complete = is_true(self.conditions, "Complete")
        self.failed = is_true(self.conditions, "Failed")
        self.target = is_true(self.conditions, "FailureTarget")
        self.success = is_true(self.conditions, "SuccessCriteriaMet")

    @property
    def finished(self) -> bool:
        return self.complete or self.failed

    def get(self, name: str) -> Any:
        return self.status.get(name)

    def number(self, name: str) -> int:
        return self.status.get(name) or 0


def validate_status(new: Obj, old: Obj) -> ErrorList:
    job, was = _Side(new), _Side(old)
    found: ErrorList = []
    for name in _COUNTS:
        found += non_negative(job.get(name), f"status.{name}")
    found += _uncounted(job)
    found += _ending(job, was)
    found += _finished(job, was)
    found += _indexes(job, was)
    found += _pods(job, was)
    found += _success(job)
    return found + _transitions(job, was)


def _conditions(detail: str) -> ErrorList:
    return [field.invalid("status.conditions", OMIT, detail)]


def _uncounted(job: _Side) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for part in ("succeeded", "failed"):
        for i, uid in enumerate((job.get("uncountedTerminatedPods") or {}).get(part) or ()):
            at = f"status.uncountedTerminatedPods.{part}[{i}]"
            if not uid:
                found.append(field.invalid(at, uid or "", "must not be empty"))
            elif uid in seen:
                found.append(field.duplicate(at, uid))
            seen.add(uid)
    return found


def _ending(job: _Side, was: _Side) -> ErrorList:
    """Conditions that exclude or need each other, and the time of completion."""
    found: ErrorList = []
    completes, fails = job.complete != was.complete, job.failed != was.failed
    at, ended, started = "status.completionTime", job.get("completionTime"), job.get("startTime")
    ends = ended != was.get("completionTime")
    if (completes or fails) and job.complete and job.failed:
        found += _conditions("cannot set Complete=True and Failed=true conditions")
    if (completes or job.target != was.target) and job.complete and job.target:
        found += _conditions("cannot set Complete=True and FailureTarget=true conditions")
    if (completes or ends) and ended is not None and not job.complete:
        detail = "cannot set completionTime when there is no Complete=True condition"
        found.append(field.invalid(at, ended, detail))
    if (completes or ends) and ended is None and job.complete:
        found.append(field.required(at, "completionTime is required for Complete jobs"))
    if (ends or started != was.get("startTime")) and ended and started and parse_time(ended) < parse_time(started):
        found.append(field.invalid(at, ended, "must be equal to or after `startTime`"))
    failed_indexes = job.get("failedIndexes") != was.get("failedIndexes")
    if (fails or failed_indexes) and job.failed and not job.target:
        found += _conditions("cannot set Failed=True condition without the FailureTarget=true condition")
    if (completes or job.success != was.success) and job.complete and not job.success:
        found += _conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    return found


def _finished(job: _Side, was: _Side) -> ErrorList:
    found: ErrorList = []
    if not job.finished:
        return found
    finishes, active = job.finished != was.finished, job.number("active")
    if (finishes or active != was.number("active")) and active > 0:
        found.append(field.invalid("status.active", active, "active>0 is invalid for finished job"))
    never_ran = bool(job.spec.get("suspend")) and job.spec.get("completions") == 0
    started = job.get("startTime")
    if (finishes or started != was.get("startTime")) and not never_ran and started is None:
        found.append(field.required("status.startTime", "startTime is required for finished job"))
    pods = job.get("uncountedTerminatedPods") or {}
    if (finishes or not same(pods, was.get("uncountedTerminatedPods"))) and any(pods.values()):
        shown = {"Succeeded": pods.get("succeeded"), "Failed": pods.get("failed")}
        found.append(field.invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job"))
    return found


def _indexes(job: _Side, was: _Side) -> ErrorList:
    found: ErrorList = []
    completed, failed = job.get("completedIndexes") or "", job.get("failedIndexes")
    completions, per_index = job.spec.get("completions"), job.spec.get("backoffLimitPerIndex")
    completed_changes = completed != (was.get("completedIndexes") or "")
    failed_changes = failed != was.get("failedIndexes")
    if completed_changes and completions is not None:
        found += _readable(completed, completions, "completedIndexes")
    if failed_changes and completions is not None and per_index is not None and failed is not None:
        found += _readable(failed, completions, "failedIndexes")
    if completed_changes and completed and job.spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        found.append(field.invalid("status.completedIndexes", completed, detail))
    at = "status.failedIndexes"
    if failed_changes and per_index is None and failed is not None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        found.append(field.invalid(at, failed, detail))
    if (failed_changes or completed_changes) and completions is not None and failed is not None:
        index = indexes.overlap(completed, failed, completions)
        if index is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {index}"
            found.append(field.invalid(at, failed, detail))
    return found


def _readable(text: str, completions: int, name: str) -> ErrorList:
    try:
        indexes.count(text, completions)
    except indexes.IndexesError as e:
        return [field.invalid(f"status.{name}", text, f"error parsing {name}: {e}")]
    return []


def _pods(job: _Side, was: _Side) -> ErrorList:
    found: ErrorList = []
    terminating, ready, active = job.get("terminating"), job.get("ready"), job.number("active")
    changes = job.finished != was.finished or terminating != was.get("terminating")
    if changes and job.finished and (terminating or 0) > 0:
        found.append(field.invalid("status.terminating", terminating, "terminating>0 is invalid for finished job"))
    changes = ready != was.get("ready") or active != was.number("active")
    if changes and ready is not None and ready > active:
        found.append(field.invalid("status.ready", ready, "cannot set more ready pods than active"))
    return found


def _success(job: _Side) -> ErrorList:
    found: ErrorList = []
    if job.success and job.failed:
        found += _conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if job.success and job.target:
        found += _conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if job.spec.get("successPolicy") is not None and not job.success and job.complete:
        found += _conditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
    return found


def _transitions(job: _Side, was: _Side) -> ErrorList:
    found: ErrorList = []
    for kind in _TERMINAL:
        if is_true(was.conditions, kind) and not is_true(job.conditions, kind):
            found += _conditions(f"cannot disable the terminal {kind}=True condition")
    spec = job.spec
    scalable = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed",) if scalable else ("failed", "succeeded"):
        if job.number(name) < was.number(name):
            detail = f"cannot decrease the {name} counter"
            found.append(field.invalid(f"status.{name}", job.number(name), detail))
    ended, old_ended = job.get("completionTime"), was.get("completionTime")
    if ended is not None and old_ended is not None and ended != old_ended:
        found.append(field.invalid("status.completionTime", ended, "field is immutable"))
    started, old_started = job.get("startTime"), was.get("startTime")
    suspended = {c.get("type"): c.get("status") for c in job.conditions}.get("Suspended")
    resumes = is_true(was.conditions, "Suspended") and suspended == "False"
    if old_started is not None and started != old_started and not spec.get("suspend") and not resumes:
        detail = "field is immutable for unsuspended job once set"
        found.append(field.invalid("status.startTime", started, detail))
    if was.success and not job.success:
        found += _conditions("cannot disable the SuccessCriteriaMet=True condition")
    if was.complete and not was.success and job.success:
        found += _conditions("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
    return found
