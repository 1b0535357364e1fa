"""Informers: a resource's objects in memory, kept true by one list and a watch, shared by all who ask.

Source of the semantics: client-go's reflector and shared informer. The differences: events are taken a batch at a time;
an object that was deleted and made anew while the watch was cut off is seen as deleted and added, never as updated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import WatchEvent
from pilothouse.api.objects import Obj
from pilothouse.client.cache import Cache, KeysOf, Lister
from pilothouse.client.client import Client

log = logging.getLogger(__name__)

_BACKOFF_FIRST_S: Final = 0.8
_BACKOFF_MAX_S: Final = 30.0
_BACKOFF_FACTOR: Final = 2.0
_BACKOFF_RESET_S: Final = 120.0
_WATCH_S_MIN: Final = 300  # a watch is asked to end after 5 to 10 minutes, so that servers share the load anew
_EVENTS_BETWEEN_YIELDS: Final = 500


class Handler:
    """Callbacks of one user of an informer. They run within the informer's task: short, and never awaiting."""

    __slots__ = ("added", "deleted", "updated")

    def __init__(
        self,
        added: Callable[[Obj], object] | None,
        updated: Callable[[Obj, Obj], object] | None,
        deleted: Callable[[Obj], object] | None,
    ) -> None:
        self.added, self.updated, self.deleted = added, updated, deleted


