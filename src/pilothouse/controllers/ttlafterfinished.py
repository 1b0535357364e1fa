"""Finished Jobs with `ttlSecondsAfterFinished` are deleted when that time has passed.

Source: upstream's pkg/controller/ttlafterfinished (KEP-592).
"""

from __future__ import annotations

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_deleted, time_of


class TTLAfterFinishedController(Controller):
    name = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.informer("batch", "v1", "jobs")
        self._api = self.client.resource("batch", "v1", "jobs")
        self.jobs.add_handler(self._consider, lambda _, new: self._consider(new))

    def _consider(self, job: Obj) -> None:
        if not is_deleted(job) and self._expires_at(job) is not None:
            self.enqueue(job)

    @staticmethod
    def _expires_at(job: Obj) -> float | None:
        """None where it is not finished or may stay."""
        ttl_s: int | None = job["spec"].get("ttlSecondsAfterFinished")
        if ttl_s is None:
            return None
        for condition in (job.get("status") or {}).get("conditions") or ():
            if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
                finished = time_of(condition.get("lastTransitionTime"))
                return finished + ttl_s if finished else None
        return None

    async def reconcile(self, key: str) -> None:
        job = self.jobs.lister.by_key(key)
        if job is None or not self._is_due(key, job):
            return
        try:  # the cache may be late: the time to live may have been changed
            job = await self._api.get(job["metadata"]["name"], job["metadata"]["namespace"])
            if self._is_due(key, job):
                metadata = job["metadata"]
                await self._api.delete(
                    metadata["name"], metadata["namespace"], propagation="Foreground", uid=metadata["uid"]
                )
        except StatusError as error:
            if error.code != 404:
                raise

    def _is_due(self, key: str, job: Obj) -> bool:
        expires = self._expires_at(job)
        if expires is None or is_deleted(job):
            return False
        wait_s = expires - self.clock.now()
        if wait_s > 0:
            self.enqueue_after(key, wait_s)
        return wait_s <= 0
