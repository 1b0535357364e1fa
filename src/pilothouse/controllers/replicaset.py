"""ReplicaSets and ReplicationControllers: as many pods of one template as asked for.

Source: upstream's pkg/controller/replicaset, which serves both kinds.
"""

from __future__ import annotations

from typing import ClassVar, Final

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, key_of
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.batches import all_of, slow_start
from pilothouse.controllers.expectations import Expectations
from pilothouse.controllers.ownership import Claimer

BURST: Final = 500  # pods made or deleted in one go


class ReplicaSetController(Controller):
    name = "replicaset-controller"
    workers = 5
    group: ClassVar[str] = "apps"
    resource: ClassVar[str] = "replicasets"
    kind: ClassVar[str] = "ReplicaSet"
    counts_terminating: ClassVar[bool] = True  # status.terminatingReplicas

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informer(self.group, "v1", self.resource)
        self.pods = self.informer("", "v1", "pods")
        self.expectations = Expectations(self.clock)
        self._api = self.client.resource(self.group, "v1", self.resource)
        self._control = p.PodControl(self.client, self.recorder)
        self._claimer = Claimer(self._api, self._control.pods)
        p.index_by_controller(self.sets)
        p.index_by_controller(self.pods)
        self.sets.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self._set_deleted)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    def selector(self, owner: Obj) -> selectors.Selector:
        return selectors.of_object(owner["spec"].get("selector"))

    def _set_deleted(self, owner: Obj) -> None:
        self.expectations.forget(key_of(owner))
        self.enqueue(owner)

    def _owner(self, pod: Obj, ref: Obj | None) -> Obj | None:
        if ref is None or ref["kind"] != self.kind:
            return None
        owner = self.sets.lister.get(pod["metadata"]["namespace"], ref["name"])
        return owner if owner is not None and owner["metadata"]["uid"] == ref["uid"] else None

    def _enqueue_matching(self, pod: Obj) -> None:
        labels = pod["metadata"].get("labels") or {}
        if not labels:
            return
        for owner in self.sets.lister.list(pod["metadata"]["namespace"]):
            selector = self.selector(owner)
            if not selector.empty and selector.matches(labels):
                self.enqueue(owner)

    def _pod_added(self, pod: Obj) -> None:
        if p.is_deleted(pod):
            self._pod_deleted(pod)
            return
        ref = controller_of(pod)
        if ref is None:
            self._enqueue_matching(pod)
            return
        owner = self._owner(pod, ref)
        if owner is not None:
            self.expectations.created(key_of(owner))
            self.enqueue(owner)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        relabelled = old["metadata"].get("labels") != new["metadata"].get("labels")
        if p.is_deleted(new):
            self._pod_deleted(new)
            if relabelled:
                self._pod_deleted(old)
            return
        ref, old_ref = controller_of(new), controller_of(old)
        if ref != old_ref and (owner := self._owner(old, old_ref)) is not None:
            self.enqueue(owner)
        if ref is not None:
            owner = self._owner(new, ref)
            if owner is not None:
                self.enqueue(owner)
                wait_s = owner["spec"].get("minReadySeconds") or 0
                if wait_s and not p.is_ready(old) and p.is_ready(new):
                    self.enqueue_after(owner, wait_s)
        elif relabelled or ref != old_ref:
            self._enqueue_matching(new)

    def _pod_deleted(self, pod: Obj) -> None:
        owner = self._owner(pod, controller_of(pod))
        if owner is not None:
            self.expectations.deleted(key_of(owner), key_of(pod))
            self.enqueue(owner)

    async def reconcile(self, key: str) -> None:
        owner = self.sets.lister.by_key(key)
        if owner is None:
            self.expectations.forget(key)
            return
        may_manage = self.expectations.satisfied(key)
        selector = self.selector(owner)
        found = p.candidates(self.pods, owner)
        active = await self._claimer.claim(owner, selector, [pod for pod in found if p.is_active(pod)])
        uid = owner["metadata"]["uid"]
        terminating = [
            pod
            for pod in found
            if p.is_terminating(pod)
            and (controller_of(pod) or {}).get("uid") == uid
            and selector.matches(pod["metadata"].get("labels") or {})
        ]
        failure: Exception | None = None
        if may_manage and not p.is_deleted(owner):
            failure = await self._manage(key, owner, active)
        now_s = self.clock.now()
        owner = await self._write_status(owner, active, len(terminating), failure)
        if failure is not None:
            raise failure
        min_ready_s = owner["spec"].get("minReadySeconds") or 0
        status = owner.get("status") or {}
        if min_ready_s and status.get("readyReplicas", 0) != status.get("availableReplicas", 0):
            wait_s = p.next_availability(active, min_ready_s, now_s)
            self.enqueue_after(key, min_ready_s if wait_s is None else wait_s)

    async def _manage(self, key: str, owner: Obj, active: list[Obj]) -> Exception | None:
        """Makes or deletes pods until there are as many as asked for."""
        difference = len(active) - owner["spec"].get("replicas", 1)
        if difference < 0:
            return await self._create(key, owner, min(-difference, BURST))
        if difference > 0:
            return await self._delete(key, owner, active, min(difference, BURST))
        return None

    async def _create(self, key: str, owner: Obj, count: int) -> Exception | None:
        self.expectations.expect(key, additions=count)

        async def create(_: int) -> None:
            try:
                await self._control.create(p.from_template(owner["spec"]["template"], owner), owner)
            except StatusError as error:
                # Where the namespace goes away it counts as made: the expectation keeps the key quiet for a while.
                if not p.is_namespace_terminating(error):
                    raise

        made, failure = await slow_start(count, create)
        self.expectations.created(key, count - made)
        return failure

    async def _delete(self, key: str, owner: Obj, active: list[Obj], count: int) -> Exception | None:
        chosen = active
        if count < len(active):
            chosen = p.deletion_order(active, self._related_pods(owner), self.clock.now())
        chosen = chosen[:count]
        self.expectations.expect(key, deletions=[key_of(pod) for pod in chosen])

        async def delete(pod: Obj) -> None:
            try:
                if not await self._control.delete(pod, owner):
                    self.expectations.deleted(key, key_of(pod))
            except StatusError:
                self.expectations.deleted(key, key_of(pod))
                raise

        try:
            await all_of([delete(pod) for pod in chosen])
        except StatusError as error:
            return error
        return None

    def _related_pods(self, owner: Obj) -> list[Obj]:
        """The pods of all sets of the same deployment: a node that holds many of them is relieved first."""
        ref = controller_of(owner)
        if ref is None:
            return []
        found: dict[str, Obj] = {}
        for sibling in self.sets.lister.by_index(p.BY_CONTROLLER, ref["uid"]):
            for pod in self.pods.lister.list(sibling["metadata"]["namespace"], self.selector(sibling)):
                found.setdefault(pod["metadata"]["uid"], pod)
        return list(found.values())

    def _status(self, owner: Obj, active: list[Obj], terminating: int, failure: Exception | None) -> Obj:
        now_s = self.clock.now()
        min_ready_s = owner["spec"].get("minReadySeconds") or 0
        template_labels = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
        old = owner.get("status") or {}
        conditions: list[Obj] = old.get("conditions") or []
        failed = st.find(conditions, "ReplicaFailure")
        if failure is not None and failed is None:
            missing = len(active) - owner["spec"].get("replicas", 1) < 0
            new: Obj = {
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": self.clock.timestamp(),
                "reason": "FailedCreate" if missing else "FailedDelete",
                "message": str(failure),
            }
            conditions = st.put(conditions, new)
        elif failure is None and failed is not None:
            conditions = st.without(conditions, "ReplicaFailure")
        status: Obj = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(
                1 for pod in active if template_labels.items() <= (pod["metadata"].get("labels") or {}).items()
            ),
            "readyReplicas": sum(1 for pod in active if p.is_ready(pod)),
            "availableReplicas": sum(1 for pod in active if p.is_available(pod, min_ready_s, now_s)),
        }
        status = {k: v for k, v in status.items() if v or k == "replicas"}
        if self.counts_terminating:
            status["terminatingReplicas"] = terminating
        if conditions:
            status["conditions"] = conditions
        status["observedGeneration"] = owner["metadata"].get("generation", 0)
        return status

    async def _write_status(self, owner: Obj, active: list[Obj], terminating: int, failure: Exception | None) -> Obj:
        status = self._status(owner, active, terminating, failure)
        if status == owner.get("status"):
            return owner
        return await st.write(self._api, owner, status)


class ReplicationControllerController(ReplicaSetController):
    """The same for the older kind, whose selector is a plain map."""

    name = "replicationcontroller-controller"
    component = "replication-controller"
    group = ""
    resource = "replicationcontrollers"
    kind = "ReplicationController"
    counts_terminating = False

    def selector(self, owner: Obj) -> selectors.Selector:
        labels = owner["spec"].get("selector")
        return selectors.of_object({"matchLabels": labels} if labels else None)
