"""Group commit: what all writers of one moment recorded goes to disk in one write, on a thread, while the next gather."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pilothouse.store.durations import Durations
from pilothouse.store.embedded import frames
from pilothouse.store.embedded.disk import FULL, Disk, SnapshotFile
from pilothouse.store.interface import NoSpace, StoreError, Unavailable

log = logging.getLogger(__name__)


class _Done(NamedTuple):
    """What a group's turn on the disk came to."""

    room: OSError | None
    rotation: SnapshotFile | OSError | None


class Commits:
    """`record` in order, then `wait` until it is durable. Without a disk everything is durable at once.

    What `fits` can be written although the disk is full: recording anything else first asks `make_room`.

    `on_durable(mark)`: all recorded before `mark` is durable, where the mark is what `mark()` returned when the group was closed.
    `on_failure(error)`: nothing recorded since will ever be.
    """

    def __init__(
        self,
        disk: Disk | None,
        executor: ThreadPoolExecutor | None,
        mark: Callable[[], int],
        on_durable: Callable[[int], None],
        on_failure: Callable[[StoreError], None],
    ) -> None:
        self._disk, self._executor = disk, executor
        self._mark, self._on_durable, self._on_failure = mark, on_durable, on_failure
        self._loop = asyncio.get_running_loop()
        self._records: list[bytes] = []
        self._recorded = 0  # bytes that are not on disk yet
        self._waiters: list[asyncio.Future[None]] = []
        self._writing: list[asyncio.Future[None]] | None = None
        self._room: dict[asyncio.Future[None], int] = {}  # who waits for room, and how much of it
        self._rotation: asyncio.Future[tuple[SnapshotFile, int]] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self.index = disk.sequence if disk is not None else 1  # of the next group; never goes back
        self.took = Durations()  # from a group's end to its being on disk
        self.error: StoreError | None = None
        self._task = asyncio.create_task(self._run(), name="store commits")

    def record(self, data: bytes) -> None:
        self._records.append(data)
        self._recorded += len(data)
        self._wake.set()

    async def wait(self) -> None:
        """Returns once all that was recorded is durable. Raises Unavailable."""
        if self.error is not None:
            raise self.error
        if self._records:
            waiters = self._waiters
        elif self._writing is not None:
            waiters = self._writing
        else:
            return
        future = self._loop.create_future()
        waiters.append(future)
        await future

    def fits(self, size: int) -> bool:
        return self._disk is None or self._recorded + size + 2 * frames.OVERHEAD <= self._disk.room

    async def make_room(self, size: int) -> None:
        """Returns once `size` bytes fit. Raises NoSpace, with nothing changed."""
        while not self.fits(size):
            if self.error is not None:
                raise self.error
            future = self._loop.create_future()
            self._room[future] = size
            self._wake.set()
            await future

    async def rotate(self) -> tuple[SnapshotFile, int]:
        """Ends the log after what was recorded. Returns the snapshot to fill with it, and the mark it stands at. An OSError
        leaves everything as it was."""
        if self.error is not None:
            raise self.error
        assert self._rotation is None, "one rotation at a time"
        self._rotation = self._loop.create_future()
        self._wake.set()
        try:
            return await self._rotation
        finally:
            self._rotation = None

    async def _run(self) -> None:
        try:
            await self._serve()
        except Exception as error:
            log.exception("the store stopped")
            self._fail(error)

    async def _serve(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            rotation = self._rotation
            if rotation is not None and rotation.done():
                rotation = None
            if self._records or self._room or rotation is not None:
                if self._disk is not None:
                    await self._turn()
                await self._commit(rotation)
                if self.error is not None:
                    return
            if self._closing and not self._records:
                return

    async def _turn(self) -> None:
        """Lets those go on whom the last group woke: what they write next goes with this one, or half of them would wait for
        the disk while the other half does."""
        turn = self._loop.create_future()
        self._loop.call_soon(turn.set_result, None)
        await turn

    async def _commit(self, rotation: asyncio.Future[tuple[SnapshotFile, int]] | None) -> None:
        payload, mark = b"".join(self._records), self._mark()
        self._records, self._writing, self._waiters = [], self._waiters, []
        wanting, self._room = self._room, {}
        done, begun_s = _Done(None, None), self._loop.time()
        try:
            if self._disk is not None:
                room = sum(wanting.values()) + (len(wanting) + 1) * frames.OVERHEAD
                done = await self._loop.run_in_executor(
                    self._executor, _work, self._disk, payload, room if wanting else 0, rotation is not None
                )
        except Exception as error:
            self._fail(error, wanting)
            return
        self._recorded -= len(payload)
        if payload:
            self.index += 1
            self.took.add(self._loop.time() - begun_s)
        waiters, self._writing = self._writing, None
        self._on_durable(mark)
        for future in waiters:
            if not future.done():
                future.set_result(None)
        for future in wanting:
            if not future.done():
                if done.room is not None:
                    future.set_exception(self._no_space(done.room))
                else:
                    future.set_result(None)
        if rotation is not None:
            _settle(rotation, done.rotation, mark)

    def _no_space(self, error: OSError) -> NoSpace:
        assert self._disk is not None
        return NoSpace(f"etcdserver: no space left on the disk of {self._disk.path}: {_reason(error)}; free some")

    def _fail(self, cause: Exception, wanting_room: Iterable[asyncio.Future[None]] = ()) -> None:
        """Whatever was not acknowledged never will be: what the disk holds of it shows when it is read again."""
        where = f"cannot write to {self._disk.path}" if self._disk is not None else "stopped"
        self.error = error = Unavailable(f"etcdserver: {where}: {_reason(cause)}; repair and restart")
        for future in (*(self._writing or ()), *self._waiters, *wanting_room, *self._room):
            if not future.done():
                future.set_exception(error)
        if self._rotation is not None and not self._rotation.done():
            self._rotation.set_exception(error)
        self._records, self._waiters, self._writing, self._room = [], [], None, {}
        self._on_failure(error)

    async def close(self) -> None:
        """Writes what is left."""
        self._closing = True
        self._wake.set()
        await self._task


def _work(disk: Disk, payload: bytes, room: int, rotate: bool) -> _Done:
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


def _settle(
    rotation: asyncio.Future[tuple[SnapshotFile, int]], outcome: SnapshotFile | OSError | None, mark: int
) -> None:
    if isinstance(outcome, SnapshotFile):
        if rotation.done():
            outcome.abandon()
        else:
            rotation.set_result((outcome, mark))
    elif not rotation.done():
        rotation.set_exception(outcome or OSError(errno.ENOTSUP, "there is no disk"))


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
