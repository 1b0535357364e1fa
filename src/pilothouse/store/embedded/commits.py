"""Group commit: what all writers of one moment recorded goes to disk in one write, on a thread, while the next gather."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pilothouse.clock import Worker
from pilothouse.store.durations import Durations
from pilothouse.store.embedded import frames
from pilothouse.store.embedded.disk import FULL, Disk, SnapshotFile
from pilothouse.store.interface import NoSpace, StoreError, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

_PARTS, _PIECE_BYTES = 200, 64 << 10  # that are joined
_WORTH_IT = 12
_RETURN_S = 10e-6  # what a writer takes from hearing that its write is durable to its next one

_Rotation = asyncio.Future[tuple[SnapshotFile, int]]


class _Group(NamedTuple):
    """What goes to the disk together."""

    size: int
    mark: int
    waiters: list[asyncio.Future[Any]]
    results: list[Any]  # for each of them
    wanting: dict[asyncio.Future[None], int]  # who waits for room, and how much of it
    rotation: _Rotation | None
    begun_s: float


class _Done(NamedTuple):
    """What a group's turn on the disk came to."""

    room: OSError | None
    rotation: SnapshotFile | OSError | None


class Commits:
    """`record` in order, then await `durable`. Without a disk everything is durable in the loop's next turn.

    What is no more than `left` can be written although the disk is full: recording anything else first asks `make_room`.

    `on_durable(mark)`: all recorded before `mark` is durable, where the mark is what `mark()` returned when the group was closed.
    `on_failure(error)`: nothing recorded since will ever be.
    """

    def __init__(
        self,
        disk: Disk | None,
        worker: Worker | None,
        mark: Callable[[], int],
        on_durable: Callable[[int], None],
        on_failure: Callable[[StoreError], None],
    ) -> None:
        self._disk, self._worker = disk, worker
        self._mark, self._on_durable, self._on_failure = mark, on_durable, on_failure
        self._loop = asyncio.get_running_loop()
        self._records: list[bytes] = []
        # Bytes there is room for beside the group that is being written; and beside `_records`, too.
        self._room = self.left = disk.room - 2 * frames.OVERHEAD if disk is not None else 1 << 62
        self._waiters: list[asyncio.Future[Any]] = []
        self._results: list[Any] = []
        self._wanting: dict[asyncio.Future[None], int] = {}
        self._rotation: _Rotation | None = None
        self._writing: _Group | None = None
        self._due = False  # the next group will be closed this turn
        self._closing: asyncio.Future[None] | None = None
        self.index = disk.sequence if disk is not None else 1  # of the next group; never goes back
        self.took = Durations()  # from a group's end to its being on disk
        self.error: StoreError | None = None

    def record(self, parts: Iterable[bytes], size: int) -> None:
        """`size`: the most that they may take."""
        self._records += parts
        self.left -= size
        if not self._due:
            self._wake()

    def durable(self, result: T) -> asyncio.Future[T]:
        """To be awaited, and nothing else: `result`, once all that was recorded is durable. Raises Unavailable, as may the
        awaiting."""
        if self.error is not None:
            raise self.error
        future: asyncio.Future[T] = self._loop.create_future()
        if self._records:
            self._waiters.append(future)
            self._results.append(result)
        elif self._writing is not None:
            self._writing.waiters.append(future)
            self._writing.results.append(result)
        else:
            future.set_result(result)
        return future

    async def make_room(self, size: int) -> None:
        """Returns once `size` bytes fit. Raises NoSpace, with nothing changed."""
        while size > self.left:
            if self.error is not None:
                raise self.error
            future = self._loop.create_future()
            self._wanting[future] = size
            self._wake()
            await future

    async def rotate(self) -> tuple[SnapshotFile, int]:
        """Ends the log after what was recorded. Returns the snapshot to fill with it, and the mark it stands at. An OSError
        leaves everything as it was."""
        if self.error is not None:
            raise self.error
        assert self._rotation is None or self._rotation.done(), "one rotation at a time"
        self._rotation = self._loop.create_future()
        self._wake()
        return await self._rotation

    def _wake(self) -> None:
        """The next group is closed at the end of this turn, or where one is being written, after that."""
        if not self._due and self._writing is None and self.error is None:
            self._due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._due = False
        if self.error is not None:
            self._finish()
            return
        size = self._room - self.left
        payload = _gathered(self._records, size)
        rotation = self._rotation if self._rotation is not None and not self._rotation.done() else None
        group = _Group(size, self._mark(), self._waiters, self._results, self._wanting, rotation, self._loop.time())
        self._records, self._waiters, self._results, self._wanting, self._rotation = [], [], [], {}, None
        self._room = self.left
        self._writing = group
        if self._disk is None or self._worker is None:
            self._ended(_Done(None, None))
            return
        room = sum(group.wanting.values()) + (len(group.wanting) + 1) * frames.OVERHEAD if group.wanting else 0
        self._worker.do(partial(_work, self._disk, payload, room, rotation is not None), self._ended)

    def _ended(self, done: _Done | Exception) -> None:
        group = self._writing
        if group is None:
            return  # the store has stopped
        if isinstance(done, Exception):
            self._fail(done)
            return
        if self._disk is not None:
            gathered = self._room - self.left
            self._room = self._disk.room - 2 * frames.OVERHEAD
            self.left = self._room - gathered
        self._writing = None
        took_s = self._loop.time() - group.begun_s
        if group.size:
            self.index += 1
            self.took.add(took_s)
        waits = self._records or self._wanting or self._rotation is not None
        if waits and took_s <= _RETURN_S * (len(group.waiters) + len(self._waiters)):
            self._begin()  # a quick disk works while the others hear of it
        try:
            self._on_durable(group.mark)
        except Exception as error:
            log.exception("the store stopped")
            self._fail(error)
        for future, result in zip(group.waiters, group.results, strict=True):
            if not future.done():
                future.set_result(result)
        for future in group.wanting:
            if not future.done():
                if done.room is not None:
                    future.set_exception(self._no_space(done.room))
                else:
                    future.set_result(None)
        if group.rotation is not None:
            _settle(group.rotation, done.rotation, group.mark)
        if waits:
            self._wake()  # a slow one had better take along those who come back with their next write
        self._finish()

    def _no_space(self, error: OSError) -> NoSpace:
        assert self._disk is not None
        return NoSpace(f"etcdserver: no space left on the disk of {self._disk.path}: {_reason(error)}; free some")

    def _fail(self, cause: Exception) -> None:
        """Whatever was not acknowledged never will be: what the disk holds of it shows when it is read again."""
        where = f"cannot write to {self._disk.path}" if self._disk is not None else "stopped"
        self.error = error = Unavailable(f"etcdserver: {where}: {_reason(cause)}; repair and restart")
        gathering = _Group(0, 0, self._waiters, self._results, self._wanting, self._rotation, 0.0)
        for group in (self._writing, gathering):
            if group is None:
                continue
            for future in (*group.waiters, *group.wanting, group.rotation):
                if future is not None and not future.done():
                    future.set_exception(error)
        self._records, self._waiters, self._results, self._wanting, self._rotation = [], [], [], {}, None
        self._writing = None
        self._on_failure(error)
        self._finish()

    def _finish(self) -> None:
        if self._closing is not None and not self._closing.done() and self._writing is None and not self._due:
            self._closing.set_result(None)

    async def close(self) -> None:
        """Writes what is left."""
        self._closing = self._loop.create_future()
        self._finish()
        await self._closing
        if self._worker is not None:
            self._worker.close()


