"""`Freeing`: gives back memory and disk in the background, in slices: what compaction made unreadable is forgotten, and where the
disk holds much more than is left, a snapshot takes the place of the logs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pilothouse.clock import Clock
from pilothouse.store.embedded import records
from pilothouse.store.embedded.commits import Commits
from pilothouse.store.embedded.disk import Disk
from pilothouse.store.embedded.hashes import CompactionHashes
from pilothouse.store.embedded.snapshot import slices
from pilothouse.store.embedded.state import State
from pilothouse.store.interface import StoreError

log = logging.getLogger(__name__)

_SLICE: Final = 2_000  # events that are forgotten in one go, about a millisecond's worth
_GARBAGE_BYTES: Final = 4 << 20  # less is not worth a snapshot


class Freeing:
    """`facts` are the records of what there is beside the keys. `snapshot_every`: revisions after which a snapshot is made
    whatever the disk holds; 0 for never."""

    def __init__(
        self,
        state: State,
        commits: Commits,
        disk: Disk | None,
        hashes: CompactionHashes,
        clock: Clock,
        facts: Callable[[], bytes],
        snapshot_every: int,
    ) -> None:
        self._state, self._commits, self._disk, self._hashes, self._clock = state, commits, disk, hashes, clock
        self._facts = facts
        self._snapshot_every, self._snapshot_at = snapshot_every, state.applied
        self._task: asyncio.Task[None] | None = None
        self._again = self._snapshot_wanted = self._stopped = False

    @property
    def disk_bytes(self) -> int:
        return self._disk.snapshot_bytes + self._disk.log_bytes if self._disk is not None else self._state.size

    def begin(self, *, snapshot: bool = False) -> None:
        """`snapshot`: in any case."""
        self._again = True
        self._snapshot_wanted = self._snapshot_wanted or snapshot
        if not self._stopped and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="store compaction")

    def written(self, durable: int) -> None:
        """Revision `durable` was reached."""
        if 0 < self._snapshot_every <= durable - self._snapshot_at and not self._snapshot_wanted:
            self._snapshot_at = durable
            self.begin(snapshot=True)

    async def finished(self) -> None:
        """Returns once all that was begun is done."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def stop(self) -> None:
        """Leaves what is begun where it is; `finished` returns soon."""
        self._stopped = True

    async def _run(self) -> None:
        try:
            while self._again and not self._stopped:
                self._again = False
                await self._hashes.compute()
                while self._state.prunable:
                    self._state.prune(_SLICE)
                    await self._clock.sleep(0)
                wanted, self._snapshot_wanted = self._snapshot_wanted, False
                if wanted or self.disk_bytes > 2 * self._state.size + _GARBAGE_BYTES:
                    await self._snapshot()
        except StoreError as error:
            log.warning("compaction gave up: %s", error)
        except OSError as error:
            log.warning("no snapshot could be written: %s", error)

    async def _snapshot(self) -> None:
        """Replaces the logs so far. Nothing is pruned while it is written."""
        if self._disk is None:
            return
        oldest = self._state.floor - 1
        self._state.pin(oldest)
        try:
            file, last = await self._commits.rotate()
            loop = asyncio.get_running_loop()
            try:
                async for payload in slices(self._state, last, self._clock):
                    if self._stopped:
                        return
                    await loop.run_in_executor(None, file.add, payload)
                # The facts may be newer than the snapshot: the log that follows says the same again.
                await loop.run_in_executor(None, file.add, self._facts() + records.encode_end(last))
                await loop.run_in_executor(None, file.finish)
            finally:
                file.abandon()
        finally:
            self._state.unpin(oldest)
