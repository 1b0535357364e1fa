"""`Client` and `ResourceClient`: typed paths over a transport. Every failure is a StatusError."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Literal, TypeAlias

import orjson

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, Response, WatchEvent
from pilothouse.api.objects import Obj, meta
from pilothouse.client.transport import Transport
from pilothouse.clock import Clock

Batches: TypeAlias = AsyncGenerator[list[WatchEvent], None]
PatchKind: TypeAlias = Literal["merge", "strategic", "json", "apply"]

_PATCH_TYPES: Final = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_RETRIES_MAX: Final = 10  # client-go's: only of answers that ask for it with Retry-After


class Client:
    """The way in to an API server, as one user and one agent."""

    def __init__(
        self, transport: Transport, clock: Clock, *, user_agent: str = "pilothouse", field_manager: str = ""
    ) -> None:
        self.transport, self.clock = transport, clock
        self.user_agent, self.field_manager = user_agent, field_manager

    def named(self, user_agent: str, field_manager: str = "") -> Client:
        """The same connection under another agent's name."""
        return Client(self.transport, self.clock, user_agent=user_agent, field_manager=field_manager)

    def resource(self, group: str, version: str, resource: str) -> ResourceClient:
        return ResourceClient(self, group, version, resource)

    async def request(
        self, method: str, path: str, query: list[tuple[str, str]] | None = None, body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:  # fmt: skip
        """One exchange with any address; retried while the server asks for that with Retry-After (client-go's rule)."""
        sent = {"accept": "application/json", "user-agent": self.user_agent}
        if body is not None:
            sent["content-type"] = "application/json"
        if headers:
            sent.update(headers)
        for retry in range(_RETRIES_MAX + 1):
            request = Request(method, path, query or [], sent)
            if isinstance(body, bytes):
                request.body = body
            else:
                request.object = body
            response = await self.transport.send(request)
            if response.status < 400:
                return response
            error = _error_of(response)
            wait_s = error.headers.get("Retry-After", "")
            if retry == _RETRIES_MAX or not wait_s.isdigit() or not (error.code == 429 or error.code >= 500):
                raise error
            await self.clock.sleep(float(wait_s))
        raise AssertionError("unreachable")

    async def get_raw(self, path: str, accept: str = "application/json") -> Any:
        """The decoded JSON at any address (discovery, version); text where it is not JSON."""
        response = await self.request("GET", path, headers={"accept": accept})
        if response.object is not None:
            return response.object
        try:
            return orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return response.body.decode(errors="replace")

    async def close(self) -> None:
        await self.transport.close()


def _error_of(response: Response) -> StatusError:
    status = response.object
    if status is None and response.body:
        try:
            status = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        error = StatusError.of(status)
        error.code = error.code or response.status
    else:
        text = response.body.decode(errors="replace").strip()
        error = StatusError(response.status, "", text or f"the server answered with status {response.status}")
    error.headers = {k.title(): v for k, v in response.headers.items()}
    return error


def _object_of(response: Response) -> Obj:
    if response.object is not None:
        return response.object
    decoded = orjson.loads(response.body)
    assert isinstance(decoded, dict)
    return decoded


class ResourceClient:
    """The objects of one resource. What it returns may be shared with the server: read-only."""

    __slots__ = ("_base", "_client", "group", "resource", "version")

    def __init__(self, client: Client, group: str, version: str, resource: str) -> None:
        self._client = client
        self.group, self.version, self.resource = group, version, resource
        self._base = f"/apis/{group}/{version}" if group else f"/api/{version}"

    def _path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        path = f"{self._base}/namespaces/{namespace}/{self.resource}" if namespace else f"{self._base}/{self.resource}"
        if name:
            path = f"{path}/{name}"
        return f"{path}/{subresource}" if subresource else path

    def _written(self, field_manager: str, dry_run: bool) -> list[tuple[str, str]]:
        manager = field_manager or self._client.field_manager
        query = [("fieldManager", manager)] if manager else []
        if dry_run:
            query.append(("dryRun", "All"))
        return query

    async def get(self, name: str, namespace: str = "", *, subresource: str = "", resource_version: str = "") -> Obj:
        query = _present(resourceVersion=resource_version)
        return _object_of(await self._client.request("GET", self._path(namespace, name, subresource), query))

    async def list(
        self, namespace: str = "", label_selector: str = "", field_selector: str = "", limit: int = 0,
        continue_: str = "", resource_version: str = "", resource_version_match: str = "",
    ) -> Obj:  # fmt: skip
        """The list object. Its items always have their kind and apiVersion, which servers leave out on the wire."""
        query = _present(
            labelSelector=label_selector, fieldSelector=field_selector, limit=str(limit) if limit else "",
            resourceVersion=resource_version, resourceVersionMatch=resource_version_match,
        )  # fmt: skip
        query += _present(**{"continue": continue_})
        found = _object_of(await self._client.request("GET", self._path(namespace), query))
        items = found.get("items") or []
        if items and "kind" not in items[0]:
            head = {"kind": str(found.get("kind", "")).removesuffix("List"), "apiVersion": found.get("apiVersion", "")}
            return {**found, "items": [{**head, **item} for item in items]}
        return found

    async def create(self, obj: Obj, namespace: str = "", *, field_manager: str = "", dry_run: bool = False) -> Obj:
        path = self._path(namespace or meta(obj).get("namespace", ""))
        return _object_of(await self._client.request("POST", path, self._written(field_manager, dry_run), obj))

    async def update(self, obj: Obj, subresource: str = "", *, field_manager: str = "", dry_run: bool = False) -> Obj:
        m = meta(obj)
        path = self._path(m.get("namespace", ""), m["name"], subresource)
        return _object_of(await self._client.request("PUT", path, self._written(field_manager, dry_run), obj))

    async def patch(
        self, name: str, namespace: str, body: Any, kind: PatchKind = "merge", subresource: str = "",
        field_manager: str = "", force: bool = False, dry_run: bool = False,
    ) -> Obj:  # fmt: skip
        query = self._written(field_manager, dry_run)
        if force:
            query.append(("force", "true"))
        path, headers = self._path(namespace, name, subresource), {"content-type": _PATCH_TYPES[kind]}
        return _object_of(await self._client.request("PATCH", path, query, body, headers))

    async def delete(
        self, name: str, namespace: str = "", propagation: str | None = None, grace_period_s: int | None = None,
        uid: str | None = None, resource_version: str | None = None, dry_run: bool = False,
    ) -> Obj:  # fmt: skip
        """Deletes one object; `uid` and `resource_version` are preconditions (409 where they do not hold)."""
        options = _delete_options(propagation, grace_period_s, uid, resource_version)
        query = [("dryRun", "All")] if dry_run else []
        return _object_of(await self._client.request("DELETE", self._path(namespace, name), query, options))

    async def delete_collection(
        self, namespace: str = "", label_selector: str = "", field_selector: str = "",
        propagation: str | None = None, grace_period_s: int | None = None,
    ) -> Obj:  # fmt: skip
        query = _present(labelSelector=label_selector, fieldSelector=field_selector)
        options = _delete_options(propagation, grace_period_s, None, None)
        return _object_of(await self._client.request("DELETE", self._path(namespace), query, options))

    async def create_subresource(self, name: str, namespace: str, subresource: str, obj: Obj) -> Obj:
        path = self._path(namespace, name, subresource)
        return _object_of(await self._client.request("POST", path, self._written("", False), obj))

    async def watch(
        self, namespace: str = "", *, label_selector: str = "", field_selector: str = "", resource_version: str = "",
        bookmarks: bool = True, timeout_s: int = 0,
    ) -> Batches:  # fmt: skip
        """Batches of events, as many as have come; ends when the server ends the watch. An ERROR event is raised.

        Close it (`contextlib.aclosing`) where the loop is left early.
        """
        query = [("watch", "true")]
        query += _present(
            labelSelector=label_selector, fieldSelector=field_selector, resourceVersion=resource_version,
            allowWatchBookmarks="true" if bookmarks else "", timeoutSeconds=str(timeout_s) if timeout_s else "",
        )  # fmt: skip
        response = await self._client.request("GET", self._path(namespace), query)
        events = response.events
        if events is None:
            raise StatusError(500, "InternalError", f"no watch came from {self._path(namespace)}")
        try:
            async for batch in events:
                if any(e.type == "ERROR" for e in batch):
                    good = [e for e in batch if e.type != "ERROR"]
                    if good:
                        yield good
                    raise StatusError.of(next(e.object for e in batch if e.type == "ERROR"))
                yield batch
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()


def _present(**query: str) -> list[tuple[str, str]]:
    return [(k, v) for k, v in query.items() if v]


def _delete_options(
    propagation: str | None, grace_period_s: int | None, uid: str | None, resource_version: str | None
) -> Obj | None:
    options: Obj = {}
    if propagation is not None:
        options["propagationPolicy"] = propagation
    if grace_period_s is not None:
        options["gracePeriodSeconds"] = grace_period_s
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v is not None}
    if preconditions:
        options["preconditions"] = preconditions
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None
