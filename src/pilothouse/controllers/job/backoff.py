"""How long a Job waits before it replaces failed pods: 10 s, doubled with each failure since the last success, 10 min at most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilothouse.api.objects import Obj, get
from pilothouse.controllers.job.indexes import all_failures_of
from pilothouse.controllers.pods import condition, time_of

_FIRST_S: Final = 10.0
_MOST_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Record:
    """Failures since the last success, and when the last of them was."""

    failures: int = 0
    last_failure_s: float = 0.0

    def after(self, succeeded: Iterable[Obj], failed: Iterable[Obj]) -> Record:
        """The record with newly finished pods counted in."""
        successes = [finished_at(pod) for pod in succeeded]
        failures = [finished_at(pod) for pod in failed]
        if not successes:
            return Record(self.failures + len(failures), max(failures)) if failures else self
        later = [at for at in failures if at > max(successes)]
        return Record(len(later), max(later)) if later else Record()

    def wait_s(self, now_s: float) -> float:
        return _remaining(self.failures, self.last_failure_s, now_s)


def _remaining(failures: int, last_failure_s: float, now_s: float) -> float:
    if failures == 0:
        return 0.0
    delay_s = min(_FIRST_S * 2.0 ** min(failures - 1, 16), _MOST_S)
    return max(0.0, delay_s - (now_s - last_failure_s))


def index_wait_s(last_failed: Obj | None, now_s: float) -> float:
    """The same for one index, which counts its own failures; `last_failed` is the pod to be replaced."""
    if last_failed is None:
        return 0.0
    return _remaining(all_failures_of(last_failed) + 1, finished_at(last_failed), now_s)


def finished_at(pod: Obj) -> float:
    """When the pod ended: its last container, else when it ceased to be ready, else when it was deleted or made."""
    status = pod.get("status") or {}
    sidecars = {c["name"] for c in get(pod, "spec", "initContainers", default=()) if c.get("restartPolicy") == "Always"}
    ends = [time_of(get(s, "state", "terminated", "finishedAt")) for s in status.get("containerStatuses") or ()]
    ends += [
        time_of(get(s, "state", "terminated", "finishedAt"))
        for s in status.get("initContainerStatuses") or ()
        if s.get("name") in sidecars
    ]
    if ends and all(ends):
        return max(ends)
    ready = condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and (since := time_of(ready.get("lastTransitionTime"))):
        return since
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        return time_of(metadata["deletionTimestamp"]) - (metadata.get("deletionGracePeriodSeconds") or 0)
    return time_of(metadata.get("creationTimestamp"))
