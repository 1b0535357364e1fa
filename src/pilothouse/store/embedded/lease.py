"""Leases: which there are, and when each ends. What they take with them is the engine's.

Ids, limits and messages are etcd's (server/lease/lessor.go). A time to live under `MIN_TTL_S` is raised to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from pilothouse.clock import Clock
from pilothouse.store.interface import InvalidRequest, LeaseExists, LeaseNotFound

MIN_TTL_S = 2
MAX_TTL_S = 9_000_000_000


@dataclass(slots=True)
class Lease:
    ttl_s: int
    ends: float  # by the clock's monotonic time
    shortened: bool = False  # what was left of it was written down, so a keep-alive must be, too


class Leases:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[int, Lease] = {}
        # A heap; the entry of a lease that was kept alive is put back when it is due.
        self._ends: list[tuple[float, int]] = []

    def __contains__(self, lease: object) -> bool:
        return lease in self._leases

    def __len__(self) -> int:
        return len(self._leases)

    def grant(self, ttl_s: int, lease: int) -> tuple[int, int]:
        """(id, time to live)"""
        if ttl_s > MAX_TTL_S:
            raise InvalidRequest("etcdserver: too large lease TTL")
        # An id that is not 64 bits has no place on disk.
        if not -(1 << 63) <= lease < 1 << 63:
            raise InvalidRequest("etcdserver: lease id is out of range")
        if lease in self._leases:
            raise LeaseExists
        while not lease or lease in self._leases:
            lease = self._clock.random.getrandbits(63)
        ttl_s = max(ttl_s, MIN_TTL_S)
        self.set(lease, ttl_s, ttl_s)
        return lease, ttl_s

    def set(self, lease: int, ttl_s: int, left_s: float) -> None:
        ends = self._clock.monotonic() + left_s
        self._leases[lease] = Lease(ttl_s, ends, left_s < ttl_s)
        heappush(self._ends, (ends, lease))

    def keep_alive(self, lease: int) -> tuple[int, bool]:
        """(time to live, whether that must be written down)"""
        found = self._leases.get(lease)
        if found is None:
            raise LeaseNotFound
        shortened, found.shortened = found.shortened, False
        found.ends = self._clock.monotonic() + found.ttl_s
        return found.ttl_s, shortened

    def checkpoint(self, long_s: float) -> list[tuple[int, int, float]]:
        """(id, time to live, seconds left) for writing down; a lease that is not longer than `long_s` begins anew instead."""
        now, found = self._clock.monotonic(), []
        for id_, lease in self._leases.items():
            lease.shortened = lease.ttl_s > long_s
            found.append((id_, lease.ttl_s, max(0.0, lease.ends - now) if lease.shortened else lease.ttl_s))
        return found

    def remove(self, lease: int) -> None:
        if self._leases.pop(lease, None) is None:
            raise LeaseNotFound
        if len(self._ends) > 2 * len(self._leases) + 64:
            self._ends = [(found.ends, id_) for id_, found in self._leases.items()]
            heapify(self._ends)

    def left(self, lease: int) -> tuple[int, float]:
        """(time to live, seconds left)"""
        found = self._leases.get(lease)
        if found is None:
            raise LeaseNotFound
        return found.ttl_s, max(0.0, found.ends - self._clock.monotonic())

    def ids(self) -> list[int]:
        return list(self._leases)

    def ended(self) -> int | None:
        """A lease whose time is over."""
        end = self.next_end()
        return self._ends[0][1] if end is not None and end <= self._clock.monotonic() else None

    def next_end(self) -> float | None:
        """When the first of them ends."""
        while self._ends:
            ends, lease = self._ends[0]
            found = self._leases.get(lease)
            if found is not None and found.ends == ends:
                return ends
            heappop(self._ends)
            if found is not None and found.ends > ends:
                heappush(self._ends, (found.ends, lease))
        return None
