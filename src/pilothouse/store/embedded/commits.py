"""Group commit: what all writers of one moment recorded goes to disk in one write, on a thread, while the next gather."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pilothouse.store.embedded.disk import Disk, SnapshotFile
from pilothouse.store.interface import StoreError, Unavailable

Waiters = list[asyncio.Future[None]]


class Commits:
    """`record` in order, then `wait` until it is durable.

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
        self._waiters: Waiters = []
        self._writing: Waiters | None = None
        self._rotation: asyncio.Future[tuple[SnapshotFile, int]] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self.error: StoreError | None = None
        self._task = asyncio.create_task(self._run(), name="store commits")

    def record(self, data: bytes) -> None:
        self._records.append(data)
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

    async def rotate(self) -> tuple[SnapshotFile, int]:
        """Ends the log after what was recorded. Returns the snapshot to fill with it, and the mark it stands at."""
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
        while True:
            await self._wake.wait()
            self._wake.clear()
            rotation = self._rotation
            if rotation is not None and rotation.done():
                rotation = None
            if self._records or rotation is not None:
                await self._commit(rotation)
                if self.error is not None:
                    return
            if self._closing and not self._records:
                return

    async def _commit(self, rotation: asyncio.Future[tuple[SnapshotFile, int]] | None) -> None:
        payload, mark = b"".join(self._records), self._mark()
        self._records, self._writing, self._waiters = [], self._waiters, []
        try:
            snapshot = None
            if self._disk is not None:
                write = partial(_write, self._disk, payload, rotation is not None)
                snapshot = await self._loop.run_in_executor(self._executor, write)
        except Exception as error:
            path = self._disk.path if self._disk is not None else None
            self.fail(Unavailable(f"etcdserver: cannot write to {path}: {_reason(error)}; repair and restart"))
            if rotation is not None and not rotation.done():
                rotation.set_exception(self.error or error)
            return
        waiters, self._writing = self._writing, None
        self._on_durable(mark)
        for future in waiters:
            if not future.done():
                future.set_result(None)
        if rotation is not None and snapshot is not None:
            if rotation.done():
                snapshot.abandon()
            else:
                rotation.set_result((snapshot, mark))

    def fail(self, error: StoreError) -> None:
        """Whatever was not acknowledged never will be."""
        if self.error is not None:
            return
        self.error = error
        for future in (*(self._writing or ()), *self._waiters):
            if not future.done():
                future.set_exception(error)
        self._records, self._waiters, self._writing = [], [], None
        self._on_failure(error)

    async def close(self) -> None:
        """Writes what is left."""
        self._closing = True
        self._wake.set()
        await self._task


def _write(disk: Disk, payload: bytes, rotate: bool) -> SnapshotFile | None:
    if payload:
        disk.append(payload)
    return disk.rotate() if rotate else None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
