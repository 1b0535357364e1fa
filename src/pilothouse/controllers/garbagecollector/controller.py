"""`GarbageCollector`: a monitor for each resource, and what is done with the nodes of the graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVR
from pilothouse.client import Informer, QueueClosed, WorkQueue
from pilothouse.client.discovery import Discovered, Served, discover
from pilothouse.client.informers import Handler
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.batches import all_of
from pilothouse.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Identity, Node, has_finalizer
from pilothouse.controllers.pods import is_deleted

_IGNORED: Final = frozenset({("", "events"), ("events.k8s.io", "events")})
_RESYNC_S: Final = 30.0
_SETTLE_S: Final = 1.0  # after a definition changed, its resource is not served at once
_FIRST_SYNC_S: Final = 30.0
_ORPHAN_WORKERS: Final = 20
_CONFLICT_RETRIES: Final = 5
_CLUSTER_TO_NAMESPACED: Final = "cluster-scoped objects cannot refer to namespaced owners"


class _Hopeless(Exception):
    """Trying again is of no use."""


class GarbageCollector(Controller):
    name = "garbage-collector-controller"
    workers = 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph(self.queue.add, self.queue.add_rate_limited, self._to_orphan, self._report)
        self._orphans: WorkQueue[str] = WorkQueue(self.clock)
        self._served = Discovered([], frozenset())
        self._by_kind: dict[tuple[str, str], Served] = {}
        self._monitors: dict[GVR, tuple[Informer, Handler]] = {}
        self._resources_changed = asyncio.Event()
        definitions = self.informer("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        definitions.add_handler(self._definition_changed, self._definition_changed, self._definition_changed)
        self.loops = [self._follow_resources, *([self._orphan_worker] * _ORPHAN_WORKERS)]

    def _definition_changed(self, *_: Obj) -> None:
        self._resources_changed.set()

    def _to_orphan(self, uid: str) -> None:
        self._orphans.add(uid)

    def _report(self, dependent: Identity, ref: Obj) -> None:
        reference = {
            "kind": dependent.kind, "apiVersion": dependent.api_version, "namespace": dependent.namespace,
            "name": dependent.name, "uid": dependent.uid,
        }  # fmt: skip
        owner = (
            f"[{ref.get('apiVersion', '')}/{ref.get('kind', '')}, namespace: {dependent.namespace}, "
            f"name: {ref.get('name', '')}, uid: {ref.get('uid', '')}]"
        )
        message = f'ownerRef {owner} does not exist in namespace "{dependent.namespace}"'
        self.recorder.event_about(reference, "Warning", "OwnerRefInvalidNamespace", message)

    # Monitors

    async def synced(self) -> None:
        """The graph must be whole before anything is judged by it; a resource that cannot be listed does not hold it up."""
        while True:
            try:
                await self._sync_monitors()
                break
            except StatusError as error:
                self.log.warning("discovery: %s", error)
                await self.clock.sleep(_SETTLE_S)
        try:
            async with self.clock.timeout(_FIRST_SYNC_S):
                for informer, _ in list(self._monitors.values()):
                    await informer.wait_synced()
        except TimeoutError:
            self.log.warning("not all monitors could sync in %s s; going on without them", _FIRST_SYNC_S)

    async def _follow_resources(self) -> None:
        while True:
            try:
                async with self.clock.timeout(_RESYNC_S):
                    await self._resources_changed.wait()
                await self.clock.sleep(_SETTLE_S)
            except TimeoutError:
                pass
            self._resources_changed.clear()
            try:
                await self._sync_monitors()
            except StatusError as error:
                self.log.warning("discovery: %s", error)

    async def _sync_monitors(self) -> None:
        """Watches each resource that the server serves now, and no other."""
        served = await discover(self.client)
        self._served = served
        self._by_kind = {}
        for resource in served.resources:
            self._by_kind.setdefault((resource.gvk.api_version, resource.gvk.kind), resource)
        wanted = {
            r.gvr: r
            for r in served.preferred("delete", "list", "watch")
            if (r.gvr.group, r.gvr.resource) not in _IGNORED
        }
        for gvr in [g for g in self._monitors if g not in wanted and (g.group, g.version) not in served.failed]:
            informer, handler = self._monitors.pop(gvr)
            informer.remove_handler(handler)
            await self.context.informers.forget(informer)
        for gvr, resource in wanted.items():
            if gvr not in self._monitors:
                informer = self.context.informers.of(*gvr)
                self._monitors[gvr] = (informer, self._monitor(informer, resource))
        await self.context.informers.start()

    def _monitor(self, informer: Informer, resource: Served) -> Handler:
        kind, api_version, graph = resource.gvk.kind, resource.gvk.api_version, self.graph

        def identity(obj: Obj) -> Identity:
            metadata = obj["metadata"]
            return Identity(kind, api_version, metadata.get("namespace", ""), metadata["name"], metadata.get("uid", ""))

        def changed(old: Obj, new: Obj) -> None:
            graph.observe(identity(new), old, new)

        return informer.add_handler(
            lambda obj: graph.observe(identity(obj), None, obj), changed, lambda obj: graph.forget(identity(obj))
        )

    def _resource(self, api_version: str, kind: str) -> Served:
        """Raises StatusError where no such kind is served (now)."""
        found = self._by_kind.get((api_version, kind))
        if found is None:
            self._resources_changed.set()
            raise StatusError(404, "NoKindMatch", f'no matches for kind "{kind}" in version "{api_version}"')
        return found

    async def _get(self, identity: Identity) -> Obj | None:
        """The live object; None where there is none of this uid."""
        resource = self._resource(identity.api_version, identity.kind)
        if resource.namespaced and not identity.namespace:
            raise _Hopeless(_CLUSTER_TO_NAMESPACED)
        try:
            found = await self._client_of(resource).get(
                identity.name, identity.namespace if resource.namespaced else ""
            )
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return found if found["metadata"].get("uid") == identity.uid else None

    def _client_of(self, resource: Served) -> Any:
        return self.client.resource(*resource.gvr)

    # Deleting

    async def reconcile(self, key: str) -> None:
        node = self.graph.nodes.get(key)
        if node is None or (node.being_deleted and not node.deleting_dependents):
            return
        try:
            await self._attempt(node)
        except _Hopeless as error:
            self.log.info("%s: %s", node.identity, error)
            return
        if node.virtual and self.graph.nodes.get(key) is node:
            self.queue.add_rate_limited(key)  # not seen yet by its informer

    async def _attempt(self, node: Node) -> None:
        identity = node.identity
        latest = await self._get(identity)
        if latest is None:
            self.graph.found_absent(identity)
            return
        if node.deleting_dependents:
            await self._wait_for_dependents(node)
            return
        refs: list[Obj] = latest["metadata"].get("ownerReferences") or []
        if not refs:
            return
        solid, dangling, waiting = await self._classify(node, refs)
        if solid:
            if dangling or waiting:
                await self._drop_refs(node, [r["uid"] for r in (*dangling, *waiting)])
        elif waiting and node.dependents:
            # It goes in the foreground too; where a dependent waits for its own dependents already, a circle of blocking
            # references would never end.
            if any(d.deleting_dependents for d in node.dependents.values()):
                await self._patch_refs(identity, lambda found: [{**r, "blockOwnerDeletion": False} for r in found])
            await self._delete(identity, latest, "Foreground")
        elif has_finalizer(latest, ORPHAN):
            await self._delete(identity, latest, "Orphan")
        elif has_finalizer(latest, FOREGROUND):
            await self._delete(identity, latest, "Foreground")
        else:
            await self._delete(identity, latest, "Background")

    async def _wait_for_dependents(self, node: Node) -> None:
        blocking = node.blocking_dependents()
        if not blocking:
            await self._remove_finalizer(node.identity, FOREGROUND)
        for dependent in blocking:
            if not dependent.deleting_dependents:
                self.queue.add(dependent.identity.uid)

    async def _classify(self, node: Node, refs: list[Obj]) -> tuple[list[Obj], list[Obj], list[Obj]]:
        """References to owners that live, that are absent, and that wait for their dependents to be deleted."""
        solid, dangling, waiting = [], [], []
        for ref in refs:
            owner = await self._live_owner(node.identity, ref)
            if owner is None:
                dangling.append(ref)
            elif is_deleted(owner) and has_finalizer(owner, FOREGROUND):
                waiting.append(ref)
            else:
                solid.append(ref)
        return solid, dangling, waiting

    async def _live_owner(self, dependent: Identity, ref: Obj) -> Obj | None:
        api_version, kind, uid = ref.get("apiVersion", ""), ref.get("kind", ""), ref.get("uid", "")
        identity = Identity(kind, api_version, "", ref.get("name", ""), uid)
        local = identity._replace(namespace=dependent.namespace)
        if identity in self.graph.absent or local in self.graph.absent:
            return None
        resource = self._resource(api_version, kind)
        if resource.namespaced:
            if not dependent.namespace:
                raise _Hopeless(_CLUSTER_TO_NAMESPACED)
            identity = local
        owner = await self._get(identity)
        if owner is None:
            self.graph.absent.add(identity)
        return owner

    async def _delete(self, identity: Identity, latest: Obj, policy: str) -> None:
        """Deletes the object as it was judged: where only other things than its owners changed since, all the same."""
        resource = self._resource(identity.api_version, identity.kind)
        api, namespace = self._client_of(resource), identity.namespace if resource.namespaced else ""
        version: str | None = latest["metadata"].get("resourceVersion")
        for _ in range(2):
            try:
                await api.delete(
                    identity.name, namespace, propagation=policy, uid=identity.uid, resource_version=version
                )
                return
            except StatusError as error:
                if error.code == 404:
                    self.graph.found_absent(identity)
                    return
                if error.code != 409 or version is None:
                    raise
                live = await self._get(identity)
                if live is None:
                    self.graph.found_absent(identity)
                    return
                if live["metadata"].get("ownerReferences") != latest["metadata"].get("ownerReferences"):
                    raise
                version = None

    # Patches

    async def _drop_refs(self, node: Node, uids: list[str]) -> None:
        await self._patch_refs(node.identity, lambda refs: [r for r in refs if r.get("uid") not in uids])

    async def _patch_refs(self, identity: Identity, change: Callable[[list[Obj]], list[Obj]]) -> None:
        """Changes the live object's owner references, whatever kind it is."""
        await self._patch(identity, "ownerReferences", change)

    async def _remove_finalizer(self, identity: Identity, finalizer: str) -> None:
        await self._patch(identity, "finalizers", lambda found: [f for f in found if f != finalizer])

    async def _patch(self, identity: Identity, field: str, change: Callable[[list[Any]], list[Any]]) -> None:
        """Reads, changes and writes one list of metadata, again upon conflicts. Nothing is written where nothing changes."""
        resource = self._resource(identity.api_version, identity.kind)
        api, namespace = self._client_of(resource), identity.namespace if resource.namespaced else ""
        for retry in range(_CONFLICT_RETRIES):
            live = await self._get(identity)
            if live is None:
                return
            old = live["metadata"].get(field) or []
            new = change(old)
            if new == old:
                return
            metadata = {"resourceVersion": live["metadata"]["resourceVersion"], "uid": identity.uid, field: new or None}
            try:
                await api.patch(identity.name, namespace, {"metadata": metadata})
                return
            except StatusError as error:
                if error.code == 404:
                    return
                if error.code != 409 or retry == _CONFLICT_RETRIES - 1:
                    raise

    # Orphaning

    async def _orphan_worker(self) -> None:
        while True:
            try:
                uid = await self._orphans.get()
            except QueueClosed:
                return
            try:
                await self._orphan(uid)
            except Exception as error:
                self.tell(f"orphaning dependents of {uid}", error)
                self._orphans.add_rate_limited(uid)
            else:
                self._orphans.forget(uid)
            finally:
                self._orphans.done(uid)

    async def _orphan(self, uid: str) -> None:
        """Frees the dependents of an object that is deleted, then the object."""
        node = self.graph.nodes.get(uid)
        if node is None:
            return
        await all_of([self._drop_refs(d, [uid]) for d in list(node.dependents.values())])
        await self._remove_finalizer(node.identity, ORPHAN)

    def failed(self, key: str, error: Exception) -> None:
        if isinstance(error, StatusError) and error.reason == "NoKindMatch":
            self.log.debug("%s: %s", key, error)
            self.queue.add_rate_limited(key)
        else:
            super().failed(key, error)

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._orphans.shut_down()
