"""CronJobs: a Job at each time of a schedule.

Source: upstream's pkg/controller/cronjob (cronjob_controllerv2.go).
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime
from typing import Final, NamedTuple

from pilothouse.api.errors import StatusError
from pilothouse.api.field import quote
from pilothouse.api.objects import Obj, controller_of, copy
from pilothouse.api.schedules import Schedule, ScheduleError, parse, zone
from pilothouse.client.events import reference_of
from pilothouse.clock import format_time
from pilothouse.controllers import pods as p
from pilothouse.controllers.base import Context, Controller

_LATER_S: Final = 0.1  # syncs are a little after the time, so that clocks that differ do not matter
_MANY: Final = 100
_TIMESTAMP: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class Missed(NamedTuple):
    """The times between the last one that was served and now."""

    since_s: float
    latest_s: float | None
    times: int


def missed(cron_job: Obj, schedule: Schedule, now_s: float, *, within_deadline: bool) -> Missed:
    """Raises ScheduleError where times follow each other too closely."""
    since_s = p.time_of((cron_job.get("status") or {}).get("lastScheduleTime"))
    since_s = since_s or p.time_of(cron_job["metadata"].get("creationTimestamp"))
    deadline_s = cron_job["spec"].get("startingDeadlineSeconds")
    if within_deadline and deadline_s is not None:
        since_s = max(since_s, now_s - deadline_s)
    first = schedule.next(since_s)
    if first is None or now_s < first:
        return Missed(since_s, None, 0)
    second = schedule.next(first)
    if second is None or now_s < second:
        return Missed(since_s, first, 0)
    interval_s = int(second - first + 0.5)
    if interval_s < 1:
        raise ScheduleError("time difference between two schedules is less than 1 second")
    count = int(now_s - first) // interval_s + 1
    # Most of the way in one step: a schedule may have been missed for years.
    latest: float | None = None
    at = schedule.next(first + (count - 2) * interval_s)
    while at is not None and at <= now_s:
        latest, at = at, schedule.next(at)
    return Missed(since_s, latest, count)


def seconds_to_next(cron_job: Obj, schedule: Schedule, now_s: float) -> float | None:
    try:
        found = missed(cron_job, schedule, now_s, within_deadline=False)
    except ScheduleError:
        base_s = now_s
    else:
        base_s = found.latest_s if found.latest_s is not None else now_s if found.times else found.since_s
    following = schedule.next(base_s)
    return None if following is None else following + _LATER_S - now_s


def job_name(cron_job: Obj, scheduled_s: float) -> str:
    return f"{cron_job['metadata']['name']}-{int(scheduled_s // 60)}"


def ended_as(job: Obj) -> str:
    """Complete, Failed, or nothing."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return str(condition["type"])
    return ""


