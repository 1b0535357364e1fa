"""`JobSync`: one look at one Job: which pods have ended, which to make or delete, and whether the Job is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy, key_of
from pilothouse.client import Recorder, ResourceClient
from pilothouse.clock import Clock
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.batches import all_of, slow_start
from pilothouse.controllers.expectations import Expectations
from pilothouse.controllers.job.backoff import Record, index_wait_s
from pilothouse.controllers.job.census import FINALIZER, Census, has_finalizer, is_suspended
from pilothouse.controllers.job.indexes import (
    FAILURES,
    IGNORED_FAILURES,
    INDEX,
    all_failures_of,
    failures_of,
    index_of,
)
from pilothouse.controllers.job.policies import is_failed, judge, only_replaces_failed

_PODS_MAX: Final = 500  # made or deleted in one sync
_UNCOUNTED_MAX: Final = 500
_GENERATED_NAME_MAX: Final = 58
_INDEX_VARIABLE: Final = "JOB_COMPLETION_INDEX"


@dataclass(slots=True)
class Memory:
    """What the controller remembers of its Jobs between syncs."""

    expectations: Expectations
    backoff: dict[str, Record] = field(default_factory=dict)  # key → record
    removing: dict[str, set[str]] = field(
        default_factory=dict
    )  # key → uids of pods whose finalizer was removed, unseen yet
    finished: set[str] = field(default_factory=set)  # uids of Jobs whose end was written, unseen yet


class JobSync(Census):
    def __init__(
        self, job: Obj, pods: list[Obj], *, api: ResourceClient, control: p.PodControl, recorder: Recorder, clock: Clock,
        memory: Memory, again: Callable[[float], None],
    ) -> None:  # fmt: skip
        """`job` is this sync's own copy. `again(seconds)` asks for another sync."""
        super().__init__(
            job, pods, clock, memory.backoff.get(key_of(job), Record()), memory.removing.get(key_of(job), ())
        )
        self._api, self._control, self._recorder = api, control, recorder
        self._memory, self._again = memory, again
        self.key = key_of(job)
        self.active_pods = [pod for pod in pods if p.is_active(pod)]
        self.active = len(self.active_pods)
        self.ready = sum(1 for pod in self.active_pods if p.is_ready(pod))
        self.terminating = sum(1 for pod in pods if p.is_terminating(pod))

    # One sync

    async def run(self) -> None:
        may_manage = self._memory.expectations.satisfied(self.key)
        self.count()
        if not self.status.get("startTime") and not is_suspended(self.job):
            self.status["startTime"] = self._clock.timestamp()
        self.decide()
        if self.deadline_s is not None:
            self._again(self.deadline_s)
        failure: Exception | None = None
        changed = False
        if self.finished is not None:
            failure = await self._end_active(may_manage)
        else:
            managed = may_manage and not p.is_deleted(self.job)
            if managed:
                failure = await self._manage()
            if self.completions is None:
                complete = self.succeeded > 0 and self.active == 0
            else:
                complete = self.succeeded >= self.completions and self.active == 0
            if complete:
                message = "Reached expected number of succeeded pods"
                self.finished = self._condition("SuccessCriteriaMet", "CompletionsReached", message)
            elif managed:
                changed = self._note_suspension()
        counts = {"active": self.active, "ready": self.ready, "terminating": self.terminating}
        changed = changed or {"active": 0, **{k: self.status[k] for k in counts if k in self.status}} != counts
        self.status.update(counts)
        await self._track(changed)
        if failure is not None:
            raise failure

    def _note_suspension(self) -> bool:
        """Keeps the condition Suspended true to the spec. Says whether it changed."""
        found = st.find(self.status.get("conditions") or [], "Suspended")
        if is_suspended(self.job):
            if found is not None and found.get("status") == "True":
                return False
            self._put(self._condition("Suspended", "JobSuspended", "Job suspended"))
            self._recorder.event(self.job, "Normal", "Suspended", "Job suspended")
            self.status.pop("startTime", None)
            return True
        if found is None or found.get("status") == "False":
            return False
        self._put(self._condition("Suspended", "JobResumed", "Job resumed", "False"))
        self._recorder.event(self.job, "Normal", "Resumed", "Job resumed")
        self.status["startTime"] = self._clock.timestamp()
        return True

    def _put(self, condition: Obj) -> None:
        """The condition in place of the one of its type, or at the end."""
        conditions = [c if c["type"] != condition["type"] else condition for c in self.status.get("conditions") or []]
        if condition not in conditions:
            conditions.append(condition)
        self.status["conditions"] = conditions

    # Pods

    async def _end_active(self, may_manage: bool) -> Exception | None:
        """Deletes the active pods of a Job that ends; it ends only when that has worked for all."""
        failure: Exception | None = None
        deleted = 0
        for pod, error in await self._delete_each(self.active_pods, release=False):
            if error is None:
                deleted += 1
                self.ready -= p.is_ready(pod)
            else:
                failure = failure or error
        if deleted != self.active or not may_manage:
            self.finished = None
        self.active -= deleted
        self.terminating += deleted
        return failure

    async def _delete_each(self, pods: list[Obj], *, release: bool) -> list[tuple[Obj, Exception | None]]:
        """Deletes pods; `release`: takes their finalizer first, for their end is not to be counted."""
        results: list[tuple[Obj, Exception | None]] = []

        async def delete(pod: Obj) -> None:
            try:
                if release and has_finalizer(pod):
                    await remove_finalizer(self._control, pod)
                if not await self._control.delete(pod, self.job):
                    self._memory.expectations.deleted(self.key, key_of(pod))
            except StatusError as error:
                self._memory.expectations.deleted(self.key, key_of(pod))
                results.append((pod, None if error.code == 404 else error))
            else:
                results.append((pod, None))

        await all_of([delete(pod) for pod in pods])
        return results

    async def _remove(self, pods: list[Obj]) -> Exception | None:
        self._memory.expectations.expect(self.key, deletions=[key_of(pod) for pod in pods])
        failure: Exception | None = None
        for pod, error in await self._delete_each(pods, release=True):
            if error is None:
                self.active -= 1
                self.terminating += 1
                self.ready -= p.is_ready(pod)
            else:
                failure = failure or error
        return failure

    def _wanted(self) -> int:
        """How many pods should be active."""
        parallelism = self.spec.get("parallelism")
        parallelism = 1 if parallelism is None else parallelism
        if self.completions is None:
            return self.active if self.succeeded > 0 else parallelism
        return max(0, min(self.completions - self.succeeded, parallelism))

    async def _manage(self) -> Exception | None:
        """Makes or deletes pods until as many are active as wanted."""
        if is_suspended(self.job):
            doomed = self._for_removal(self.active)
            return await self._remove(doomed) if doomed else None
        wanted = self._wanted()
        doomed = self._for_removal(max(0, self.active - wanted))[:_PODS_MAX]
        if doomed:
            return await self._remove(doomed)
        missing = wanted - self.active - (self.terminating if only_replaces_failed(self.job) else 0)
        if missing <= 0:
            return None
        now_s = self._clock.now()
        if self.failed_indexes is None and (wait_s := self.record.wait_s(now_s)) > 0:
            self._again(wait_s)
            return None
        missing = min(missing, _PODS_MAX)
        indexes: list[int] | None = None
        if self.indexed:
            indexes = self._pending_indexes(missing)
            if self.failed_indexes is not None:
                waits = {i: index_wait_s(self.delayed.get(i), now_s) for i in indexes}
                indexes = [i for i in indexes if waits[i] == 0]
                if not indexes and waits:
                    self._again(min(waits.values()))
                    return None
            missing = len(indexes)
        return await self._create(missing, indexes) if missing else None

    def _pending_indexes(self, count: int) -> list[int]:
        taken = self.done.with_indexes(i for pod in self.active_pods if (i := index_of(pod)) is not None)
        if only_replaces_failed(self.job):
            leaving = (pod for pod in self.pods if p.is_terminating(pod))
            taken = taken.with_indexes(i for pod in leaving if (i := index_of(pod)) is not None)
        if self.failed_indexes is not None:
            taken = taken | self.failed_indexes
        return taken.first_missing(count, self.completions or 0)

    def _for_removal(self, least: int) -> list[Obj]:
        """At least so many pods: of an indexed Job those with no valid index or one that another has, then the ones that
        matter least."""
        doomed: list[Obj] = []
        rest = self.active_pods
        if self.indexed:
            by_index: dict[int | None, list[Obj]] = {}
            for pod in self.active_pods:
                by_index.setdefault(self._valid_index(pod), []).append(pod)
            doomed, rest = by_index.pop(None, []), []
            for index in sorted(i for i in by_index if i is not None):
                same = p.deletion_order(by_index[index], (), self._clock.now())
                doomed += same[:-1]
                rest.append(same[-1])
        if len(doomed) < least:
            doomed += p.deletion_order(rest, (), self._clock.now())[: least - len(doomed)]
        return doomed

    async def _create(self, count: int, indexes: list[int] | None) -> Exception | None:
        self._memory.expectations.expect(self.key, additions=count)

        async def create(at: int) -> None:
            pod = self._pod(None if indexes is None else indexes[at])
            try:
                await self._control.create(pod, self.job)
            except StatusError as error:
                if not p.is_namespace_terminating(error):
                    raise

        made, failure = await slow_start(count, create)
        self._memory.expectations.created(self.key, count - made)
        self.active += made
        return failure

    def _pod(self, index: int | None) -> Obj:
        pod = p.from_template(self.spec["template"], self.job)
        metadata = pod["metadata"]
        finalizers = metadata.setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        if index is None:
            return pod
        name, suffix = self.job["metadata"]["name"], f"-{index}-"
        metadata["generateName"] = name[: _GENERATED_NAME_MAX - len(suffix)] + suffix
        metadata.setdefault("labels", {})[INDEX] = str(index)
        annotations = metadata.setdefault("annotations", {})
        annotations[INDEX] = str(index)
        if self.failed_indexes is not None:
            failures, ignored = self._failures_before(index)
            annotations[FAILURES] = str(failures)
            if ignored:
                annotations[IGNORED_FAILURES] = str(ignored)
        pod["spec"]["hostname"] = f"{name}-{index}"
        source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
        for container in [*(pod["spec"].get("initContainers") or ()), *(pod["spec"].get("containers") or ())]:
            env = container.get("env") or []
            if not any(v.get("name") == _INDEX_VARIABLE for v in env):
                container["env"] = [*env, {"name": _INDEX_VARIABLE, "valueFrom": copy(source)}]
        return pod

    def _failures_before(self, index: int) -> tuple[int, int]:
        """How often the index has failed so far: counted, and ignored by policy."""
        last = self.delayed.get(index)
        if last is None:
            return 0, 0
        counts = judge(self.job, last).counts
        ignored = all_failures_of(last) - failures_of(last)
        return failures_of(last) + counts, ignored + (not counts)

    # Counting

    async def _track(self, changed: bool) -> None:
        """Counts ended pods exactly once: first their uids go into the status, then their finalizers are removed, then they
        become numbers. A crash in between loses and doubles nothing."""
        if self.indexed:
            self.pods.sort(key=lambda pod: -1 if (i := index_of(pod)) is None else i)
        held = {
            pod["metadata"]["uid"]
            for pod in self.pods
            if has_finalizer(pod) and pod["metadata"]["uid"] not in self.removing
        }
        changed = self._settle_counts(held) or changed
        to_release, full, found = self._collect_ended()
        changed = changed or found
        if self.indexed:
            changed = self._write_indexes() or changed
        changed = self._announce() or changed
        if changed:
            await self._write()
            self._memory.backoff[self.key] = self.record
        changed, failure = False, None
        if to_release:
            failure = await self._release(to_release, held)
        if self._settle_counts(held):
            changed = True
        if failure is not None:
            if changed:
                await self._write()
            raise failure
        finished = not full and self._finish()
        if changed or finished:
            await self._write()
        if finished:
            self._report_end()
            self._memory.finished.add(self.job["metadata"]["uid"])

    def _settle_counts(self, held: set[str]) -> bool:
        """Turns the uncounted uids whose pods have lost their finalizer into numbers."""
        changed = False
        for name in ("succeeded", "failed"):
            uids = self.uncounted.get(name) or []
            left = [uid for uid in uids if uid in held]
            if len(left) != len(uids):
                changed = True
                self.status[name] = self.status.get(name, 0) + len(uids) - len(left)
                self.uncounted[name] = left
        return changed

    def _collect_ended(self) -> tuple[list[Obj], bool, bool]:
        """(pods whose finalizer may go, whether more are left for the next sync, whether anything new is to be counted)."""
        succeeded: list[str] = list(self.uncounted.get("succeeded") or ())
        failed: list[str] = list(self.uncounted.get("failed") or ())
        known_succeeded, known_failed = frozenset(succeeded), frozenset(failed)
        indexes: list[int] = []
        to_release: list[Obj] = []
        full = changed = False
        fails = self.finished is not None and self.finished["type"] != "SuccessCriteriaMet"
        for pod in self.pods:
            uid = pod["metadata"]["uid"]
            if not has_finalizer(pod) or uid in self.removing or not self._may_release(pod):
                continue
            to_release.append(pod)
            index = self._valid_index(pod) if self.indexed else None
            if p.phase(pod) == "Succeeded" and uid not in known_failed:
                if self.indexed:
                    if index is not None and index not in self.before:
                        indexes.append(index)
                        changed = True
                elif uid not in known_succeeded:
                    succeeded.append(uid)
                    changed = True
            elif (
                (is_failed(pod, self.job) or fails)
                and uid not in known_failed
                and (not self.indexed or index is not None)
                and judge(self.job, pod).counts
            ):
                failed.append(uid)
                changed = True
            if len(indexes) + len(succeeded) + len(failed) >= _UNCOUNTED_MAX:
                full = True
                break
        for name, uids in (("succeeded", succeeded), ("failed", failed)):
            if uids or name in self.uncounted:
                self.uncounted[name] = uids
        if self.indexed:
            self.done = self.done.with_indexes(indexes)
        return to_release, full, changed

    def _may_release(self, pod: Obj) -> bool:
        if p.is_deleted(self.job) or self.finished is not None or p.phase(pod) == "Succeeded":
            return True
        if not is_failed(pod, self.job):
            return False
        index = index_of(pod)
        return index is None or self.delayed.get(index, {}).get("metadata", {}).get("uid") != pod["metadata"]["uid"]

    def _write_indexes(self) -> bool:
        before = (self.status.get("completedIndexes", ""), self.status.get("failedIndexes"))
        self.status["succeeded"] = len(self.done)
        self.status["completedIndexes"] = str(self.done)
        if self.failed_indexes is not None:
            self.status["failedIndexes"] = str(self.failed_indexes)
        return before != (self.status["completedIndexes"], self.status.get("failedIndexes"))

    def _announce(self) -> bool:
        """Writes the interim condition of a Job that ends, and sets the final one. Says whether the status changed."""
        ending = self.finished
        if ending is None or ending["type"] == "Failed":
            return False
        changed = self._true_condition(ending["type"]) is None
        if changed:
            self._put(ending)
        kind = "Failed" if ending["type"] == "FailureTarget" else "Complete"
        self.finished = self._condition(kind, ending.get("reason", ""), ending.get("message", ""))
        return changed

    async def _release(self, pods: list[Obj], held: set[str]) -> Exception | None:
        """Removes the finalizers; those removed are taken out of `held`."""
        removing = self._memory.removing.setdefault(self.key, set())
        removing.update(pod["metadata"]["uid"] for pod in pods)
        failures: list[Exception] = []

        async def release(pod: Obj) -> None:
            uid = pod["metadata"]["uid"]
            try:
                await remove_finalizer(self._control, pod)
            except StatusError as error:
                removing.discard(uid)
                if error.code != 404:
                    failures.append(error)
                    return
            held.discard(uid)

        await all_of([release(pod) for pod in pods])
        return failures[0] if failures else None

    def _finish(self) -> bool:
        """Puts the final condition once every pod is counted and none is terminating."""
        if self.finished is None or self.uncounted.get("succeeded") or self.uncounted.get("failed") or self.terminating:
            return False
        self._put(self.finished)
        if self.finished["type"] == "Complete":
            self.status["completionTime"] = self.finished["lastTransitionTime"]
        return True

    def _report_end(self) -> None:
        assert self.finished is not None
        if self.finished["type"] == "Complete":
            if self.completions is not None and self.status.get("succeeded", 0) > self.completions:
                message = "Too many succeeded pods running after completion count reached"
                self._recorder.event(self.job, "Warning", "TooManySucceededPods", message)
            self._recorder.event(self.job, "Normal", "Completed", "Job completed")
        else:
            self._recorder.event(self.job, "Warning", self.finished["reason"], self.finished["message"])

    async def _write(self) -> None:
        status = {k: v for k, v in self.status.items() if v or k in ("ready", "terminating", "failedIndexes")}
        status["uncountedTerminatedPods"] = {k: v for k, v in self.uncounted.items() if v}
        written = await self._api.update({**self.job, "status": status}, "status")
        self.job["metadata"] = written["metadata"]


async def remove_finalizer(control: p.PodControl, pod: Obj) -> None:
    """Takes the tracking finalizer from the pod, and nothing else."""
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
    await control.pods.patch(pod["metadata"]["name"], pod["metadata"]["namespace"], change, "strategic")
