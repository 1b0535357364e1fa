"""`StatefulSetController`: which set to look at, when, and between which revisions it is."""

from __future__ import annotations

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy, get
from pilothouse.controllers import history as h
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.ownership import Claimer
from pilothouse.controllers.statefulset import identity as i
from pilothouse.controllers.statefulset.claims import Claims
from pilothouse.controllers.statefulset.sync import SetSync


class StatefulSetController(Controller):
    name = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informer("apps", "v1", "statefulsets")
        self.pods = self.informer("", "v1", "pods")
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self.history = self.informer("apps", "v1", "controllerrevisions")
        self._api = self.client.resource("apps", "v1", "statefulsets")
        self._pods_api = self.client.resource("", "v1", "pods")
        self._history_api = self.client.resource("apps", "v1", "controllerrevisions")
        claims_api = self.client.resource("", "v1", "persistentvolumeclaims")
        self._claims = Claims(claims_api, self.claims, self.recorder)
        self._pod_claimer = Claimer(self._api, self._pods_api)
        self._history_claimer = Claimer(self._api, self._history_api)
        p.index_by_controller(self.pods)
        p.index_by_controller(self.history)
        self.sets.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.pods.add_handler(self._pod_changed, self._pod_updated, self._pod_changed)

    def _owner(self, pod: Obj) -> Obj | None:
        ref = controller_of(pod)
        if ref is None or ref["kind"] != "StatefulSet":
            return None
        found = self.sets.lister.get(pod["metadata"]["namespace"], ref["name"])
        return found if found is not None and found["metadata"]["uid"] == ref["uid"] else None

    def _enqueue_matching(self, pod: Obj) -> None:
        labels = pod["metadata"].get("labels") or {}
        if not labels:
            return
        for owner in self.sets.lister.list(pod["metadata"]["namespace"]):
            selector = selectors.of_object(owner["spec"].get("selector"))
            if not selector.empty and selector.matches(labels):
                self.enqueue(owner)

    def _pod_changed(self, pod: Obj) -> None:
        owner = self._owner(pod)
        if owner is not None:
            self.enqueue(owner)
        elif controller_of(pod) is None and not p.is_deleted(pod):
            self._enqueue_matching(pod)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if controller_of(old) != controller_of(new) and (owner := self._owner(old)) is not None:
            self.enqueue(owner)
        if controller_of(new) is None:
            if old["metadata"].get("labels") != new["metadata"].get("labels") or controller_of(old) is not None:
                self._enqueue_matching(new)
            return
        owner = self._owner(new)
        if owner is not None:
            self.enqueue(owner)
            wait_s = owner["spec"].get("minReadySeconds") or 0
            if wait_s and not p.is_ready(old) and p.is_ready(new):
                self.enqueue_after(owner, wait_s + 1)

    async def reconcile(self, key: str) -> None:
        found = self.sets.lister.by_key(key)
        if found is None:
            return
        owner = copy(found)
        selector = selectors.of_object(owner["spec"].get("selector"))
        revisions = await self._history_claimer.claim(owner, selector, p.candidates(self.history, owner))
        pods = await self._pod_claimer.claim(
            owner, selector, p.candidates(self.pods, owner), fits=lambda pod: i.is_member(owner, pod)
        )
        revisions.sort(key=h.by_revision)
        current, update, collisions = await self._revisions(owner, revisions)
        sync = SetSync(
            owner, pods, current, update, api=self._pods_api, claims=self._claims, recorder=self.recorder,
            clock=self.clock,
        )  # fmt: skip
        failure: Exception | None = None
        try:
            await sync.run()
        except StatusError as error:
            failure = error
        status = sync.status(collisions)
        if status != (owner.get("status") or {}):
            await st.write(self._api, owner, status)
        await self._truncate(owner, pods, revisions, {current["metadata"]["name"], update["metadata"]["name"]})
        if failure is not None:
            raise failure
        min_ready_s = owner["spec"].get("minReadySeconds") or 0
        if min_ready_s and status.get("readyReplicas", 0) != status.get("availableReplicas", 0):
            wait_s = p.next_availability(pods, min_ready_s, self.clock.now())
            self.enqueue_after(key, min_ready_s if wait_s is None else wait_s)

    async def _revisions(self, owner: Obj, revisions: list[Obj]) -> tuple[Obj, Obj, int]:
        """(current, update, collisions): makes the revision of the present template if there is none, and raises the number of
        an older one that the set has gone back to."""
        collisions = int(get(owner, "status", "collisionCount", default=0))
        wanted = {"data": h.template_patch(owner)}
        number = h.next_number(revisions)
        equal = [r for r in revisions if h.same(r, wanted)]
        if equal and equal[-1] is revisions[-1]:
            update = equal[-1]
        elif equal:
            update = await h.renumber(self._history_api, equal[-1], number)
        else:
            update, collisions = await self._snapshot(owner, number, collisions)
        name = get(owner, "status", "currentRevision")
        current = next((r for r in revisions if r["metadata"]["name"] == name), update)
        return current, update, collisions

    async def _snapshot(self, owner: Obj, number: int, collisions: int) -> tuple[Obj, int]:
        # The label has the hash of the first try, as upstream's has.
        label = h.data_hash(h.template_patch(owner), collisions)
        while True:
            digest = h.data_hash(h.template_patch(owner), collisions)
            made = h.new_revision(owner, h.revision_name(owner, digest), label, number)
            try:
                return await self._history_api.create(made), collisions
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
            metadata = made["metadata"]
            there = await self._history_api.get(metadata["name"], metadata["namespace"])
            if h.same(there, made):
                return there, collisions
            collisions += 1

    async def _truncate(self, owner: Obj, pods: list[Obj], revisions: list[Obj], live: set[str]) -> None:
        """Deletes the oldest revisions beyond the limit that nothing is of any more."""
        limit = owner["spec"].get("revisionHistoryLimit")
        limit = 10 if limit is None else limit
        live = live | {i.revision_of(pod) for pod in pods}
        unused = [r for r in revisions if r["metadata"]["name"] not in live]
        if limit < 0:
            return
        for revision in unused[: max(0, len(unused) - limit)]:
            try:
                await self._history_api.delete(revision["metadata"]["name"], revision["metadata"]["namespace"])
            except StatusError as error:
                if error.code != 404:
                    raise
