"""`RemoteWatch`: a watch that outlives connections. After a break it goes on at another member, from the revision after the
last one that was delivered, so that nothing is missed, repeated or out of order.

One gRPC stream a watch. It is read only as fast as its reader reads: gRPC's flow control holds the rest back at the member,
which keeps it out of its store. Source: etcd's API documentation, "Watch streams", and its Go client (`watch.go`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from pilothouse.store.interface import Event, StoreError, WatchBatch
from pilothouse.store.remote.calls import Calls
from pilothouse.store.remote.convert import Converter
from pilothouse.store.remote.endpoints import Endpoint, metadata
from pilothouse.store.remote.failures import failure, failure_of, is_unanswered
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.rpc.services import method

log = logging.getLogger(__name__)

PROGRESS_S: Final = 0.1  # a member that lags is asked again as often (upstream's progress requester)
STALL_S: Final = 5.0  # one that says nothing for so long, though asked, is left for another
_PAUSE_S: Final = 0.1  # between streams
T = TypeVar("T")


class _Broken(Exception):
    """The stream is gone: go on with another."""


class RemoteWatch:
    """`wanted`: a WatchCreateRequest without a revision. `start`: gives the first revision to deliver. `present`: gives the
    newest revision that this client heard of."""

    def __init__(
        self, calls: Calls, converter: Converter, wanted: Any, start: Callable[[], Awaitable[int]],
        present: Callable[[], int], ended: Callable[[RemoteWatch], None],
    ) -> None:  # fmt: skip
        self._calls, self._converter = calls, converter
        self._create = pb.WatchRequest(create_request=wanted)
        self._start, self._present, self._tell_ended = start, present, ended
        self._exact = False  # begin there exactly: what comes before is compacted
        self._next = 0  # the revision to go on from; 0: not known yet
        self._stream: Any = None
        self._endpoint: Endpoint | None = None
        self._stalled = False
        self._reading_since_s: float | None = None  # the reader waits for the member to say something
        self._fragments: list[Event] = []
        self._ended = False
        self._wanted: int | None = None  # a progress notification of this revision or a later one
        self._kick = asyncio.Event()  # there is something to ask, or nothing any more
        self._asking: asyncio.Task[None] | None = None
        self._working: asyncio.Task[Any] | None = None  # what the reader waits for

    def __aiter__(self) -> RemoteWatch:
        return self

    async def __anext__(self) -> WatchBatch:
        while not self._over():
            try:
                if self._stream is None:
                    await self._own(self._connect())
                response = await self._read(self._stream)
                batch = self._take(response)
                if batch is not None:
                    return batch
            except _Broken:
                self._drop()
                await self._own(self._calls.clock.sleep(_PAUSE_S))
            except StoreError:
                if self._over():
                    break
                self._end()
                raise
            except asyncio.CancelledError:
                task = asyncio.current_task()
                ended, self._stalled = self._over() or self._stalled, False
                self._drop()
                if not ended or (task is not None and task.cancelling()):
                    raise
        raise StopAsyncIteration

    async def _own(self, work: Coroutine[Any, Any, T]) -> T:
        """Waits for something that `cancel` can end."""
        task = asyncio.ensure_future(work)
        self._working = task
        try:
            return await task
        finally:
            self._working = None

    # The stream

    async def _connect(self) -> None:
        import grpc

        if not self._next:
            self._next = await self._start()
        endpoint = self._endpoint = await self._calls.endpoints.pick(self._endpoint)
        stream = endpoint.call(method("etcdserverpb.Watch", "Watch"))(metadata=metadata(require_leader=True))
        # Members tell no progress to a watch that begins in the future, so begin with what was delivered last.
        early = self._next > max(self._present(), 1) and not self._exact
        self._create.create_request.start_revision = self._next - early
        try:
            async with self._calls.clock.timeout(STALL_S):
                await stream.write(self._create.SerializeToString())
                created = await self._read(stream)
                if not created.created:
                    raise _Broken
                self._refused(created)
                if self._wanted is not None:
                    await stream.write(_PROGRESS.SerializeToString())
        except TimeoutError:
            stream.cancel()
            raise _Broken from None
        except grpc.aio.AioRpcError as error:
            self._judge(error)
        except BaseException:
            stream.cancel()
            raise
        self._fragments.clear()
        self._stream = stream
        endpoint.watches.add(self)

    async def _read(self, stream: Any) -> Any:
        import grpc

        self._reading_since_s = self._calls.clock.monotonic()
        try:
            response = await stream.read()
            if response is grpc.aio.EOF:
                code, details = await stream.code(), await stream.details()
                if code is grpc.StatusCode.OK:
                    raise _Broken
                raise grpc.aio.AioRpcError(
                    code, await stream.initial_metadata(), await stream.trailing_metadata(), details
                )
        except grpc.aio.AioRpcError as error:
            self._judge(error)
        finally:
            self._reading_since_s = None
        return response

    def _judge(self, error: Any) -> None:
        """A break that another stream mends, also a member without a leader, or the watch's end."""
        log.info("the watch at %s broke: %s", self._endpoint.url if self._endpoint else "etcd", error.details())
        if is_unanswered(error) or error.code().name in ("INTERNAL", "UNKNOWN"):
            raise _Broken from None
        raise failure_of(error) from None

    def _refused(self, response: Any) -> None:
        if response.canceled:
            if response.compact_revision:
                if response.compact_revision <= self._next and not self._exact:
                    self._exact = True
                    raise _Broken
                raise failure("OUT_OF_RANGE", _COMPACTED, response.compact_revision)
            raise failure("UNAVAILABLE", response.cancel_reason or "etcdserver: watch canceled")

    def _take(self, response: Any) -> WatchBatch | None:
        self._refused(response)
        if response.events:
            events = self._converter.events(response.events)
            if events[0].kv.mod_revision < self._next:
                events = [event for event in events if event.kv.mod_revision >= self._next]
            self._fragments += events
            if response.fragment or not self._fragments:
                return None
            events, self._fragments = self._fragments, []
            # Not the header's revision: to a watch that catches up more may come of what lies before that.
            revision = events[-1].kv.mod_revision
            self._next = revision + 1
            return WatchBatch(events, revision)
        if response.created:
            return None
        revision = response.header.revision
        self._next = max(self._next, revision + 1)
        if self._wanted is not None and revision >= self._wanted:
            self._wanted = None
            self._kick.set()
        return WatchBatch([], revision)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
        if self._endpoint is not None:
            self._endpoint.watches.discard(self)

    # Progress

    def request_progress(self) -> None:
        self._wanted = max(self._wanted or 0, self._present())
        self._kick.set()
        if self._asking is None and not self._ended:
            self._asking = asyncio.create_task(self._ask(), name="etcd watch progress")

    async def _ask(self) -> None:
        """Members say nothing while a watch of theirs lags, so ask until there is an answer."""
        import grpc

        clock = self._calls.clock
        began_s = clock.monotonic()
        try:
            while self._wanted is not None and not self._ended:
                if self._stream is not None:
                    since_s = self._reading_since_s
                    if since_s is not None and clock.monotonic() - max(since_s, began_s) > STALL_S:
                        if self._endpoint is not None:
                            self._calls.endpoints.doubt(self._endpoint)
                        self.leave()
                        continue
                    try:
                        await self._stream.write(_PROGRESS.SerializeToString())
                    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        pass  # the reader finds that out
                self._kick.clear()
                try:
                    async with clock.timeout(PROGRESS_S):
                        await self._kick.wait()
                except TimeoutError:
                    continue
        finally:
            self._asking = None

    def leave(self) -> None:
        """The reader, where it waits for the member, goes on with another."""
        log.warning("the watch at %s stalls", self._endpoint.url if self._endpoint else "etcd")
        self._stalled = self._reading_since_s is not None
        self._drop()

    # The end

    def _over(self) -> bool:
        return self._ended

    def _end(self) -> None:
        self._ended = True
        self._drop()
        for task in (self._asking, self._working):
            if task is not None:
                task.cancel()
        self._tell_ended(self)

    async def cancel(self) -> None:
        if not self._ended:
            asking = self._asking
            self._end()
            if asking is not None:
                await asyncio.gather(asking, return_exceptions=True)


_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_PROGRESS: Final = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
