"""`DaemonSetController`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy, key_of
from pilothouse.client import QueueClosed, WorkQueue
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.batches import all_of, slow_start
from pilothouse.controllers.daemonset import nodes as n
from pilothouse.controllers.daemonset.update import with_surge, without_surge
from pilothouse.controllers.expectations import Expectations
from pilothouse.controllers.history import (
    HASH_LABEL,
    by_revision,
    new_revision,
    next_number,
    renumber,
    same,
    template_patch,
)
from pilothouse.controllers.ownership import Claimer
from pilothouse.controllers.templatehash import template_hash

_BURST: Final = 250
_BACKOFF_FIRST_S: Final = 1.0
_BACKOFF_MOST_S: Final = 900.0


class DaemonSetController(Controller):
    name = "daemonset-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.daemons = self.informer("apps", "v1", "daemonsets")
        self.history = self.informer("apps", "v1", "controllerrevisions")
        self.pods = self.informer("", "v1", "pods")
        self.nodes = self.informer("", "v1", "nodes")
        self._api = self.client.resource("apps", "v1", "daemonsets")
        self._history_api = self.client.resource("apps", "v1", "controllerrevisions")
        self._control = p.PodControl(self.client, self.recorder)
        self._pod_claimer = Claimer(self._api, self._control.pods)
        self._history_claimer = Claimer(self._api, self._history_api)
        self.expectations = Expectations(self.clock)
        self._backoff: dict[tuple[str, int, str], tuple[float, float]] = {}  # → (delay, since)
        self._nodes_changed: WorkQueue[str] = WorkQueue(self.clock)
        p.index_by_controller(self.pods)
        p.index_by_node(self.pods)
        p.index_by_controller(self.history)
        self.daemons.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self._daemon_deleted)
        self.history.add_handler(self._owned_changed, self._owned_updated, self._owned_changed)
        self.pods.add_handler(self._pod_added, self._pod_updated, self._pod_deleted)
        self.nodes.add_handler(self._node_added, self._node_updated)
        self.loops = [self._node_worker]

    # When

    def _daemon_deleted(self, daemon: Obj) -> None:
        self.expectations.forget(key_of(daemon))
        self.enqueue(daemon)

    def _owner(self, obj: Obj) -> Obj | None:
        ref = controller_of(obj)
        if ref is None or ref["kind"] != "DaemonSet":
            return None
        found = self.daemons.lister.get(obj["metadata"]["namespace"], ref["name"])
        return found if found is not None and found["metadata"]["uid"] == ref["uid"] else None

    def _owned_changed(self, obj: Obj) -> None:
        owner = self._owner(obj)
        if owner is not None:
            self.enqueue(owner)
        elif controller_of(obj) is None and not p.is_deleted(obj):
            self._enqueue_matching(obj)

    def _owned_updated(self, old: Obj, new: Obj) -> None:
        if controller_of(old) != controller_of(new):
            self._owned_changed(old)
        self._owned_changed(new)

    def _enqueue_matching(self, obj: Obj) -> None:
        labels = obj["metadata"].get("labels") or {}
        if not labels:
            return
        for daemon in self.daemons.lister.list(obj["metadata"]["namespace"]):
            selector = selectors.of_object(daemon["spec"].get("selector"))
            if not selector.empty and selector.matches(labels):
                self.enqueue(daemon)

    def _pod_added(self, pod: Obj) -> None:
        if p.is_deleted(pod):
            self._pod_deleted(pod)
        elif controller_of(pod) is None:
            self._enqueue_matching(pod)
        elif (owner := self._owner(pod)) is not None:
            self.expectations.created(key_of(owner))
            self.enqueue(owner)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if p.is_deleted(new):
            self._pod_deleted(new)
            return
        if controller_of(old) != controller_of(new) and (owner := self._owner(old)) is not None:
            self.enqueue(owner)
        if controller_of(new) is None:
            if old["metadata"].get("labels") != new["metadata"].get("labels") or controller_of(old) is not None:
                self._enqueue_matching(new)
        elif (owner := self._owner(new)) is not None:
            self.enqueue(owner)
            wait_s = owner["spec"].get("minReadySeconds") or 0
            if wait_s and not p.is_ready(old) and p.is_ready(new):
                self.enqueue_after(owner, wait_s + 1)

    def _pod_deleted(self, pod: Obj) -> None:
        owner = self._owner(pod)
        if owner is not None:
            self.expectations.deleted(key_of(owner), key_of(pod))
            self.enqueue(owner)

    def _node_added(self, node: Obj) -> None:
        self._nodes_changed.add(node["metadata"]["name"])

    def _node_updated(self, old: Obj, new: Obj) -> None:
        if (
            old["metadata"].get("labels") != new["metadata"].get("labels")
            or old["spec"].get("taints") != new["spec"].get("taints")
        ):  # fmt: skip
            self._nodes_changed.add(new["metadata"]["name"])

    async def _node_worker(self) -> None:
        while True:
            try:
                name = await self._nodes_changed.get()
            except QueueClosed:
                return
            self._look_at_node(name)
            self._nodes_changed.done(name)

    def _look_at_node(self, name: str) -> None:
        """Puts the daemons in the queue for which the node's change makes a difference."""
        node = self.nodes.lister.get("", name)
        if node is None:
            return
        present = {(controller_of(pod) or {}).get("uid") for pod in self.pods.lister.by_index(p.BY_NODE, name)}
        for daemon in self.daemons.lister.list():
            fit = n.fit(daemon, n.tolerations_of(daemon), node)
            scheduled = daemon["metadata"]["uid"] in present
            astray = (daemon.get("status") or {}).get("numberMisscheduled", 0) > 0
            if (fit.run and not scheduled) or (scheduled and (not fit.stay or astray)):
                self.enqueue(daemon)

    # What

    async def reconcile(self, key: str) -> None:
        daemon = self.daemons.lister.by_key(key)
        if daemon is None:
            self.expectations.forget(key)
            return
        selector = selectors.of_object(daemon["spec"].get("selector"))
        if selector.empty:
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            self.recorder.event(daemon, "Warning", "SelectingAll", message)
            return
        if p.is_deleted(daemon):
            return
        digest, old = await self._history(daemon)
        if not self.expectations.satisfied(key):
            await self._write_status(key, daemon, digest, observed=False)
            return
        failure: Exception | None = None
        try:
            await self._update(key, daemon, digest, old)
        except StatusError as error:
            failure = error
        await self._write_status(key, daemon, digest, observed=True)
        if failure is not None:
            raise failure

    async def _update(self, key: str, daemon: Obj, digest: str, old: list[Obj]) -> None:
        await self._manage(key, daemon, digest)
        if n.is_rolling(daemon) and self.expectations.satisfied(key):
            await self._roll(key, daemon, digest)
        await self._clean_up(daemon, old)

    async def _by_node(self, daemon: Obj, *, ended: bool = False) -> dict[str, list[Obj]]:
        """The daemon's pods by node; `ended`: those too that have ended and are being deleted."""
        selector = selectors.of_object(daemon["spec"].get("selector"))
        found: dict[str, list[Obj]] = {}
        for pod in await self._pod_claimer.claim(daemon, selector, p.candidates(self.pods, daemon)):
            name = n.target_node(pod)
            if name and (ended or not (p.is_terminal(pod) and p.is_deleted(pod))):
                found.setdefault(name, []).append(pod)
        return found

    def _available(self, daemon: Obj, pod: Obj) -> bool:
        return p.is_available(pod, daemon["spec"].get("minReadySeconds") or 0, self.clock.now())

    async def _manage(self, key: str, daemon: Obj, digest: str) -> None:
        """A pod on each node that should have one, and on no other."""
        by_node = await self._by_node(daemon)
        tolerations = n.tolerations_of(daemon)
        create_on: list[str] = []
        delete: list[Obj] = []
        names = set()
        for node in self.nodes.lister.list():
            name = node["metadata"]["name"]
            names.add(name)
            fit = n.fit(daemon, tolerations, node)
            pods = by_node.get(name)
            if fit.run and pods is None:
                create_on.append(name)
            elif fit.stay:
                if self._put_right(daemon, name, pods or [], digest, delete, run=fit.run):
                    create_on.append(name)
            else:
                delete += [pod for pod in pods or () if not p.is_deleted(pod)]
        for name, pods in by_node.items():  # waiting for a node that is gone
            if name not in names:
                delete += [pod for pod in pods if not pod["spec"].get("nodeName")]
        await self._make(key, daemon, delete, create_on, digest, tolerations)

    def _put_right(self, daemon: Obj, node: str, pods: list[Obj], digest: str, delete: list[Obj], *, run: bool) -> bool:
        """Adds to `delete` the pods that are too many on a node or have ended. Says whether one is missing (with surge)."""
        running: list[Obj] = []
        for pod in pods:
            if p.is_deleted(pod):
                continue
            where = f"daemon pod {key_of(pod)} on node {node}"
            if p.phase(pod) == "Failed":
                if self._may_replace_failed(daemon, node):
                    message = f"Found failed {where}, will try to kill it"
                    self.recorder.event(daemon, "Warning", "FailedDaemonPod", message)
                    delete.append(pod)
            elif p.phase(pod) == "Succeeded":
                message = f"Found succeeded {where}, will try to delete it"
                self.recorder.event(daemon, "Normal", "SucceededDaemonPod", message)
                delete.append(pod)
            else:
                running.append(pod)
        running.sort(key=n.oldest_first)
        if not n.allows_surge(daemon):
            delete += running[1:]
            return False
        if len(running) <= 1:
            return not running and run
        new = old = None
        for pod in running:
            if (pod["metadata"].get("labels") or {}).get(HASH_LABEL) == digest:
                if new is None:
                    new = pod
                    continue
            elif old is None:
                old = pod
                continue
            delete.append(pod)
        if new is not None and old is not None and (not p.is_ready(old) or self._available(daemon, new)):
            delete.append(old)
        return False

    def _may_replace_failed(self, daemon: Obj, node: str) -> bool:
        """Not again and again at once: the delay doubles from a second to a quarter of an hour."""
        key = (daemon["metadata"]["uid"], (daemon.get("status") or {}).get("observedGeneration", 0), node)
        now_s = self.clock.monotonic()
        delay_s, since_s = self._backoff.get(key, (0.0, now_s))
        if now_s - since_s < delay_s:
            self.enqueue_after(daemon, delay_s)
            return False
        old = now_s - since_s > 2 * _BACKOFF_MOST_S
        delay_s = min(delay_s * 2, _BACKOFF_MOST_S) if delay_s and not old else _BACKOFF_FIRST_S
        self._backoff[key] = (delay_s, now_s)
        if len(self._backoff) > 10_000:
            self._backoff = {k: v for k, v in self._backoff.items() if now_s - v[1] <= 2 * _BACKOFF_MOST_S}
        return True

    async def _make(
        self, key: str, daemon: Obj, delete: list[Obj], create_on: list[str], digest: str, tolerations: list[Obj]
    ) -> None:
        delete, create_on = delete[:_BURST], create_on[:_BURST]
        self.expectations.expect(key, additions=len(create_on), deletions=[key_of(pod) for pod in delete])

        async def create(at: int) -> None:
            try:
                await self._control.create(n.pod_for(daemon, create_on[at], digest, tolerations), daemon)
            except StatusError as error:
                if not p.is_namespace_terminating(error):
                    raise

        async def remove(pod: Obj) -> None:
            try:
                if not await self._control.delete(pod, daemon):
                    self.expectations.deleted(key, key_of(pod))
            except StatusError:
                self.expectations.deleted(key, key_of(pod))
                raise

        made, failure = await slow_start(len(create_on), create)
        self.expectations.created(key, len(create_on) - made)
        await all_of([remove(pod) for pod in delete])
        if failure is not None:
            raise failure

    async def _roll(self, key: str, daemon: Obj, digest: str) -> None:
        by_node = await self._by_node(daemon)
        tolerations = n.tolerations_of(daemon)
        wanted = {node["metadata"]["name"] for node in self.nodes.lister.list() if n.fit(daemon, tolerations, node).run}
        for name in wanted:
            by_node.setdefault(name, [])
        surge, unavailable = n.bounds(daemon, len(wanted))

        def available(pod: Obj) -> bool:
            return self._available(daemon, pod)

        if surge:
            step = with_surge(daemon, by_node, digest, surge, len(wanted), available, wanted.__contains__)
        else:
            step = without_surge(daemon, by_node, digest, unavailable, available)
        await self._make(key, daemon, step.delete, step.create_on, digest, tolerations)

    # History

    async def _history(self, daemon: Obj) -> tuple[str, list[Obj]]:
        """(hash of the present revision, older revisions); makes the present one if there is none."""
        selector = selectors.of_object(daemon["spec"].get("selector"))
        found = await self._history_claimer.claim(daemon, selector, p.candidates(self.history, daemon))
        wanted = {"data": template_patch(daemon)}
        current = sorted((r for r in found if same(r, wanted)), key=by_revision)
        old = [r for r in found if not same(r, wanted)]
        number = next_number(old)
        if not current:
            revision = await self._snapshot(daemon, number)
        else:
            revision = current.pop()
            await self._drop_doubles(daemon, revision, current)
            if revision.get("revision", 0) < number:
                revision = await renumber(self._history_api, revision, number)
        return (revision["metadata"].get("labels") or {}).get(HASH_LABEL) or revision["metadata"]["name"], old

    async def _snapshot(self, daemon: Obj, number: int) -> Obj:
        metadata = daemon["metadata"]
        collisions = (daemon.get("status") or {}).get("collisionCount")
        digest = template_hash(daemon["spec"]["template"], collisions)
        made = new_revision(daemon, f"{metadata['name']}-{digest}", digest, number)
        try:
            return await self._history_api.create(made)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            there = await self._history_api.get(made["metadata"]["name"], metadata["namespace"])
            if same(there, made):
                return there
            fresh = await self._api.get(metadata["name"], metadata["namespace"])
            status = dict(fresh.get("status") or {})
            if status.get("collisionCount") == collisions:
                status["collisionCount"] = (collisions or 0) + 1
                await self._api.update({**fresh, "status": status}, "status")
            raise

    async def _drop_doubles(self, daemon: Obj, kept: Obj, doubles: Iterable[Obj]) -> None:
        """Of several revisions of the same template the newest stays, and all pods are of that one."""
        doubles = list(doubles)
        if not doubles:
            return
        digest = kept["metadata"]["labels"][HASH_LABEL]
        for pods in (await self._by_node(daemon, ended=True)).values():
            for pod in pods:
                if (pod["metadata"].get("labels") or {}).get(HASH_LABEL) != digest:
                    change = {"metadata": {"labels": {HASH_LABEL: digest}}}
                    await self._control.pods.patch(pod["metadata"]["name"], pod["metadata"]["namespace"], change)
        for revision in doubles:
            await self._history_api.delete(revision["metadata"]["name"], revision["metadata"]["namespace"])

    async def _clean_up(self, daemon: Obj, old: list[Obj]) -> None:
        """Deletes the oldest revisions beyond the limit of which no pod is left."""
        limit = daemon["spec"].get("revisionHistoryLimit")
        excess = len(old) - (10 if limit is None else limit)
        if excess <= 0:
            return
        alive = {
            (pod["metadata"].get("labels") or {}).get(HASH_LABEL)
            for pods in (await self._by_node(daemon, ended=True)).values()
            for pod in pods
        }
        unused = [
            r for r in sorted(old, key=by_revision) if (r["metadata"].get("labels") or {}).get(HASH_LABEL) not in alive
        ]
        for revision in unused[:excess]:
            try:
                await self._history_api.delete(revision["metadata"]["name"], revision["metadata"]["namespace"])
            except StatusError as error:
                if error.code != 404:
                    raise

    # Status

    async def _write_status(self, key: str, daemon: Obj, digest: str, *, observed: bool) -> None:
        by_node = await self._by_node(daemon)
        tolerations = n.tolerations_of(daemon)
        desired = current = astray = ready = updated = available = 0
        for node in self.nodes.lister.list():
            pods = by_node.get(node["metadata"]["name"])
            if not n.fit(daemon, tolerations, node).run:
                astray += bool(pods)
                continue
            desired += 1
            if not pods:
                continue
            current += 1
            pod = min(pods, key=n.oldest_first)
            ready += p.is_ready(pod)
            available += self._available(daemon, pod)
            updated += n.is_updated(daemon, pod, digest)
        old = daemon.get("status") or {}
        generation = daemon["metadata"].get("generation", 0)
        counts = {
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": desired - available,
            "observedGeneration": generation if observed else old.get("observedGeneration", 0),
        }
        status = {
            "currentNumberScheduled": current,
            "numberMisscheduled": astray,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            **{k: v for k, v in counts.items() if v},
            **{k: old[k] for k in ("collisionCount", "conditions") if k in old},
        }
        if status != old:
            await st.write(self._api, copy(daemon), status)
        if (daemon["spec"].get("minReadySeconds") or 0) and ready != available:
            self.enqueue_after(key, daemon["spec"]["minReadySeconds"])

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._nodes_changed.shut_down()
