"""`Counts`: what the services did since the start, for metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pilothouse.clock import Clock
from pilothouse.store.durations import Durations
from pilothouse.store.interface import Put, Range, Txn, TxnResult

_HASH_BOUNDS: Final = tuple(0.01 * 2**n for n in range(15))
_DEFRAG_BOUNDS: Final = tuple(0.1 * 2**n for n in range(13))
_SNAPSHOT_BOUNDS: Final = tuple(0.01 * 2**n for n in range(17))
_TTL_BOUNDS: Final = tuple(float(2**n) for n in range(24))


@dataclass(slots=True)
class Counts:
    ranges: int = 0
    puts: int = 0
    put_bytes: int = 0
    deletes: int = 0
    txns: int = 0  # of more than one operation
    events: int = 0
    granted: int = 0
    renewed: int = 0
    revoked: int = 0
    healthy: int = 0
    unhealthy: int = 0
    defragmenting: int = 0
    ttls: Durations = field(default_factory=lambda: Durations(_TTL_BOUNDS))
    hashes: Durations = field(default_factory=lambda: Durations(_HASH_BOUNDS))
    hashes_of_revisions: Durations = field(default_factory=lambda: Durations(_HASH_BOUNDS))
    defragmentations: Durations = field(default_factory=lambda: Durations(_DEFRAG_BOUNDS))
    snapshots: Durations = field(default_factory=lambda: Durations(_SNAPSHOT_BOUNDS))

    def transaction(self, request: Txn, result: TxnResult) -> int:
        """Returns how many operations were carried out."""
        done = 0
        for op, response in zip(
            request.success if result.succeeded else request.failure, result.responses, strict=True
        ):
            if isinstance(op, Txn):
                assert isinstance(response, TxnResult)
                done += self.transaction(op, response)
                continue
            done += 1
            if isinstance(op, Put):
                self.puts += 1
                self.put_bytes += len(op.key) + len(op.value)
            elif isinstance(op, Range):
                self.ranges += 1
            else:
                self.deletes += 1
        return done


@contextmanager
def timed(durations: Durations, clock: Clock) -> Iterator[None]:
    begun_s = clock.monotonic()
    yield
    durations.add(clock.monotonic() - begun_s)
