"""A watch: the events of a collection as they come, until the client, the time or the server ends it.

Source: upstream's endpoints/handlers/watch and storage/cacher; KEP-956 (bookmarks), KEP-3157 (sendInitialEvents).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeVar

import orjson

from pilothouse.api.codec import protowrite, text
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response, WatchEvent
from pilothouse.api.objects import Obj
from pilothouse.apiserver import negotiation, tables
from pilothouse.apiserver.handlers import lists, selection
from pilothouse.apiserver.handlers.options import ListOptions, list_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.handlers.selection import Selection
from pilothouse.apiserver.negotiation import CBOR, CBOR_STREAM, JSON, PROTOBUF
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.storage import store_failure
from pilothouse.apiserver.registry.watching import Delivery, Watcher
from pilothouse.store.interface import StoreError

T = TypeVar("T")

_BOOKMARK_S: Final = 60.0
_BOOKMARK_BEFORE_END_S: Final = 2.0
_INITIAL_BATCH: Final = 50
INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


async def handle(scope: Scope) -> Response:
    request = scope.request
    options = list_options(request.query, watch=True)
    chosen = selection.select(scope, options)
    if scope.output.media_type == negotiation.YAML:
        accept, custom = request.headers.get("accept", ""), scope.served.stored.custom
        negotiation.output(accept, scope.core.forms, custom=custom, stream=True)
    if scope.output.transform == "Table":
        tables.include_object(scope)
    if scope.output.transform == "PartialObjectMetadataList":
        # No event has a list in it: upstream begins to answer, and breaks off.
        headers = {"Content-Type": stream_type(scope.output.media_type)}
        return Response(200, headers, chunks=_nothing(), warnings=scope.warnings)
    after = None
    if options.resource_version not in ("", "0"):
        after = lists.parse_revision(options.resource_version) or None
    stream = _Stream(scope, options)
    try:
        after = await _start(scope, options, after)
    except StatusError as error:
        if error.code not in (410, 504):
            raise
        # Upstream has begun to answer by then: the refusal is an event.
        return stream.refused(error)
    return stream.response(chosen, after)


def stream_type(media_type: str) -> str:
    """What the media type of objects becomes for a stream of events."""
    if media_type == CBOR:
        return CBOR_STREAM
    return media_type if media_type == JSON else media_type + ";stream=watch"


async def _nothing() -> AsyncIterator[bytes]:
    chunks: tuple[bytes, ...] = ()
    for chunk in chunks:
        yield chunk


async def _start(scope: Scope, options: ListOptions, after: int | None) -> int | None:
    """Waits until the cache is as new as the watch must begin. Returns the revision whose successors it is of; None: of the
    present objects and what comes after them. `after` None: from no revision or from 0."""
    cache, feed = scope.storage.cache, scope.storage.feed
    await cache.ready()
    if options.send_initial_events and after is not None:
        # The state must be at least as new as the revision; the events before it are part of the state.
        await lists.wait_for(scope, after)
        return None
    if after is None and not options.resource_version:
        try:
            await feed.fresh()
        except StoreError as error:
            raise store_failure(error) from error
        await cache.ready()
    return cache.revision if options.send_initial_events is False and after is None else after


class _Unprepared(Exception):
    """Objects could not be converted to the version that is watched: the watch ends with `cause`."""

    def __init__(self, cause: StatusError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Stream:
    """One running watch: from deliveries to events, with bookmarks between them."""

    def __init__(self, scope: Scope, options: ListOptions) -> None:
        self._scope, self._options = scope, options
        self._rung = False
        self._headers_due = True  # a table's columns come with its first event only
        clock, config = scope.core.clock, scope.core.config
        lasts_s = float(options.timeout_s or 0)
        if lasts_s <= 0:
            lasts_s = config.min_request_timeout_s * (1 + clock.random.random())
        self._ends_s = clock.monotonic() + lasts_s
        self._bookmark_s = self._next_bookmark(clock.monotonic())

    def _next_bookmark(self, now_s: float) -> float:
        """One a minute, and one shortly before the end."""
        last_s = self._ends_s - _BOOKMARK_BEFORE_END_S
        return min(now_s + _BOOKMARK_S, last_s) if last_s > now_s else now_s + _BOOKMARK_S

    def response(self, chosen: Selection, after: int | None) -> Response:
        scope = self._scope
        if scope.local:
            return Response(200, {}, events=self._run(chosen, after, self._as_events), warnings=scope.warnings)
        plain = not scope.output.transform and scope.output.media_type == JSON
        chunks = self._run(chosen, after, self._as_bytes if plain else self._encoded)
        return Response(
            200, {"Content-Type": stream_type(scope.output.media_type)}, chunks=chunks, warnings=scope.warnings
        )

    def refused(self, error: StatusError) -> Response:
        scope = self._scope
        event = WatchEvent("ERROR", error.status())

        async def events() -> AsyncIterator[list[WatchEvent]]:
            yield [event]

        async def chunks() -> AsyncIterator[bytes]:
            yield self._frame(event)

        if scope.local:
            return Response(200, {}, events=events(), warnings=scope.warnings)
        return Response(
            200, {"Content-Type": stream_type(scope.output.media_type)}, chunks=chunks(), warnings=scope.warnings
        )

    async def _run(
        self, chosen: Selection, after: int | None, encode: Callable[[list[Delivery | WatchEvent]], T]
    ) -> AsyncIterator[T]:
        # The watcher is registered on the first step and not before: a stream that nobody reads must not collect events.
        core, bookmarks = self._scope.core, self._options.allow_bookmarks
        clock = core.clock
        cache = self._scope.storage.cache
        limit = core.config.watcher_queue_events
        try:
            watcher = cache.watch(
                namespace=chosen.namespace, key=chosen.key, predicate=chosen.predicate, trigger=chosen.trigger,
                after=after, limit=limit,
            )  # fmt: skip
        except StatusError as error:
            yield encode([WatchEvent("ERROR", error.status())])
            return
        alarm: asyncio.TimerHandle | None = None
        try:
            revision = cache.revision
            batch: list[Delivery | WatchEvent] = []
            initial, watcher.initial = watcher.initial, []
            for start in range(0, len(initial), _INITIAL_BATCH):
                present = [e for e in initial[start : start + _INITIAL_BATCH] if chosen.matches(e)]
                batch = [Delivery("ADDED", entry, entry.revision) for entry in present]
                if start + _INITIAL_BATCH >= len(initial):
                    break
                if batch:
                    await self._prepare(batch)
                    yield encode(batch)
                await clock.sleep(0)
            del initial
            if bookmarks and self._options.send_initial_events:
                batch.append(self._bookmark(revision, initial_end=True))
            if batch:
                await self._prepare(batch)
                yield encode(batch)
            alarm = self._alarm(watcher, bookmarks)
            while True:
                deliveries = await watcher.take()
                if deliveries is None:
                    return
                if deliveries:
                    revision = deliveries[-1].revision
                    await self._prepare(deliveries)
                    yield encode(deliveries)  # type: ignore[arg-type]
                if not self._rung:
                    continue
                now_s = clock.monotonic()
                if bookmarks and now_s >= self._bookmark_s:
                    self._bookmark_s = self._next_bookmark(now_s)
                    if watcher.idle:
                        revision = max(revision, cache.revision)
                        yield encode([self._bookmark(revision)])
                if now_s >= self._ends_s:
                    return
                alarm = self._alarm(watcher, bookmarks)
        except _Unprepared as error:
            yield encode([WatchEvent("ERROR", error.cause.status())])
        finally:
            if alarm is not None:
                alarm.cancel()
            cache.watchers.discard(watcher)
            watcher.close()

    def _alarm(self, watcher: Watcher, bookmarks: bool) -> asyncio.TimerHandle:
        """Wakes the watcher when a bookmark is due or the watch ends."""
        clock = self._scope.core.clock
        due_s = min(self._ends_s, self._bookmark_s) if bookmarks else self._ends_s
        self._rung = False

        def ring() -> None:
            self._rung = True
            watcher.nudge()

        return clock.call_later(max(0.0, due_s - clock.monotonic()), ring)

    async def _prepare(self, batch: Sequence[Delivery | WatchEvent]) -> None:
        if self._scope.served.convert is None:
            return
        try:
            await self._scope.prepare([one.entry for one in batch if isinstance(one, Delivery)])
        except StatusError as error:
            raise _Unprepared(error) from error

    def _bookmark(self, revision: int, *, initial_end: bool = False) -> WatchEvent:
        served = self._scope.served
        meta: Obj = {"resourceVersion": str(revision)}
        if initial_end:
            meta["annotations"] = {INITIAL_EVENTS_END: "true"}
        obj: Obj = {"kind": served.resource.kind, "apiVersion": served.gvr.api_version, "metadata": meta}
        return WatchEvent("BOOKMARK", obj)

    def _as_events(self, batch: list[Delivery | WatchEvent]) -> list[WatchEvent]:
        served = self._scope.served
        if self._scope.output.transform:
            return [self._event(d) for d in batch]
        return [WatchEvent(d.type, d.entry.of(served)) if isinstance(d, Delivery) else d for d in batch]

    def _as_bytes(self, batch: list[Delivery | WatchEvent]) -> bytes:
        """The common case: an event's bytes are made once for all who watch."""
        form, make = self._scope.served, self._json
        parts = [one.frame(form, make) if isinstance(one, Delivery) else self._frame(one) for one in batch]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _json(self, one: Delivery) -> bytes:
        return b"%b%b}\n" % (_HEADS[one.type], one.entry.json(self._scope.served))

    def _encoded(self, batch: list[Delivery | WatchEvent]) -> bytes:
        scope = self._scope
        if scope.output.media_type != PROTOBUF or scope.output.transform:
            return b"".join(self._frame(self._event(one)) for one in batch)
        form, make = (scope.served, PROTOBUF), self._protobuf
        return b"".join([one.frame(form, make) if isinstance(one, Delivery) else self._frame(one) for one in batch])

    def _protobuf(self, one: Delivery) -> bytes:
        served = self._scope.served
        return protowrite.watch_frame(one.type, protowrite.envelope(served.gvk, one.entry.message(served)))

    def _event(self, one: Delivery | WatchEvent) -> WatchEvent:
        scope = self._scope
        if isinstance(one, Delivery):
            entry, type_ = one.entry, str(one.type)
        elif one.type == "BOOKMARK" and scope.output.transform:
            entry, type_ = Entry(scope.served.stored, "", 0, one.object), one.type
        else:
            return one
        if scope.output.transform == "Table":
            headers, self._headers_due = self._headers_due, False
            return WatchEvent(type_, tables.table(scope, [entry], None, headers=headers))
        if scope.output.transform:
            return WatchEvent(type_, tables.transform(scope, [entry], None))
        return WatchEvent(type_, entry.of(scope.served))

    def _frame(self, event: WatchEvent) -> bytes:
        if self._scope.output.media_type == PROTOBUF:
            body = protowrite.encode(event.object)
            if body is not None:
                return protowrite.watch_frame(event.type, body)
        if self._scope.output.media_type == CBOR:
            from pilothouse.api.codec import cbor

            return cbor.event(event.type, cbor.encode(event.object))
        return text.to_json({"type": event.type, "object": event.object}, orjson.OPT_APPEND_NEWLINE)


_HEADS: Final = {t: b'{"type":"' + t.encode() + b'","object":' for t in ("ADDED", "MODIFIED", "DELETED")}
