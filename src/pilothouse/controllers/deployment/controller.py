"""`DeploymentController`: which deployment to look at, and when."""

from __future__ import annotations

from typing import Final

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy, get
from pilothouse.controllers import pods as p
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.deployment import revisions
from pilothouse.controllers.deployment.rollout import Rollout
from pilothouse.controllers.ownership import Claimer

_TRIES_MAX: Final = 15


class DeploymentController(Controller):
    name = "deployment-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.deployments = self.informer("apps", "v1", "deployments")
        self.sets = self.informer("apps", "v1", "replicasets")
        self.pods = self.informer("", "v1", "pods")
        self._api = self.client.resource("apps", "v1", "deployments")
        self._sets_api = self.client.resource("apps", "v1", "replicasets")
        self._claimer = Claimer(self._api, self._sets_api)
        p.index_by_controller(self.sets)
        p.index_by_controller(self.pods)
        self.deployments.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.sets.add_handler(self._set_added, self._set_updated, self._set_deleted)
        self.pods.add_handler(deleted=self._pod_deleted)

    def _owner(self, obj: Obj) -> Obj | None:
        ref = controller_of(obj)
        if ref is None or ref["kind"] != "Deployment":
            return None
        found = self.deployments.lister.get(obj["metadata"]["namespace"], ref["name"])
        return found if found is not None and found["metadata"]["uid"] == ref["uid"] else None

    def _enqueue_owner(self, obj: Obj) -> None:
        owner = self._owner(obj)
        if owner is not None:
            self.enqueue(owner)

    def _enqueue_matching(self, replica_set: Obj) -> None:
        labels = replica_set["metadata"].get("labels") or {}
        if not labels:
            return
        for deployment in self.deployments.lister.list(replica_set["metadata"]["namespace"]):
            selector = selectors.of_object(deployment["spec"].get("selector"))
            if not selector.empty and selector.matches(labels):
                self.enqueue(deployment)

    def _set_added(self, replica_set: Obj) -> None:
        if controller_of(replica_set) is not None or p.is_deleted(replica_set):
            self._enqueue_owner(replica_set)
        else:
            self._enqueue_matching(replica_set)

    def _set_updated(self, old: Obj, new: Obj) -> None:
        ref, old_ref = controller_of(new), controller_of(old)
        if ref != old_ref:
            self._enqueue_owner(old)
        if ref is not None:
            self._enqueue_owner(new)
        elif ref != old_ref or old["metadata"].get("labels") != new["metadata"].get("labels"):
            self._enqueue_matching(new)

    def _set_deleted(self, replica_set: Obj) -> None:
        self._enqueue_owner(replica_set)

    def _pod_deleted(self, pod: Obj) -> None:
        """A deployment of strategy Recreate waits for its old pods to be gone."""
        ref = controller_of(pod)
        if ref is None or ref["kind"] != "ReplicaSet":
            return
        replica_set = self.sets.lister.get(pod["metadata"]["namespace"], ref["name"])
        if replica_set is None or replica_set["metadata"]["uid"] != ref["uid"]:
            return
        deployment = self._owner(replica_set)
        if deployment is not None and get(deployment, "spec", "strategy", "type") == "Recreate":
            self.enqueue(deployment)

    async def reconcile(self, key: str) -> None:
        found = self.deployments.lister.by_key(key)
        if found is None:
            return
        deployment = copy(found)
        selector = selectors.of_object(deployment["spec"].get("selector"))
        if selector.empty:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self.recorder.event(deployment, "Warning", "SelectingAll", message)
            status = dict(deployment.get("status") or {})
            if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
                status["observedGeneration"] = deployment["metadata"]["generation"]
                await self._api.update({**deployment, "status": status}, "status")
            return
        owned = await self._claimer.claim(deployment, selector, p.candidates(self.sets, deployment))
        rollout = Rollout(
            deployment, owned, api=self._api, sets=self._sets_api, informer=self.sets, recorder=self.recorder,
            clock=self.clock,
        )  # fmt: skip
        if p.is_deleted(deployment):
            await rollout.find(create=False)
            await rollout.write_counts()
            return
        await rollout.note_pause()
        rollback = revisions.parse_int(revisions.annotations_of(deployment).get(revisions.ROLLBACK_TO))
        if deployment["spec"].get("paused"):
            await rollout.sync()
        elif rollback is not None:
            await rollout.roll_back(rollback)
        elif await rollout.is_scaling():
            await rollout.sync()
        else:
            await self._roll(key, rollout, owned)

    async def _roll(self, key: str, rollout: Rollout, owned: list[Obj]) -> None:
        if get(rollout.deployment, "spec", "strategy", "type") == "Recreate":
            pods = {rs["metadata"]["uid"]: p.candidates(self.pods, rs, orphans=False) for rs in owned}
            wait_s = await rollout.recreate(pods)
        else:
            wait_s = await rollout.rolling()
        if wait_s is None:
            return
        if wait_s < 1.0:
            self.queue.add_rate_limited(key)
        else:
            self.enqueue_after(key, wait_s + 1.0)

    def failed(self, key: str, error: Exception) -> None:
        if isinstance(error, StatusError) and p.is_namespace_terminating(error):
            self.queue.forget(key)
        elif self.queue.failures(key) < _TRIES_MAX:
            super().failed(key, error)
        else:
            self.log.warning("%s: given up: %s", key, error)
            self.queue.forget(key)
