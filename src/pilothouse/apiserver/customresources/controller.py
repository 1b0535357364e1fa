"""`CustomResources`: watches the definitions, accepts them, serves what they define, and clears up after them.

Source: upstream's apiextensions-apiserver/pkg/controller (status, establish, finalizer) and customresource_handler.go.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.api.kinds.apiextensions import conditions
from pilothouse.api.kinds.apiextensions.conditions import FINALIZER, Condition
from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver.contracts import Objects
from pilothouse.apiserver.core import Core, api_server_user
from pilothouse.apiserver.customresources.conversion import Converter
from pilothouse.apiserver.handlers import delete
from pilothouse.apiserver.handlers.options import DeleteOptions
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.negotiation import Output
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import ServedResource
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.apiserver.webhooks import Webhook

if TYPE_CHECKING:
    from pilothouse.apiserver.customresources.served import Defined

log = logging.getLogger(__name__)

GROUP: Final = "apiextensions.k8s.io"
RESOURCE: Final = "customresourcedefinitions"
_RETRY_S: Final = 1.0
_CLEARING_MAX_S: Final = 60.0  # until the condition says that objects are still there


class CustomResources:
    """`await start()` serves what the store holds already; a task of the server then follows the changes."""

    def __init__(self, core: Core, objects: Objects) -> None:
        self._core, self._objects = core, objects
        self._defined: dict[str, tuple[Obj, Defined]] = {}  # by the definition's name: what was served of it
        self._clearing: set[str] = set()  # uids of definitions whose objects are being deleted

    async def start(self) -> None:
        for definition in list(self._objects.list(GROUP, RESOURCE)):
            self._serve(definition)
        self._core.tasks.spawn(self._follow(), "custom resources")

    async def _follow(self) -> None:
        while True:
            try:
                await self._watch()
            except Exception:
                log.exception("the watch of custom resource definitions")
            await self._core.clock.sleep(_RETRY_S)

    async def _watch(self) -> None:
        objects = self._objects
        await objects.fresh()
        present = {d["metadata"]["name"] for d in objects.list(GROUP, RESOURCE)}
        for name in self._defined.keys() - present:
            self._forget(name)
        request = Request("GET", f"/apis/{GROUP}/v1/{RESOURCE}", [("watch", "true")], user=api_server_user())
        response = await self._core.handle(request)
        if response.events is None:
            return
        async for batch in response.events:
            for event in batch:
                if event.type in ("ADDED", "MODIFIED"):
                    await self._changed(event.object)
                elif event.type == "DELETED":
                    self._forget(event.object["metadata"]["name"])
                    await self._reconsider(event.object)

    async def _changed(self, definition: Obj) -> None:
        try:
            if self._is_old(definition):
                return
            self._serve(definition)
            if definition["metadata"].get("deletionTimestamp"):
                self._clear_up(definition)
                return
            await self._accept(definition)
        except StatusError as error:
            if error.code not in (404, 409):  # a newer event follows
                log.warning("definition %s: %s", definition["metadata"]["name"], error)

    def _is_old(self, definition: Obj) -> bool:
        """A newer state of it is known already."""
        now = self._objects.get(GROUP, RESOURCE, "", definition["metadata"]["name"])
        return now is None or now["metadata"]["resourceVersion"] != definition["metadata"]["resourceVersion"]

    async def _accept(self, definition: Obj) -> None:
        now = self._core.clock.timestamp()
        changed = conditions.with_names(definition, self._others(definition), now)
        named = changed is not None
        changed = conditions.with_judgements(changed or definition, now) or changed
        if changed is not None:
            definition = await self._objects.update(GROUP, RESOURCE, changed, "status")
            self._serve(definition)
        if conditions.holds(definition, "NamesAccepted") and not conditions.holds(definition, "Established"):
            established: Obj = copy(definition)
            conditions.put(established, conditions.ESTABLISHED, self._core.clock.timestamp())
            definition = await self._objects.update(GROUP, RESOURCE, established, "status")
            self._serve(definition)
        if named:
            await self._reconsider(definition)  # names may have been given up

    def _others(self, definition: Obj) -> list[Obj]:
        group, name = definition["spec"]["group"], definition["metadata"]["name"]
        every = self._objects.list(GROUP, RESOURCE)
        return [d for d in every if d["spec"]["group"] == group and d["metadata"]["name"] != name]

    async def _reconsider(self, definition: Obj) -> None:
        """Those of the group that wait for names."""
        for other in self._others(definition):
            if not conditions.holds(other, "NamesAccepted") and not other["metadata"].get("deletionTimestamp"):
                await self._changed(other)

    def _serve(self, definition: Obj) -> None:
        if not conditions.holds(definition, "NamesAccepted") and not conditions.holds(definition, "Established"):
            return
        registry, name = self._core.registry, definition["metadata"]["name"]
        known = self._defined.get(name)
        if known is not None and not _serves_otherwise(known[0], definition):
            if definition["metadata"].get("deletionTimestamp"):
                for one in known[1].served:
                    one.terminating = True  # watches go on, and see the objects go
            return
        from pilothouse.apiserver.customresources.served import of_definition  # schemas are no small thing

        defined = of_definition(definition, self._converter(definition))
        if known is not None:
            present = {one.gvr for one in defined.served}
            registry.remove(*(one.gvr for one in known[1].served if one.gvr not in present))
            if known[0]["metadata"].get("uid") != definition["metadata"].get("uid"):
                self._core.drop_storage(*defined.storage.gvr[::2])
        self._defined[name] = (definition, defined)
        registry.add(*defined.served)
        self._core.storage(defined.storage.stored)

    def _converter(self, definition: Obj) -> Converter | None:
        conversion = definition["spec"].get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return None
        webhook = conversion.get("webhook") or {}
        call = Webhook(webhook.get("clientConfig") or {}, self._objects).post
        kind = definition["spec"]["names"]["kind"]
        return Converter(kind, webhook.get("conversionReviewVersions") or [], call, self._core.clock.uuid)

    def _forget(self, name: str) -> None:
        known = self._defined.pop(name, None)
        if known is not None:
            self._core.registry.remove(*(one.gvr for one in known[1].served))
            self._core.drop_storage(*known[1].storage.gvr[::2])

    def _clear_up(self, definition: Obj) -> None:
        metadata = definition["metadata"]
        if FINALIZER in (metadata.get("finalizers") or ()) and metadata["uid"] not in self._clearing:
            self._clearing.add(metadata["uid"])
            self._core.tasks.spawn(self._finalize(metadata["name"], metadata["uid"]), f"finalize {metadata['name']}")

    async def _finalize(self, name: str, uid: str) -> None:
        """Deletes every object of the resource, then lets the definition go."""
        try:
            while (definition := await self._objects.get_live(GROUP, RESOURCE, "", name)) is not None:
                if definition["metadata"]["uid"] != uid:
                    return
                try:
                    if await self._finalized(definition):
                        return
                except StatusError as error:
                    if error.code not in (404, 409):
                        log.warning("the objects of %s: %s", name, error)
                await self._core.clock.sleep(_RETRY_S)
        finally:
            self._clearing.discard(uid)

    async def _finalized(self, definition: Obj) -> bool:
        definition = await self._say(definition, conditions.DELETING)
        last = conditions.NEVER_ESTABLISHED
        if conditions.holds(definition, "Established"):
            last = await self._deleted(definition)
        done = last.status == "False"
        await self._say(definition, last, done=done)
        return done

    async def _say(self, definition: Obj, condition: Condition, *, done: bool = False) -> Obj:
        changed: Obj = copy(definition)
        conditions.put(changed, condition, self._core.clock.timestamp())
        if done:
            left = [f for f in changed["metadata"].get("finalizers") or () if f != FINALIZER]
            changed["metadata"]["finalizers"] = left
        return await self._objects.update(GROUP, RESOURCE, changed, "status")

    async def _deleted(self, definition: Obj) -> Condition:
        """What the condition Terminating says once every object was asked to go."""
        known = self._defined.get(definition["metadata"]["name"])
        if known is None:
            return conditions.DELETED
        resource, feed, clock = known[1].storage, self._core.feed, self._core.clock
        cache = self._core.storage(resource.stored).cache
        await cache.ready()
        until_s = clock.monotonic() + _CLEARING_MAX_S
        await feed.fresh()
        failures: list[str] = []
        for entry in list(cache.entries()):
            try:
                await self._delete(resource, entry)
            except StatusError as error:
                if error.code not in (404, 409):
                    failures.append(str(error))
        if failures:
            listed = failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]"
            why = f"could not issue all deletes: {listed}"
            return Condition("Terminating", "True", "InstanceDeletionFailed", why)
        while True:
            await feed.fresh()
            if not len(cache):
                return conditions.DELETED
            if clock.monotonic() >= until_s:
                why = "could not confirm zero CustomResources remaining: context deadline exceeded"
                return Condition("Terminating", "True", "InstanceDeletionCheck", why)
            await clock.sleep(_RETRY_S)

    async def _delete(self, resource: ServedResource, entry: Entry) -> None:
        """Raises StatusError. Through no address: the storage version may be one that is not served."""
        group, version, plural = resource.gvr
        user = api_server_user()
        info = RequestInfo(
            True, "", "delete", "apis", group, version, entry.namespace, plural, name=entry.name
        )  # fmt: skip
        scope = Scope(self._core, info, Request("DELETE", "", [], user=user), user, resource, True, Output())
        await delete.delete(scope, DeleteOptions(uid=entry.obj["metadata"]["uid"]))


def _serves_otherwise(before: Obj, now: Obj) -> bool:
    """Something changed that what is served depends on."""
    return (
        before["spec"] != now["spec"]
        or (before.get("status") or {}).get("acceptedNames") != (now.get("status") or {}).get("acceptedNames")
        or before["metadata"].get("uid") != now["metadata"].get("uid")
    )
