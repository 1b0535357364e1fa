"""etcdserverpb.Watch: any number of watches on one stream.

Source of the behaviour: etcd's v3rpc/watch.go. A batch of events that many watches share is encoded once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pilothouse.store.etcd import encoding
from pilothouse.store.etcd.context import Context
from pilothouse.store.interface import Compacted, Event, HandedWatch, StoreError, WatchBatch
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError

_NO_ID: Final = -1
_WATCHES_MAX: Final = 100_000  # on a stream
_NOPUT, _NODELETE = 0, 1


class Watch:
    def __init__(self, context: Context) -> None:
        self.context = context

    async def watch(self, call: Call) -> None:
        stream = _Stream(self.context, call)
        try:
            await stream.read()
            await asyncio.get_running_loop().create_future()  # one that asks for no more still hears until it leaves
        finally:
            await stream.close()


class _One:
    """One watch of a stream."""

    __slots__ = ("field", "fragment", "id", "notify", "notify_due", "source", "task")

    def __init__(self, watch_id: int, source: HandedWatch, notify: bool, fragment: bool) -> None:
        self.id, self.field = watch_id, _id_field(watch_id)
        self.source, self.notify, self.fragment = source, notify, fragment
        self.notify_due = False  # the next batch without events is for the client
        self.task: asyncio.Task[None] | None = None


def _id_field(watch_id: int) -> bytes:
    return b"\x10" + encoding.varint(watch_id) if watch_id else b""


class _Stream:
    """What its watches bring is handed to the stream at once. Where that cannot be, because the client does not keep up or the
    watch reads the history, a task reads it at the client's pace."""

    def __init__(self, context: Context, call: Call) -> None:
        self._context, self._call = context, call
        self._watches: dict[int, _One] = {}
        self._next_id = 0
        self._round: set[int] | None = None  # watches that have not yet come as far as a progress request wants
        self._round_revision = 0
        self._round_again = False
        self._notifier: asyncio.Task[None] | None = None

    async def read(self) -> None:
        async for request in self._call:
            kind = request.WhichOneof("request_union")
            if kind == "create_request":
                await self._create(request.create_request)
            elif kind == "cancel_request":
                await self._cancel(request.cancel_request.watch_id)
            elif kind == "progress_request":
                self._request_progress()
            await self._call.drained()

    async def close(self) -> None:
        tasks = [one.task for one in self._watches.values() if one.task is not None]
        if self._notifier is not None:
            tasks.append(self._notifier)
        for one in self._watches.values():
            await one.source.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _post(self, revision: int, watch_id: int, rest: bytes = b"") -> None:
        header = self._context.header.field(revision)
        self._call.post_message((header, _id_field(watch_id), rest))

    async def _refuse(self, reason: str) -> None:
        revision = await self._context.store.revision()
        self._post(revision, _NO_ID, b"\x18\x01\x20\x01" + encoding.field(b"\x32", reason.encode()))

    async def _create(self, request: Any) -> None:
        key = request.key or b"\0"
        range_end, watch_id = request.range_end, request.watch_id
        if request.start_revision < 0:
            await self._refuse("etcdserver: mvcc: required revision has been compacted")
            return
        try:
            self._context.guard.check(self._call, 0, key, range_end)
        except RpcError as error:
            await self._refuse(f"rpc error: code = {_go_name(error)} desc = {error}")
            return
        if range_end and range_end != b"\0" and key >= range_end:
            await self._refuse("mvcc: watcher range is empty")
            return
        if watch_id and watch_id in self._watches:
            await self._refuse("mvcc: duplicate watch ID provided on the WatchStream")
            return
        if len(self._watches) >= _WATCHES_MAX:
            await self._refuse("etcdserver: too many requests")
            return
        if not watch_id:
            while self._next_id in self._watches:
                self._next_id += 1
            watch_id = self._next_id
            self._next_id += 1
        filters = set(request.filters)
        source = self._context.store.watch(
            key, range_end, start_revision=request.start_revision, prev_kv=request.prev_kv,
            no_put=_NOPUT in filters, no_delete=_NODELETE in filters,
        )  # fmt: skip
        one = self._watches[watch_id] = _One(watch_id, source, request.progress_notify, request.fragment)
        self._post(await self._context.store.revision(), watch_id, b"\x18\x01")
        if not source.hand_to(self, one):
            self.behind(one)
        if one.notify and self._notifier is None:
            self._notifier = asyncio.create_task(self._notify(), name="etcd watch progress")

    async def _cancel(self, watch_id: int) -> None:
        one = self._watches.pop(watch_id, None)
        if one is None:
            return
        await one.source.cancel()
        if one.task is not None:
            one.task.cancel()
        self._arrived(watch_id, None)
        self._post(await self._context.store.revision(), watch_id, b"\x20\x01")

    def take(self, watches: Sequence[_One], batch: WatchBatch) -> int:
        events, revision = batch
        if self._call.congested:
            return 0
        if not events:
            for one in watches:
                self._progressed(one, revision)
            return len(watches)
        whole, taken = batch.encoded, 1
        if whole is None:
            whole = batch.encoded = b"".join(encoding.events_fields(events))
        if len(whole) >= self._context.config.max_request_bytes:
            watches = watches[:1]  # which is all that the client is likely to have room for
        if len(whole) >= self._context.config.max_request_bytes and watches[0].fragment:
            self._send_fragments(watches[0].id, events, revision)
        else:
            header = self._context.header.field(revision)
            taken = self._call.post_alike([header + one.field for one in watches], whole)
        for one in watches[:taken]:
            one.notify_due = False
        self._context.counts.events += taken * len(events)
        return taken

    def behind(self, watch: _One) -> None:
        watch.task = asyncio.create_task(self._pump(watch), name="etcd watch")

    async def _pump(self, one: _One) -> None:
        """From the store to the stream at the client's pace, until the watch can be handed over."""
        try:
            async for batch in one.source:
                await self._call.drained()
                self.take([one], batch)
                if one.source.hand_to(self, one):
                    one.task = None
                    return
        except Compacted as error:
            self._gone(one.id, b"\x20\x01\x28" + encoding.varint(error.revision))
        except StoreError as error:
            self._gone(one.id, b"\x20\x01" + encoding.field(b"\x32", str(error).encode()))

    def _gone(self, watch_id: int, rest: bytes) -> None:
        """The store ended the watch. As with etcd, the header of this answer is without a revision."""
        self._watches.pop(watch_id, None)
        self._arrived(watch_id, None)
        self._post(0, watch_id, rest)

    def _send_fragments(self, watch_id: int, events: Sequence[Event], revision: int) -> None:
        limit, start, size = self._context.config.max_request_bytes, 0, 0
        fields = encoding.events_fields(events)
        for at, data in enumerate(fields):
            if size and size + len(data) >= limit:
                self._post(revision, watch_id, b"\x38\x01" + b"".join(fields[start:at]))
                start, size = at, 0
            size += len(data)
        self._post(revision, watch_id, b"".join(fields[start:]))

    # Progress

    def _request_progress(self) -> None:
        """One notification for the whole stream, once all its watches have come as far as the store is now."""
        if self._round is not None:
            self._round_again = True
            for watch_id in list(self._round):  # one that had not begun may have by now
                self._watches[watch_id].source.request_progress()
            return
        if not self._watches:
            return
        self._round = set(self._watches)
        self._round_revision = 0
        for one in list(self._watches.values()):
            one.source.request_progress()

    def _progressed(self, one: _One, revision: int) -> None:
        if one.notify_due:
            one.notify_due = False
            self._post(revision, one.id)
        self._arrived(one.id, revision)

    def _arrived(self, watch_id: int, revision: int | None) -> None:
        """A watch has come up to `revision`, or is no more."""
        waiting = self._round
        if waiting is None or watch_id not in waiting:
            return
        waiting.discard(watch_id)
        if revision is not None:
            self._round_revision = min(self._round_revision or revision, revision)
        if waiting:
            return
        self._round = None
        if self._round_revision:
            self._post(self._round_revision, _NO_ID)
        if self._round_again:
            self._round_again = False
            self._request_progress()

    async def _notify(self) -> None:
        clock, interval_s = self._context.clock, self._context.config.watch_progress_notify_interval_s
        interval_s += clock.random.random() * interval_s / 10  # streams made at once do not report at once
        while True:
            await clock.sleep(interval_s)
            for one in list(self._watches.values()):
                if not one.notify:
                    continue
                if one.notify_due:
                    one.source.request_progress()
                one.notify_due = True


_GO_NAMES: Final = {3: "InvalidArgument", 7: "PermissionDenied", 16: "Unauthenticated"}


def _go_name(error: RpcError) -> str:
    """A status as Go prints it."""
    return _GO_NAMES.get(error.status, error.status.name.title().replace("_", ""))
