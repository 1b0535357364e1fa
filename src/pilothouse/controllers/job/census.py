"""`Census`: what the pods of a Job have come to so far, and what that means for the Job. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilothouse.api.objects import Obj, get
from pilothouse.clock import Clock
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.job.backoff import Record, finished_at
from pilothouse.controllers.job.indexes import Intervals, all_failures_of, failures_of, index_of, is_indexed
from pilothouse.controllers.job.policies import is_failed, judge, success_message

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
_BACKOFF_LIMIT: Final = 6


def has_finalizer(pod: Obj) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def is_finished(job: Obj) -> bool:
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions_of(job))


def conditions_of(job: Obj) -> list[Obj]:
    found: list[Obj] = (job.get("status") or {}).get("conditions") or []
    return found


def is_suspended(job: Obj) -> bool:
    return bool(job["spec"].get("suspend"))


class Census:
    """`job` is this look's own copy; its status is changed only by what extends this. `record`: of failures before;
    `removing`: uids of pods whose finalizer was removed, which the cache may not show yet."""

    def __init__(self, job: Obj, pods: list[Obj], clock: Clock, record: Record, removing: Iterable[str]) -> None:
        self.job, self.pods = job, pods
        self._clock = clock
        self.spec: Obj = job["spec"]
        self.status: Obj = job.setdefault("status", {})
        self.uncounted: Obj = self.status.setdefault("uncountedTerminatedPods", {})
        self.indexed = is_indexed(job)
        self.completions: int | None = self.spec.get("completions")
        limit = self.spec.get("backoffLimit")
        self._backoff_limit: int = _BACKOFF_LIMIT if limit is None else limit
        self.removing = frozenset(removing)
        self.finished: Obj | None = None  # the condition with which the Job ends, if it does
        self.deadline_s: float | None = None  # seconds until it has been active for too long
        self.succeeded = self.failed = 0
        self.before = self.done = Intervals()  # indexes that succeeded: counted, and all
        self.failed_indexes: Intervals | None = None
        self.delayed: dict[int, Obj] = {}  # per index, the failed pod that is kept until it is replaced
        self.record = record

    def _condition(self, kind: str, reason: str, message: str, status: str = "True") -> Obj:
        now = self._clock.timestamp()
        return {
            "type": kind, "status": status, "lastProbeTime": now, "lastTransitionTime": now, "reason": reason,
            "message": message,
        }  # fmt: skip

    def _true_condition(self, kind: str) -> Obj | None:
        found = st.find(self.status.get("conditions") or [], kind)
        return found if found is not None and found.get("status") == "True" else None

    def _is_new(self, pod: Obj, uncounted: Iterable[str]) -> bool:
        """Its end is not counted yet, and it is one of the Job's indexes."""
        uid = pod["metadata"]["uid"]
        if not has_finalizer(pod) or uid in uncounted or uid in self.removing:
            return False
        return not self.indexed or self._valid_index(pod) is not None

    def _valid_index(self, pod: Obj) -> int | None:
        index = index_of(pod)
        return index if index is not None and index < (self.completions or 0) else None

    def count(self) -> None:
        """Reckons how many pods succeeded and failed, those not counted in the status among them."""
        succeeded, failed = self.uncounted.get("succeeded") or [], self.uncounted.get("failed") or []
        new_succeeded = [pod for pod in self.pods if p.phase(pod) == "Succeeded" and self._is_new(pod, succeeded)]
        new_failed = [pod for pod in self.pods if is_failed(pod, self.job) and self._is_new(pod, failed)]
        counting = [pod for pod in new_failed if judge(self.job, pod).counts]
        self.succeeded = self.status.get("succeeded", 0) + len(new_succeeded) + len(succeeded)
        self.failed = self.status.get("failed", 0) + len(counting) + len(failed)
        self.record = self.record.after(new_succeeded, new_failed)
        if not self.indexed:
            return
        completions = self.completions or 0
        self.before = Intervals.parse(self.status.get("completedIndexes", ""), completions)
        tracked = [
            (pod, index) for pod in self.pods if has_finalizer(pod) and (index := self._valid_index(pod)) is not None
        ]
        self.done = self.before.with_indexes({i for pod, i in tracked if p.phase(pod) == "Succeeded"})
        self.succeeded = len(self.done)
        if self.spec.get("backoffLimitPerIndex") is not None:
            counted = Intervals.parse(self.status.get("failedIndexes") or "", completions)
            self.failed_indexes = counted.with_indexes({i for pod, i in tracked if self._index_has_failed(pod)})
            self._find_delayed(self.failed_indexes)

    def _index_has_failed(self, pod: Obj) -> bool:
        """With this pod the failures of its index are too many, or a rule says so."""
        if not is_failed(pod, self.job):
            return False
        verdict = judge(self.job, pod)
        limit: int = self.spec["backoffLimitPerIndex"]
        return verdict.action == "FailIndex" or (verdict.counts and failures_of(pod) >= limit)

    def _find_delayed(self, failed_indexes: Intervals) -> None:
        active = {index_of(pod) for pod in self.pods if p.is_active(pod)}
        for pod in self.pods:
            index = self._valid_index(pod)
            if index is None or not is_failed(pod, self.job) or not self._is_new(pod, ()):
                continue
            if index in self.done or index in failed_indexes or index in active:
                continue
            last = self.delayed.get(index)
            if last is None or (
                all_failures_of(last) <= all_failures_of(pod) and finished_at(pod) >= finished_at(last)
            ):
                self.delayed[index] = pod

    def decide(self) -> None:
        """Finds out whether the Job ends now, and with which condition."""
        self.finished = self._true_condition("SuccessCriteriaMet")
        target = self._true_condition("FailureTarget")
        if self.finished is None and target is not None:
            self.finished = self._condition("Failed", target.get("reason", ""), target.get("message", ""))
        if self.finished is None:
            self._decide_on_failure()
        if self.indexed and self.finished is None and self.failed_indexes is not None:
            most = self.spec.get("maxFailedIndexes")
            bad = len(self.failed_indexes)
            if most is not None and bad > most:
                message = "Job has exceeded the specified maximal number of failed indexes"
                self.finished = self._condition("FailureTarget", "MaxFailedIndexesExceeded", message)
            elif bad and bad + len(self.done) >= (self.completions or 0):
                self.finished = self._condition("FailureTarget", "FailedIndexes", "Job has failed indexes")
        if self.indexed and self.finished is None and (message := success_message(self.job, self.done)):
            self.finished = self._condition("SuccessCriteriaMet", "SuccessPolicy", message)

    def _decide_on_failure(self) -> None:
        if self.spec.get("podFailurePolicy"):
            for pod in self.pods:
                if is_failed(pod, self.job) and (message := judge(self.job, pod).message):
                    self.finished = self._condition("FailureTarget", "PodFailurePolicy", message)
                    return
        if self.failed > self._backoff_limit or self._restarted_too_often():
            message = "Job has reached the specified backoff limit"
            self.finished = self._condition("FailureTarget", "BackoffLimitExceeded", message)
            return
        deadline_s = self.spec.get("activeDeadlineSeconds")
        if deadline_s is not None and not is_suspended(self.job):
            left_s = deadline_s - (self._clock.now() - p.time_of(self.status.get("startTime")))
            if left_s <= 0:
                message = "Job was active longer than specified deadline"
                self.finished = self._condition("FailureTarget", "DeadlineExceeded", message)
            else:
                self.deadline_s = left_s

    def _restarted_too_often(self) -> bool:
        """With restartPolicy OnFailure the containers' restarts count towards the backoff limit."""
        if get(self.spec, "template", "spec", "restartPolicy") != "OnFailure":
            return False
        restarts = 0
        for pod in self.pods:
            if p.phase(pod) in ("Running", "Pending"):
                for name in ("initContainerStatuses", "containerStatuses"):
                    restarts += sum(s.get("restartCount", 0) for s in get(pod, "status", name, default=()))
        return restarts >= max(1, self._backoff_limit)
