"""Compacts the store, so that history does not grow for ever: what is older than an interval goes, once an interval.

Several API servers on one store take turns: whoever finds `compact_rev_key` at the version that it knows raises it and
compacts; the others learn the version, and the revision from which the next interval counts. Upstream's servers take part.
Source: upstream's k8s.io/apiserver/pkg/storage/etcd3/compact.go (--etcd-compaction-interval).
"""

from __future__ import annotations

import logging

from pilothouse.clock import Clock
from pilothouse.store.interface import Compacted, Compare, Put, Range, RangeResult, Store, StoreError, Txn

log = logging.getLogger(__name__)

KEY = b"compact_rev_key"


class Compactor:
    def __init__(self, store: Store, clock: Clock, interval_s: float) -> None:
        self._store, self._clock, self._interval_s = store, clock, interval_s
        self._version = 0  # of the key, as this server knows it
        self._revision = 0  # the store's, one interval ago

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            try:
                await self.turn()
            except StoreError as error:
                log.error("the store could not be compacted: %s", error)

    async def turn(self) -> None:
        """One interval's end."""
        result = await self._store.txn(
            Txn([Compare(KEY, "version", "=", self._version)], [Put(KEY, b"%d" % self._revision)], [Range(KEY)])
        )
        before, self._revision = self._revision, result.revision
        if not result.succeeded:
            found = result.responses[0]
            assert isinstance(found, RangeResult)
            self._version = found.kvs[0].version if found.kvs else 0
            return
        self._version += 1
        if before:
            try:
                await self._store.compact(before)
            except Compacted:  # somebody else went further
                return
