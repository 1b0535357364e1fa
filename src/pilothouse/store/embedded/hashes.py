"""What was held before a compaction, hashed: etcd computes it while it compacts, and answers HashKV of that revision with it
from then on. Source: etcd's server/storage/mvcc/hash.go and kvstore_compaction.go.
"""

from __future__ import annotations

from typing import Final

from pilothouse.clock import Clock
from pilothouse.store.embedded.export import hash_versions
from pilothouse.store.embedded.state import State
from pilothouse.store.interface import KeysHash

_KEPT: Final = 10  # the newest; in memory alone, as etcd's


class CompactionHashes:
    def __init__(self, state: State, clock: Clock, *, wanted: bool) -> None:
        self._state, self._clock, self._wanted = state, clock, wanted
        self._due: list[tuple[int, int, int]] = []  # compacted before, compacted at, pinned
        self._known: dict[int, KeysHash] = {}

    def due(self, before: int, revision: int) -> None:
        """A compaction at `revision` begins, after one at `before`. What it needs stays until `compute`."""
        if self._wanted:
            pinned = self._state.floor - 1
            self._state.pin(pinned)
            self._due.append((before, revision, pinned))

    async def compute(self) -> None:
        while self._due:
            before, revision, pinned = self._due.pop(0)
            try:
                found = await hash_versions(self._state, revision, before, self._clock, compacting=True)
            finally:
                self._state.unpin(pinned)
            self._known[revision] = KeysHash(found, revision, before)
            if len(self._known) > _KEPT:
                del self._known[min(self._known)]

    def get(self, revision: int) -> KeysHash | None:
        return self._known.get(revision)
