"""`CustomResources`: watches the definitions, accepts them, serves what they define, and clears up after them.

Source: upstream's apiextensions-apiserver/pkg/controller (status, establish, finalizer).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.api.kinds.apiextensions.custom_resource_definition import FINALIZER
from pilothouse.api.objects import Obj, copy
from pilothouse.api.scheme import GVR
from pilothouse.apiserver.core import api_server_user
from pilothouse.apiserver.customresources.served import of_definition

if TYPE_CHECKING:
    from pilothouse.apiserver.server import APIServer

log = logging.getLogger(__name__)

GROUP: Final = "apiextensions.k8s.io"
RESOURCE: Final = "customresourcedefinitions"
_RETRY_S: Final = 1.0


class CustomResources:
    """`await start()` serves what the store holds already; a task of the server then follows the changes."""

    def __init__(self, server: APIServer) -> None:
        self._server = server
        self._served: dict[str, tuple[GVR, ...]] = {}  # by the definition's name

    async def start(self) -> None:
        for definition in list(self._server.objects.list(GROUP, RESOURCE)):
            if _holds(definition, "Established"):
                self._serve(definition)
        self._server.spawn(self._follow(), "custom resources")

    async def _follow(self) -> None:
        while True:
            try:
                await self._watch()
            except Exception:
                log.exception("the watch of custom resource definitions")
            await self._server.clock.sleep(_RETRY_S)

    async def _watch(self) -> None:
        request = Request("GET", f"/apis/{GROUP}/v1/{RESOURCE}", [("watch", "true")], user=api_server_user())
        response = await self._server.handle(request)
        if response.events is None:
            return
        async for batch in response.events:
            for event in batch:
                if event.type in ("ADDED", "MODIFIED"):
                    await self._changed(event.object)
                elif event.type == "DELETED":
                    self._forget(event.object["metadata"]["name"])

    async def _changed(self, definition: Obj) -> None:
        try:
            if definition["metadata"].get("deletionTimestamp"):
                await self._finalize(definition)
            elif not await self._accept(definition):
                self._serve(definition)
        except StatusError as error:
            log.debug("definition %s: %s", definition["metadata"]["name"], error)  # a newer event follows

    async def _accept(self, definition: Obj) -> bool:
        """Whether its status had to be written."""
        names = definition["spec"]["names"]
        conflict = self._conflict(definition)
        now = self._server.clock.timestamp()
        if conflict:
            accepted = _condition("NamesAccepted", "False", conflict[0], conflict[1], now)
            established = _condition("Established", "False", "NotAccepted", "not all names are accepted", now)
        else:
            accepted = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
            text = "the initial names have been accepted"
            established = _condition("Established", "True", "InitialNamesAccepted", text, now)
        status = dict(definition.get("status") or {})
        finalizers = definition["metadata"].get("finalizers") or []
        known = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        wanted = {c["type"]: c["status"] for c in (accepted, established)}
        if FINALIZER in finalizers and known == wanted and (conflict or status.get("acceptedNames") == names):
            return False
        changed = copy(definition)
        changed["metadata"]["finalizers"] = [*(f for f in finalizers if f != FINALIZER), FINALIZER]
        changed["status"] = {**status, "conditions": [accepted, established], "acceptedNames": names}
        if conflict:
            changed["status"]["acceptedNames"] = status.get("acceptedNames") or {"plural": "", "kind": ""}
        else:
            self._serve(changed)  # whoever sees it established can use it
        await self._server.objects.update(GROUP, RESOURCE, changed, "status")
        return True

    def _conflict(self, definition: Obj) -> tuple[str, str] | None:
        """(reason, message) where a name is taken in the group by another resource."""
        spec = definition["spec"]
        plural, mine = spec["names"]["plural"], spec["names"]
        for served in self._server.registry:
            if served.gvr.group != spec["group"] or served.gvr.resource == plural:
                continue
            taken = {served.gvr.resource, served.resource.singular, *served.resource.short_names}
            for what in (mine["plural"], mine.get("singular") or "", *(mine.get("shortNames") or ())):
                if what in taken:
                    reason = "PluralConflict" if what == plural else "ShortNamesConflict"
                    return reason, f'"{what}" is already in use'
            if served.resource.kind == mine["kind"]:
                return "KindConflict", f'"{mine["kind"]}" is already in use'
        return None

    def _serve(self, definition: Obj) -> None:
        registry = self._server.registry
        resources = of_definition(definition)
        gvrs = tuple(r.gvr for r in resources)
        gone = [g for g in self._served.get(definition["metadata"]["name"], ()) if g not in gvrs]
        if gone:
            registry.remove(*gone)
        self._served[definition["metadata"]["name"]] = gvrs
        registry.add(*resources)
        for one in resources[:1]:
            self._server.core.storage(one.stored)

    def _forget(self, name: str) -> None:
        gvrs = self._served.pop(name, ())
        if gvrs:
            self._server.registry.remove(*gvrs)
            self._server.core.drop_storage(gvrs[0].group, gvrs[0].resource)

    async def _finalize(self, definition: Obj) -> None:
        """Deletes every object of the resource, then lets the definition go."""
        finalizers = definition["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        spec = definition["spec"]
        group, plural = spec["group"], spec["names"]["plural"]
        objects = self._server.objects
        if self._server.registry.any_version(group, plural) is not None:
            await objects.fresh()
            for obj in list(objects.list(group, plural)):
                metadata = obj["metadata"]
                try:
                    await objects.delete(group, plural, metadata.get("namespace", ""), metadata["name"])
                except StatusError as error:
                    if error.code != 404:
                        raise
            await objects.fresh()
            if any(True for _ in objects.list(group, plural)):
                self._server.spawn(self._again(definition), "finalize a definition")
                return
        changed: Obj = copy(definition)
        changed["metadata"]["finalizers"] = [f for f in finalizers if f != FINALIZER]
        await objects.update(GROUP, RESOURCE, changed, "status")

    async def _again(self, definition: Obj) -> None:
        """Objects with finalizers of their own take their time."""
        await self._server.clock.sleep(_RETRY_S)
        now = self._server.objects.get(GROUP, RESOURCE, "", definition["metadata"]["name"])
        if now is not None:
            await self._changed(now)


def _condition(kind: str, status: str, reason: str, message: str, now: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}


def _holds(definition: Obj, kind: str) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)