class CronJobController(Controller):
    name = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cron_jobs = self.informer("batch", "v1", "cronjobs")
        self.jobs = self.informer("batch", "v1", "jobs")
        self._api = self.client.resource("batch", "v1", "cronjobs")
        self._jobs_api = self.client.resource("batch", "v1", "jobs")
        p.index_by_controller(self.jobs)
        self.cron_jobs.add_handler(self.enqueue, self._updated, self.enqueue)
        self.jobs.add_handler(self._job_changed, self._job_updated, self._job_changed)

    def _updated(self, old: Obj, new: Obj) -> None:
        before, after = old["spec"], new["spec"]
        if before.get("schedule") == after.get("schedule") and before.get("timeZone") == after.get("timeZone"):
            self.enqueue(new)
            return
        try:
            wait_s = seconds_to_next(new, self._schedule(new), self.clock.now())
        except ScheduleError:
            message = f"unparseable schedule for cronjob: {after.get('schedule')}"
            self.recorder.event(new, "Warning", "UnParseableCronJobSchedule", message)
            return
        if wait_s is not None:
            self.enqueue_after(new, wait_s)

    def _job_changed(self, job: Obj) -> None:
        ref = controller_of(job)
        if ref is None or ref["kind"] != "CronJob":
            return
        found = self.cron_jobs.lister.get(job["metadata"]["namespace"], ref["name"])
        if found is not None and found["metadata"]["uid"] == ref["uid"]:
            self.enqueue(found)

    def _job_updated(self, old: Obj, new: Obj) -> None:
        if controller_of(old) != controller_of(new):
            self._job_changed(old)
        self._job_changed(new)

    @staticmethod
    def _schedule(cron_job: Obj) -> Schedule:
        time_zone = cron_job["spec"].get("timeZone") or ""
        try:
            zone(time_zone)
        except ScheduleError:
            time_zone = ""
        return parse(cron_job["spec"].get("schedule") or "", time_zone)

    async def reconcile(self, key: str) -> None:
        found = self.cron_jobs.lister.by_key(key)
        if found is None:
            return
        cron_job = copy(found)
        status = cron_job.setdefault("status", {})
        before = copy(status)
        jobs = self.jobs.lister.by_index(p.BY_CONTROLLER, cron_job["metadata"]["uid"])
        failure: Exception | None = None
        wait_s: float | None = None
        try:
            await self._clean_up(cron_job, jobs)
            wait_s = await self._sync(cron_job, jobs)
        except (StatusError, ScheduleError) as error:
            failure = error
        if not status.get("active"):
            status.pop("active", None)
        if status != before:
            await self._api.update(cron_job, "status")
        if failure is not None:
            raise failure
        if wait_s is not None:
            self.enqueue_after(key, wait_s)

    # History

    async def _clean_up(self, cron_job: Obj, jobs: list[Obj]) -> None:
        """Deletes the oldest finished Jobs beyond the history limits."""

        def age(job: Obj) -> tuple[float, str]:
            started = p.time_of((job.get("status") or {}).get("startTime"))
            return started or float("inf"), job["metadata"]["name"]

        for how, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            limit = cron_job["spec"].get(field)
            if limit is None:
                continue
            finished = sorted((j for j in jobs if ended_as(j) == how), key=age)
            for job in finished[: max(0, len(finished) - limit)]:
                await self._delete(cron_job, job)

    async def _delete(self, cron_job: Obj, job: Obj) -> bool:
        metadata = job["metadata"]
        try:
            await self._jobs_api.delete(metadata["name"], metadata["namespace"], propagation="Background")
        except StatusError as error:
            self.recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            return False
        self._not_active(cron_job, metadata["uid"])
        self.recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {metadata['name']}")
        return True

    # Status

    @staticmethod
    def _active(cron_job: Obj) -> list[Obj]:
        found: list[Obj] = cron_job["status"].get("active") or []
        return found

    def _not_active(self, cron_job: Obj, uid: str) -> None:
        cron_job["status"]["active"] = [r for r in self._active(cron_job) if r.get("uid") != uid]

    async def _follow(self, cron_job: Obj, jobs: list[Obj]) -> None:
        """Brings the list of active Jobs and the time of the last success up to date."""
        status = cron_job["status"]
        name, namespace = cron_job["metadata"]["name"], cron_job["metadata"]["namespace"]
        for job in jobs:
            uid, how = job["metadata"]["uid"], ended_as(job)
            known = any(r.get("uid") == uid for r in self._active(cron_job))
            if not known and not how:
                fresh = await self._api.get(name, namespace)
                fresh_status = fresh.get("status") or {}
                if any(r.get("uid") == uid for r in fresh_status.get("active") or ()):
                    status.update(fresh_status)
                    continue
                message = f"Saw a job that the controller did not create or forgot: {job['metadata']['name']}"
                self.recorder.event(cron_job, "Warning", "UnexpectedJob", message)
            if known and how:
                self._not_active(cron_job, uid)
                message = f"Saw completed job: {job['metadata']['name']}, condition: {how}"
                self.recorder.event(cron_job, "Normal", "SawCompletedJob", message)
            if how == "Complete":
                ended = (job.get("status") or {}).get("completionTime")
                if p.time_of(ended) > p.time_of(status.get("lastSuccessfulTime")):
                    status["lastSuccessfulTime"] = ended
        children = {job["metadata"]["uid"] for job in jobs}
        for ref in list(self._active(cron_job)):
            if ref.get("uid") in children:
                continue
            try:
                await self._jobs_api.get(ref["name"], ref["namespace"])
            except StatusError as error:
                if error.code != 404:
                    raise
                self.recorder.event(cron_job, "Normal", "MissingJob", f"Active job went missing: {ref['name']}")
                self._not_active(cron_job, ref.get("uid", ""))

    # Times

    async def _sync(self, cron_job: Obj, jobs: list[Obj]) -> float | None:
        """Starts what is due. Returns the seconds until the next time."""
        await self._follow(cron_job, jobs)
        spec = cron_job["spec"]
        if p.is_deleted(cron_job):
            return None
        try:
            zone(spec.get("timeZone") or "")
        except ScheduleError as error:
            message = f"invalid timeZone: {quote(spec['timeZone'])}: {error}"
            self.recorder.event(cron_job, "Warning", "UnknownTimeZone", message)
            return None
        if spec.get("suspend"):
            return None
        text = spec.get("schedule") or ""
        if "TZ" in text:
            message = (
                f"CRON_TZ or TZ used in schedule {quote(text)} is not officially supported, "
                "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )
            self.recorder.event(cron_job, "Warning", "UnsupportedSchedule", message)
        try:
            schedule = self._schedule(cron_job)
        except ScheduleError as error:
            message = f"unparseable schedule: {quote(text)} : {error}"
            self.recorder.event(cron_job, "Warning", "UnparseableSchedule", message)
            return None
        now_s = self.clock.now()
        try:
            found = missed(cron_job, schedule, now_s, within_deadline=True)
        except ScheduleError as error:
            self.recorder.event(cron_job, "Warning", "InvalidSchedule", f"invalid schedule: {text} : {error}")
            return None
        if found.latest_s is not None and await self._is_due(cron_job, found.latest_s, found.times, now_s):
            await self._start(cron_job, found.latest_s)
        return seconds_to_next(cron_job, schedule, now_s)

    async def _is_due(self, cron_job: Obj, scheduled_s: float, count: int, now_s: float) -> bool:
        """The time is to be served: not too late, not served yet, and other Jobs of it do not stand in the way."""
        spec, status = cron_job["spec"], cron_job["status"]
        if count > _MANY:
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self.recorder.event(cron_job, "Warning", "TooManyMissedTimes", message)
        deadline_s = spec.get("startingDeadlineSeconds")
        if deadline_s is not None and scheduled_s + deadline_s < now_s:
            when = format_datetime(datetime.fromtimestamp(scheduled_s, zone("")))
            message = f"Missed scheduled time to start a job: {when}"
            self.recorder.event(cron_job, "Warning", "MissSchedule", message)
            return False
        name = job_name(cron_job, scheduled_s)
        if any(r.get("name") == name for r in self._active(cron_job)):
            return False
        if status.get("lastScheduleTime") and p.time_of(status["lastScheduleTime"]) == scheduled_s:
            return False
        policy = spec.get("concurrencyPolicy")
        if policy == "Forbid" and self._active(cron_job):
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.recorder.event(cron_job, "Normal", "JobAlreadyActive", message)
            return False
        if policy == "Replace":
            for ref in list(self._active(cron_job)):
                try:
                    job = await self._jobs_api.get(ref["name"], ref["namespace"])
                except StatusError as error:
                    self.recorder.event(cron_job, "Warning", "FailedGet", f"Get job: {error}")
                    raise
                if not await self._delete(cron_job, job):
                    raise ScheduleError(f"could not replace job {ref['namespace']}/{ref['name']}")
        return True

    def _job(self, cron_job: Obj, scheduled_s: float) -> Obj:
        template = cron_job["spec"]["jobTemplate"]
        source = template.get("metadata") or {}
        local = datetime.fromtimestamp(scheduled_s, zone(cron_job["spec"].get("timeZone") or "")).isoformat()
        metadata: Obj = {
            "name": job_name(cron_job, scheduled_s),
            "namespace": cron_job["metadata"]["namespace"],
            "annotations": {**(source.get("annotations") or {}), _TIMESTAMP: local.replace("+00:00", "Z")},
            "ownerReferences": [p.controller_ref(cron_job)],
        }
        if source.get("labels"):
            metadata["labels"] = dict(source["labels"])
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": copy(template.get("spec") or {})}

    async def _start(self, cron_job: Obj, scheduled_s: float) -> None:
        job = self._job(cron_job, scheduled_s)
        metadata = job["metadata"]
        try:
            job = await self._jobs_api.create(job)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                if not p.is_namespace_terminating(error):
                    self.recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
            # Made by an earlier sync whose status was lost, unless it is someone else's.
            job = await self._jobs_api.get(metadata["name"], metadata["namespace"])
            uid = job["metadata"]["uid"]
            ours = (controller_of(job) or {}).get("uid") == cron_job["metadata"]["uid"]
            if not ours or any(r.get("uid") == uid for r in self._active(cron_job)):
                return
        else:
            self.recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {metadata['name']}")
        cron_job["status"]["active"] = [*self._active(cron_job), reference_of(job)]
        cron_job["status"]["lastScheduleTime"] = format_time(scheduled_s)