class Informer:
    """One resource's cache and its reflector. Made by `Informers.of`."""

    def __init__(
        self, client: Client, group: str, version: str, resource: str, *, namespace: str = "",
        label_selector: str = "", field_selector: str = "",
    ) -> None:  # fmt: skip
        self.group, self.version, self.resource = group, version, resource
        self._resource = client.resource(group, version, resource)
        self._clock = client.clock
        self._namespace, self._label_selector, self._field_selector = namespace, label_selector, field_selector
        self._cache = Cache()
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._resource_version = ""
        self.lister = Lister(self._cache)

    @property
    def synced(self) -> bool:
        """The first list is in the cache, and its handlers have been called."""
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """How far the cache has come."""
        return self._resource_version

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def add_handler(
        self,
        added: Callable[[Obj], object] | None = None,
        updated: Callable[[Obj, Obj], object] | None = None,
        deleted: Callable[[Obj], object] | None = None,
    ) -> Handler:
        """Calls `added(obj)`, `updated(old, new)` and `deleted(last state)` from now on; `added` at once for what is here."""
        handler = Handler(added, updated, deleted)
        self._handlers.append(handler)
        if added is not None:
            for obj in list(self._cache):
                _call(added, obj)
        return handler

    def remove_handler(self, handler: Handler) -> None:
        if handler in self._handlers:
            self._handlers.remove(handler)

    def add_index(self, name: str, keys_of: KeysOf) -> None:
        """Lets `lister.by_index(name, key)` find the objects for which `keys_of(obj)` names the key."""
        self._cache.add_index(name, keys_of)

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer {self.resource}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        delay_s, failed_at = _BACKOFF_FIRST_S, 0.0
        must_list = True
        while True:
            try:
                if must_list:
                    await self._relist()
                    must_list = False
                await self._watch()
            except StatusError as error:
                if error.code == 410 or error.reason in ("Expired", "Gone"):
                    must_list = True
                    if not self._resource_version:
                        log.warning("list of %s: %s", self.resource, error)
                    self._resource_version = ""
                else:
                    log.debug("watch of %s: %s", self.resource, error)
            except Exception:
                log.exception("informer of %s", self.resource)
                must_list = True
            else:
                continue
            now = self._clock.monotonic()
            if now - failed_at > _BACKOFF_RESET_S:
                delay_s = _BACKOFF_FIRST_S
            failed_at = now
            await self._clock.sleep(delay_s * (1 + self._clock.random.random()))
            delay_s = min(delay_s * _BACKOFF_FACTOR, _BACKOFF_MAX_S)

    async def _relist(self) -> None:
        # Version 0 lets the server answer from its cache; later, nothing older than what was seen already.
        wanted = self._resource_version or ("" if self.synced else "0")
        found = await self._resource.list(
            self._namespace, self._label_selector, self._field_selector, resource_version=wanted
        )
        self._replace(found.get("items") or [])
        self._resource_version = found["metadata"].get("resourceVersion", "")
        self._synced.set()

    def _replace(self, items: Iterable[Obj]) -> None:
        gone = {(o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in self._cache}
        for obj in items:
            metadata = obj["metadata"]
            gone.discard((metadata.get("namespace", ""), metadata["name"]))
            self._store(obj)
        for namespace, name in gone:
            old = self._cache.pop(namespace, name)
            if old is not None:
                self._deleted(old)

    async def _watch(self) -> None:
        timeout_s = int(_WATCH_S_MIN * (1 + self._clock.random.random()))
        stream = self._resource.watch(
            self._namespace, label_selector=self._label_selector, field_selector=self._field_selector,
            resource_version=self._resource_version, timeout_s=timeout_s,
        )  # fmt: skip
        started, any_event = self._clock.monotonic(), False
        async with aclosing(stream):
            async for batch in stream:
                any_event = True
                for at in range(0, len(batch), _EVENTS_BETWEEN_YIELDS):
                    if at:
                        await self._clock.sleep(0)
                    self._take(batch[at : at + _EVENTS_BETWEEN_YIELDS])
        if not any_event and self._clock.monotonic() - started < 1.0:
            raise StatusError(503, "ServiceUnavailable", "very short watch: no event came in under a second")

    def _take(self, batch: list[WatchEvent]) -> None:
        for kind, obj in batch:
            metadata = obj["metadata"]
            if kind in ("ADDED", "MODIFIED"):
                self._store(obj)
            elif kind == "DELETED":
                if self._cache.pop(metadata.get("namespace", ""), metadata["name"]) is not None:
                    self._deleted(obj)
            elif kind != "BOOKMARK":
                log.warning("watch of %s: unknown event %s", self.resource, kind)
            self._resource_version = metadata.get("resourceVersion", self._resource_version)

    def _store(self, obj: Obj) -> None:
        old = self._cache.put(obj)
        if old is not None:
            before, after = old["metadata"], obj["metadata"]
            if before.get("uid") == after.get("uid"):
                if before.get("resourceVersion") != after.get("resourceVersion"):
                    for handler in self._handlers:
                        if handler.updated is not None:
                            _call(handler.updated, old, obj)
                return
            self._deleted(old)
        for handler in self._handlers:
            if handler.added is not None:
                _call(handler.added, obj)

    def _deleted(self, obj: Obj) -> None:
        for handler in self._handlers:
            if handler.deleted is not None:
                _call(handler.deleted, obj)


def _call(callback: Callable[..., object], *args: Any) -> None:
    try:
        callback(*args)
    except Exception:
        log.exception("handler %r", callback)


class Informers:
    """The informers of one client: one watch a resource, whoever asks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[tuple[str, ...], Informer] = {}

    def of(
        self, group: str, version: str, resource: str, *, namespace: str = "", label_selector: str = "",
        field_selector: str = "",
    ) -> Informer:  # fmt: skip
        """The shared informer of a resource (of the part of it that the selectors leave). `start` starts new ones."""
        key = (group, version, resource, namespace, label_selector, field_selector)
        if key not in self._informers:
            self._informers[key] = Informer(
                self._client, group, version, resource, namespace=namespace, label_selector=label_selector,
                field_selector=field_selector,
            )  # fmt: skip
        return self._informers[key]

    async def start(self) -> None:
        """Starts those that do not run yet; may be called again."""
        for informer in list(self._informers.values()):
            informer.start()

    async def wait_synced(self) -> None:
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def forget(self, informer: Informer) -> None:
        """Stops one and lets go of it: for a resource that the server no longer has."""
        for key, known in list(self._informers.items()):
            if known is informer:
                del self._informers[key]
        await informer.stop()

    async def stop(self) -> None:
        for informer in list(self._informers.values()):
            await informer.stop()
