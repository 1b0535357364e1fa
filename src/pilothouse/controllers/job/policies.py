"""What a Job's own policies make of failed pods (`podFailurePolicy`) and of succeeded indexes (`successPolicy`)."""

from __future__ import annotations

from typing import NamedTuple

from pilothouse.api.objects import Obj, get
from pilothouse.controllers.job.indexes import Intervals
from pilothouse.controllers.pods import is_deleted, phase


def only_replaces_failed(job: Obj) -> bool:
    """A pod is replaced when it has failed, not when it begins to terminate."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def is_failed(pod: Obj, job: Obj) -> bool:
    """It counts as failed: it is, or it is being deleted and will not be waited for."""
    if phase(pod) == "Failed":
        return True
    return not only_replaces_failed(job) and is_deleted(pod) and phase(pod) != "Succeeded"


class Verdict(NamedTuple):
    counts: bool  # towards the backoff limit
    action: str = ""  # of the rule that matched
    message: str = ""  # why the Job fails at once


def judge(job: Obj, pod: Obj) -> Verdict:
    """The first rule of the pod failure policy that matches a failed pod decides."""
    for at, rule in enumerate(get(job, "spec", "podFailurePolicy", "rules", default=())):
        action = rule.get("action", "")
        if rule.get("onExitCodes"):
            found = _exit(pod, rule["onExitCodes"])
            what = f"failed with exit code {get(found, 'state', 'terminated', 'exitCode')}" if found else ""
            subject = f"Container {found['name']} for pod" if found else ""
            detail = f" {what}"
        elif rule.get("onPodConditions"):
            found = _condition(pod, rule["onPodConditions"])
            subject, detail = "Pod", f" has condition {found['type']}" if found else ""
        else:
            continue
        if found is None:
            continue
        if action == "Ignore":
            return Verdict(False, action)
        if action in ("FailIndex", "Count"):
            return Verdict(True, action)
        if action == "FailJob":
            metadata = pod["metadata"]
            name = f"{metadata['namespace']}/{metadata['name']}"
            return Verdict(True, action, f"{subject} {name}{detail} matching {action} rule at index {at}")
    return Verdict(True)


def _exit(pod: Obj, requirement: Obj) -> Obj | None:
    """The status of the first container that ended with one of the exit codes."""
    wanted, values = requirement.get("containerName"), requirement.get("values") or ()
    status = pod.get("status") or {}
    for found in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        code = get(found, "state", "terminated", "exitCode", default=0)
        if not code or (wanted is not None and wanted != found.get("name")):
            continue
        if (code in values) == (requirement.get("operator") == "In"):
            out: Obj = found
            return out
    return None


def _condition(pod: Obj, patterns: list[Obj]) -> Obj | None:
    for found in get(pod, "status", "conditions", default=()):
        if any(p.get("type") == found.get("type") and p.get("status", "True") == found.get("status") for p in patterns):
            out: Obj = found
            return out
    return None


def success_message(job: Obj, succeeded: Intervals) -> str:
    """Which rule of the success policy is met; empty where none is."""
    if not len(succeeded):
        return ""
    completions = job["spec"].get("completions") or 0
    for at, rule in enumerate(get(job, "spec", "successPolicy", "rules", default=())):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            wanted = Intervals.parse(rule["succeededIndexes"], completions)
            if not len(wanted):
                continue
            contained = wanted.overlap(succeeded)
            met = contained == len(wanted) or (count is not None and contained >= count)
        else:
            met = count is not None and len(succeeded) >= count
        if met:
            return f"Matched rules at index {at}"
    return ""
