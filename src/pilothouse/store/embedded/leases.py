"""Leases: keys that go when nobody renews them.

Source of the semantics: etcd's server/lease (`lessor`). After a restart every lease has its whole time again, as in etcd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pilothouse.clock import Clock
from pilothouse.store.interface import LeaseExists, LeaseNotFound

_ID_MAX = (1 << 63) - 1


@dataclass(slots=True)
class Lease:
    identity: int
    ttl_s: int
    expires_s: float
    keys: set[bytes] = field(default_factory=set)


class Leases:
    """`expired(id)` is called when a lease's time is over."""

    def __init__(self, clock: Clock, expired: Callable[[int], None]) -> None:
        self._clock, self._expired = clock, expired
        self._leases: dict[int, Lease] = {}

    def __contains__(self, identity: int) -> bool:
        return identity in self._leases

    def get(self, identity: int) -> Lease:
        found = self._leases.get(identity)
        if found is None:
            raise LeaseNotFound
        return found

    def grant(self, ttl_s: int, identity: int = 0) -> Lease:
        """Raises LeaseExists."""
        if identity in self._leases:
            raise LeaseExists
        while not identity or identity in self._leases:
            identity = self._clock.random.randint(1, _ID_MAX)
        lease = self._leases[identity] = Lease(identity, ttl_s, self._clock.monotonic() + ttl_s)
        self._clock.call_later(ttl_s, self._look, identity)
        return lease

    def renew(self, identity: int) -> int:
        lease = self.get(identity)
        lease.expires_s = self._clock.monotonic() + lease.ttl_s
        return lease.ttl_s

    def drop(self, identity: int) -> Lease:
        lease = self.get(identity)
        del self._leases[identity]
        return lease

    def attach(self, key: bytes, identity: int, before: int) -> None:
        """`key` now has that lease (0: none), and had the one before."""
        if before and before in self._leases:
            self._leases[before].keys.discard(key)
        if identity:
            self._leases[identity].keys.add(key)

    def _look(self, identity: int) -> None:
        lease = self._leases.get(identity)
        if lease is None:
            return
        left_s = lease.expires_s - self._clock.monotonic()
        if left_s > 0:
            self._clock.call_later(left_s, self._look, identity)
        else:
            self._expired(identity)
