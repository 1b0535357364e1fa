"""`SetSync`: one look at one StatefulSet: which pods to make, change, delete and replace, in what order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy, get
from pilothouse.client import Recorder, ResourceClient
from pilothouse.clock import Clock
from pilothouse.controllers import pods as p
from pilothouse.controllers.batches import slow_start
from pilothouse.controllers.intorpercent import scaled
from pilothouse.controllers.statefulset import identity as i
from pilothouse.controllers.statefulset.claims import Claims


class SetSync:
    """`current` and `update` are the revisions between which the set is."""

    def __init__(
        self, owner: Obj, pods: list[Obj], current: Obj, update: Obj, *, api: ResourceClient, claims: Claims,
        recorder: Recorder, clock: Clock,
    ) -> None:  # fmt: skip
        self.owner, self.pods, self.current, self.update = owner, pods, current, update
        self._api, self._claims, self._recorder = api, claims, recorder
        self._now_s = clock.now()
        self._min_ready_s: int = owner["spec"].get("minReadySeconds") or 0
        self._ordered = bool(owner["spec"].get("podManagementPolicy") != "Parallel")
        self._updated_owner = i.with_template(owner, update)
        self.replicas: list[Obj] = []
        self.condemned: list[Obj] = []
        self._replaced = 0  # pods of the current revision that this sync has deleted

    def _is_available(self, pod: Obj) -> bool:
        return p.is_available(pod, self._min_ready_s, self._now_s)

    def _is_unavailable(self, pod: Obj) -> bool:
        return p.is_deleted(pod) or not self._is_available(pod)

    async def run(self) -> None:
        """What is done may end early, for the next step has to wait for what was begun."""
        self._arrange()
        if p.is_deleted(self.owner):
            return
        steps = (
            (self._replica, self.replicas),
            (self._claims_of_condemned, self.condemned),
            (self._condemned, self.condemned),
        )
        for step, pods in steps:
            if await self._for_all(pods, step):
                return
        if i.is_rolling(self.owner):
            await self._roll()

    def _arrange(self) -> None:
        """Gives each ordinal its pod, made up where there is none; the others are condemned, the highest first."""
        found = {i.ordinal_of(pod): pod for pod in self.pods}
        first = i.start(self.owner)
        self.replicas = [
            found.get(ordinal) or i.new_versioned_pod(self.owner, self.current, self.update, ordinal)
            for ordinal in range(first, first + i.replicas(self.owner))
        ]
        self.condemned = [pod for pod in self.pods if i.ordinal_of(pod) >= 0 and not i.in_range(self.owner, pod)]
        self.condemned.sort(key=i.ordinal_of, reverse=True)

    async def _for_all(self, pods: list[Obj], step: Callable[[int], Awaitable[bool]]) -> bool:
        """In order until one says that it must be waited for, or all at once. Says whether the sync ends here."""
        if not self._ordered:
            _, failure = await slow_start(len(pods), step)
            if failure is not None:
                raise failure
            return False
        for at in range(len(pods)):
            if await step(at):
                return True
        return False

    # Pods

    async def _replica(self, at: int) -> bool:
        pod = self.replicas[at]
        if p.is_terminal(pod):
            if not p.is_deleted(pod):
                await self._delete(pod)
            return True  # the next one of its name can be made only when it is gone
        if not i.is_created(pod):
            if self._claims.are_stale(self.owner, pod):
                return True
            await self._create(at)
            if self._ordered:
                return True
        elif p.phase(pod) == "Pending":
            await self._claims.create(self.owner, pod)
            await self._put_claims_right(self.owner, pod)
        if self._ordered and (p.is_deleted(pod) or not i.is_running_and_ready(pod) or not self._is_available(pod)):
            return True
        if i.is_created(pod):
            await self._put_right(pod)
        return False

    async def _claims_of_condemned(self, at: int) -> bool:
        pod = self.condemned[at]
        if not self._claims.are_right(self._updated_owner, pod):
            await self._claims.put_right(self._updated_owner, pod)
        return False

    async def _condemned(self, at: int) -> bool:
        pod = self.condemned[at]
        if p.is_deleted(pod):
            return self._ordered
        if (
            self._ordered
            and pod is not self._first_unavailable()
            and not (i.is_running_and_ready(pod) and self._is_available(pod))
        ):
            return True
        await self._delete(pod)
        return True

    def _first_unavailable(self) -> Obj | None:
        """The unavailable pod of the lowest ordinal."""
        for pod in (*self.replicas, *reversed(self.condemned)):
            if self._is_unavailable(pod):
                return pod
        return None

    async def _put_right(self, pod: Obj) -> None:
        """Gives the pod its identity, its storage and its claims their owners, where they are not as they should be."""
        owner = self._updated_owner
        claims_right = self._claims.are_right(owner, pod)
        if i.has_identity(self.owner, pod) and i.has_storage(self.owner, pod) and claims_right:
            return
        changed = copy(pod)
        try:
            if not claims_right:
                await self._claims.put_right(owner, pod)
            if not i.has_identity(owner, changed):
                i.give_identity(owner, changed)
            if not i.has_storage(owner, changed):
                i.give_storage(owner, changed)
                await self._claims.create(owner, changed)
            if changed != pod:
                await self._api.update(changed)
        except StatusError as error:
            self._event("Update", pod, error)
            raise
        if changed != pod:
            self._event("Update", pod, None)

    async def _put_claims_right(self, owner: Obj, pod: Obj) -> None:
        try:
            await self._claims.put_right(owner, pod)
        except StatusError as error:
            self._event("Update", pod, error)
            raise

    async def _create(self, at: int) -> None:
        pod = self.replicas[at]
        try:
            await self._claims.create(self.owner, pod)
        except StatusError as error:
            self._event("Create", pod, error)
            raise
        failure: StatusError | None = None
        try:
            self.replicas[at] = pod = await self._api.create(pod)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                raise  # the cache has yet to show it
            failure = error
        await self._put_claims_right(self.owner, pod)
        self._event("Create", pod, failure)
        if failure is not None:
            raise failure

    async def _delete(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        try:
            await self._api.delete(metadata["name"], metadata["namespace"])
        except StatusError as error:
            if error.code != 404:
                self._event("Delete", pod, error)
                raise
        self._event("Delete", pod, None)

    def _event(self, verb: str, pod: Obj, error: Exception | None) -> None:
        what = f"{verb} Pod {pod['metadata']['name']} in StatefulSet {self.owner['metadata']['name']}"
        if error is None:
            self._recorder.event(self.owner, "Normal", f"Successful{verb}", f"{what} successful")
        else:
            self._recorder.event(self.owner, "Warning", f"Failed{verb}", f"{what} failed error: {error}")

    # Rolling update

    def _is_old(self, pod: Obj) -> bool:
        return bool(i.revision_of(pod) != self.update["metadata"]["name"])

    async def _roll(self) -> None:
        """Replaces old pods from the highest ordinal down to the partition, so many at a time as may be unavailable."""
        value = get(self.owner, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable", default=1)
        try:
            most = max(1, scaled(value, i.replicas(self.owner), up=False))
        except ValueError as error:
            raise StatusError(422, "Invalid", str(error)) from error
        unavailable = [pod for pod in self.replicas if self._is_unavailable(pod)]
        broken = [pod for pod in unavailable if self._is_old(pod) and not p.is_deleted(pod)]
        if len(unavailable) >= most and (self._ordered or not broken):
            return
        budget = most - len(unavailable)
        candidates = self.replicas[i.partition(self.owner) :][::-1]
        if not self._ordered:
            for pod in candidates:  # these are unavailable already: replacing them costs nothing
                if self._is_old(pod) and not self._is_available(pod) and not p.is_deleted(pod):
                    await self._replace(pod)
        for pod in candidates:
            if budget <= 0:
                return
            if self._is_old(pod) and not p.is_deleted(pod) and (self._ordered or self._is_available(pod)):
                await self._replace(pod)
                budget -= 1

    async def _replace(self, pod: Obj) -> None:
        await self._delete(pod)
        self._replaced += 1

    # Status

    def status(self, collisions: int) -> Obj:
        """The set's status after this sync."""
        pods = [*self.replicas, *self.condemned] if self.replicas or self.condemned else self.pods
        current, update = self.current["metadata"]["name"], self.update["metadata"]["name"]
        present = [pod for pod in pods if i.is_created(pod)]
        staying = [pod for pod in present if not p.is_deleted(pod)]
        ready = [pod for pod in present if i.is_running_and_ready(pod)]
        status: Obj = {
            "observedGeneration": self.owner["metadata"].get("generation", 0),
            "replicas": len(present),
            "readyReplicas": len(ready),
            "currentReplicas": sum(i.revision_of(pod) == current for pod in staying),
            "updatedReplicas": sum(i.revision_of(pod) == update for pod in staying),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": collisions,
            "availableReplicas": sum(self._is_available(pod) for pod in ready),
        }
        status["currentReplicas"] = max(0, status["currentReplicas"] - self._replaced)
        wanted = i.replicas(self.owner)
        if all(status[k] == wanted for k in ("updatedReplicas", "readyReplicas", "replicas")):
            status["currentReplicas"], status["currentRevision"] = status["updatedReplicas"], update
        always = ("replicas", "collisionCount", "availableReplicas")
        status = {k: v for k, v in status.items() if v or k in always}
        conditions = get(self.owner, "status", "conditions")
        if conditions:
            status["conditions"] = conditions
        return status
