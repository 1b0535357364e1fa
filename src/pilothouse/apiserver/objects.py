"""`StoredObjects`: the server's own view of the cluster (`contracts.Objects`), over its caches and its own pipeline."""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.api.objects import Obj
from pilothouse.apiserver.core import Core, api_server_user
from pilothouse.apiserver.registry.resources import ServedResource

_AGENT = "kube-apiserver"


class StoredObjects:
    def __init__(self, core: Core) -> None:
        self._core = core

    def _served(self, group: str, resource: str) -> ServedResource:
        served = self._core.registry.any_version(group, resource)
        if served is None:
            raise errors.path_not_found()
        return served

    def get(self, group: str, resource: str, namespace: str, name: str) -> Obj | None:
        served = self._core.registry.any_version(group, resource)
        if served is None:
            return None
        entry = self._core.storage(served.stored).cache.get(served.stored.key(namespace, name))
        return None if entry is None else entry.obj

    def list(self, group: str, resource: str, namespace: str = "") -> Iterable[Obj]:
        served = self._core.registry.any_version(group, resource)
        if served is None:
            return []
        return [e.obj for e in self._core.storage(served.stored).cache.entries(namespace)]

    def changed_at(self, group: str, resource: str) -> int:
        served = self._core.registry.any_version(group, resource)
        return 0 if served is None else self._core.storage(served.stored).cache.changed_at

    async def fresh(self) -> None:
        await self._core.fresh()

    async def get_live(self, group: str, resource: str, namespace: str, name: str) -> Obj | None:
        served = self._core.registry.any_version(group, resource)
        if served is None:
            return None
        entry = await self._core.storage(served.stored).live(served.stored.key(namespace, name))
        return None if entry is None else entry.obj

    async def create(self, group: str, resource: str, obj: Obj) -> Obj:
        served = self._served(group, resource)
        return await self._send("POST", served, obj["metadata"].get("namespace", ""), "", "", obj)

    async def update(self, group: str, resource: str, obj: Obj, subresource: str = "") -> Obj:
        served, meta = self._served(group, resource), obj["metadata"]
        return await self._send("PUT", served, meta.get("namespace", ""), meta["name"], subresource, obj)

    async def delete(self, group: str, resource: str, namespace: str, name: str, uid: str = "") -> None:
        options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid}
        await self._send("DELETE", self._served(group, resource), namespace, name, "", options)

    async def _send(
        self, method: str, served: ServedResource, namespace: str, name: str, subresource: str, body: Obj
    ) -> Obj:
        gvr = served.gvr
        path = f"/apis/{gvr.group}/{gvr.version}" if gvr.group else f"/api/{gvr.version}"
        if namespace and served.resource.namespaced:
            path += f"/namespaces/{namespace}"
        path += f"/{gvr.resource}"
        if name:
            path += f"/{name}"
        if subresource:
            path += f"/{subresource}"
        headers = {"user-agent": _AGENT, "content-type": "application/json"}
        response = await self._core.handle(Request(method, path, [], headers, object=body, user=api_server_user()))
        assert response.object is not None
        if response.status >= 400:
            raise StatusError.of(response.object)
        return response.object