def _gathered(records: list[bytes], size: int) -> list[bytes]:
    """Few parts of many small ones: none so large that its memory comes from the system, page by page, and goes back to it.
    Large ones are not copied."""
    step = min(_PARTS, _PIECE_BYTES * len(records) // (1 + size))
    if step < _WORTH_IT:
        return records
    return [b"".join(records[at : at + step]) for at in range(0, len(records), step)]


def _work(disk: Disk, payload: list[bytes], room: int, rotate: bool) -> _Done:
    if payload:
        disk.append(payload)
    no_room: OSError | None = None
    if room > disk.room or disk.low_on_room:
        try:
            disk.set_room_aside(room)
        except OSError as error:
            if error.errno not in FULL:
                raise
            no_room = error
    rotation: SnapshotFile | OSError | None = None
    if rotate:
        try:
            rotation = disk.rotate()
        except OSError as error:
            rotation = error
    return _Done(no_room, rotation)


def _settle(rotation: _Rotation, outcome: SnapshotFile | OSError | None, mark: int) -> None:
    if isinstance(outcome, SnapshotFile):
        if rotation.done():
            outcome.abandon()
        else:
            rotation.set_result((outcome, mark))
    elif not rotation.done():
        rotation.set_exception(outcome or OSError(errno.ENOTSUP, "there is no disk"))


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
