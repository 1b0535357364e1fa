"""`JobController`: which Job to look at, and when."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy, key_of
from pilothouse.client import QueueClosed, RateLimiter, WorkQueue
from pilothouse.controllers import pods as p
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.expectations import Expectations
from pilothouse.controllers.job.census import FINALIZER, has_finalizer, is_finished
from pilothouse.controllers.job.sync import JobSync, Memory, remove_finalizer
from pilothouse.controllers.ownership import Claimer

_OWN_NAME: Final = "kubernetes.io/job-controller"
_BATCH_S: Final = 1.0  # changes of pods are gathered for so long
_API_BACKOFF_FIRST_S: Final = 1.0
_API_BACKOFF_MOST_S: Final = 60.0


def _is_managed_elsewhere(job: Obj) -> bool:
    manager = job["spec"].get("managedBy")
    return manager is not None and manager != _OWN_NAME


class JobController(Controller):
    name = "job-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        limits: dict[str, Any] = {"first_s": _API_BACKOFF_FIRST_S, "most_s": _API_BACKOFF_MOST_S}
        self.queue = WorkQueue(self.clock, RateLimiter(self.clock, per_second=1e6, burst=1_000_000, **limits))
        self._orphans: WorkQueue[str] = WorkQueue(self.clock)
        self.jobs = self.informer("batch", "v1", "jobs")
        self.pods = self.informer("", "v1", "pods")
        self._api = self.client.resource("batch", "v1", "jobs")
        self._control = p.PodControl(self.client, self.recorder)
        self._claimer = Claimer(self._api, self._control.pods)
        self._memory = Memory(Expectations(self.clock))
        p.index_by_controller(self.pods)
        self.jobs.add_handler(self.enqueue, self._job_updated, self._job_deleted)
        self.pods.add_handler(self._pod_added, self._pod_updated, lambda pod: self._pod_deleted(pod, final=True))
        self.loops = [self._orphan_worker]

    # When

    def _soon(self, job: Obj) -> None:
        self.enqueue_after(job, _BATCH_S)

    def _job_updated(self, old: Obj, new: Obj) -> None:
        if is_finished(new):
            self._release_leftovers(new)
            self.enqueue(new)
        elif old["metadata"].get("generation") == new["metadata"].get("generation"):
            self._soon(new)
        else:
            self.enqueue(new)

    def _job_deleted(self, job: Obj) -> None:
        self._memory.finished.discard(job["metadata"]["uid"])
        self._memory.expectations.forget(key_of(job))
        self._memory.backoff.pop(key_of(job), None)
        self._release_leftovers(job)
        self.enqueue(job)

    def _release_leftovers(self, job: Obj) -> None:
        """Pods of a Job that is over must not be held back by its finalizer."""
        for pod in p.candidates(self.pods, job, orphans=False):
            if has_finalizer(pod):
                self._orphans.add(key_of(pod))

    def _owner(self, pod: Obj, ref: Obj | None) -> Obj | None:
        if ref is None or ref["kind"] != "Job":
            return None
        found = self.jobs.lister.get(pod["metadata"]["namespace"], ref["name"])
        return found if found is not None and found["metadata"]["uid"] == ref["uid"] else None

    def _enqueue_matching(self, pod: Obj) -> None:
        if has_finalizer(pod):
            self._orphans.add(key_of(pod))
        labels = pod["metadata"].get("labels") or {}
        for job in self.jobs.lister.list(pod["metadata"]["namespace"]):
            selector = selectors.of_object(job["spec"].get("selector"))
            if not selector.empty and selector.matches(labels):
                self._soon(job)

    def _pod_added(self, pod: Obj) -> None:
        if p.is_deleted(pod):
            self._pod_deleted(pod, final=False)
            return
        ref = controller_of(pod)
        if ref is None:
            self._enqueue_matching(pod)
            return
        job = self._owner(pod, ref)
        if job is None:
            if ref["kind"] == "Job" and has_finalizer(pod):
                self._orphans.add(key_of(pod))
            return
        self._memory.expectations.created(key_of(job))
        self._soon(job)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if p.is_deleted(new):
            self._pod_deleted(new, final=False)
            return
        ref, old_ref = controller_of(new), controller_of(old)
        released = not has_finalizer(new)
        if ref != old_ref and (job := self._owner(old, old_ref)) is not None:
            if released:
                self._saw_release(job, new)
            self._soon(job)
        if ref is not None:
            job = self._owner(new, ref)
            if job is not None:
                if released:
                    self._saw_release(job, new)
                if is_finished(job) and not released:
                    self._orphans.add(key_of(new))
                self._soon(job)
            elif ref["kind"] == "Job" and not released:
                self._orphans.add(key_of(new))
        elif ref != old_ref or old["metadata"].get("labels") != new["metadata"].get("labels"):
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: Obj, *, final: bool) -> None:
        """It is being deleted, or (`final`) is gone."""
        ref = controller_of(pod)
        job = self._owner(pod, ref)
        if job is None or is_finished(job):
            if has_finalizer(pod) and not final and (ref is None or ref["kind"] == "Job"):
                self._orphans.add(key_of(pod))
            return
        self._memory.expectations.deleted(key_of(job), key_of(pod))
        if final or not has_finalizer(pod):
            self._saw_release(job, pod)
        self._soon(job)

    def _saw_release(self, job: Obj, pod: Obj) -> None:
        removing = self._memory.removing.get(key_of(job))
        if removing is not None:
            removing.discard(pod["metadata"]["uid"])
            if not removing:
                del self._memory.removing[key_of(job)]

    # What

    async def reconcile(self, key: str) -> None:
        found = self.jobs.lister.by_key(key)
        if found is None:
            self._memory.expectations.forget(key)
            self._memory.removing.pop(key, None)
            self._memory.backoff.pop(key, None)
            return
        if _is_managed_elsewhere(found):
            return
        uid = found["metadata"]["uid"]
        if is_finished(found):
            self._memory.backoff.pop(key, None)
            self._memory.finished.discard(uid)
            return
        if uid in self._memory.finished:
            return
        job = copy(found)
        if job["spec"].get("completionMode", "NonIndexed") not in ("NonIndexed", "Indexed"):
            message = "Skipped Job sync because completion mode is unknown"
            self.recorder.event(job, "Warning", "UnknownCompletionMode", message)
            return
        selector = selectors.of_object(job["spec"].get("selector"))
        pods = await self._claimer.claim(job, selector, p.candidates(self.pods, job), finalizers=(FINALIZER,))
        sync = JobSync(
            job, pods, api=self._api, control=self._control, recorder=self.recorder, clock=self.clock,
            memory=self._memory, again=lambda delay_s: self.enqueue_after(key, max(delay_s, _BATCH_S)),
        )  # fmt: skip
        await sync.run()

    # Pods that no Job counts

    async def _orphan_worker(self) -> None:
        while True:
            try:
                key = await self._orphans.get()
            except QueueClosed:
                return
            try:
                await self._release_orphan(key)
            except StatusError as error:
                self.log.info("pod %s: %s", key, error)
                self._orphans.add_rate_limited(key)
            else:
                self._orphans.forget(key)
            finally:
                self._orphans.done(key)

    async def _release_orphan(self, key: str) -> None:
        """Takes the finalizer from a pod whose Job is gone or finished."""
        pod = self.pods.lister.by_key(key)
        if pod is None or not has_finalizer(pod):
            return
        ref = controller_of(pod)
        if ref is not None:
            if ref["kind"] != "Job" or ref["apiVersion"] != "batch/v1":
                return
            job = self._owner(pod, ref)
            if job is not None and (_is_managed_elsewhere(job) or not is_finished(job)):
                return
        try:
            await remove_finalizer(self._control, pod)
        except StatusError as error:
            if error.code != 404:
                raise

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._orphans.shut_down()
