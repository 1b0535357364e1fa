"""The space quota and the alarms, as etcd has them: once the quota was exceeded nothing that takes space is accepted until the
alarm is taken back, and while the data is known to be corrupt nothing is written.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from pilothouse.store.interface import Alarm, Corrupt, NoSpace

QUOTA_BYTES = 8 << 30  # what etcd suggests as the most
LEASE_COST = 64
_META = "alarms"
_NO_LIMIT = 1 << 62


class Quota:
    """`limit_bytes` of 0 or less sets none. `meta` holds the alarms.
    `below`: what is in use must stay below it for a request that need not be looked at further; 0 while there is an alarm."""

    def __init__(self, limit_bytes: int, meta: MutableMapping[str, bytes]) -> None:
        self._limit_bytes = limit_bytes if limit_bytes > 0 else _NO_LIMIT
        named = meta.get(_META, b"").decode().split()
        self._set(frozenset(alarm for alarm in _ALARMS if alarm in named))

    def _set(self, alarms: frozenset[Alarm]) -> None:
        self.alarms = alarms
        self.below = 0 if alarms else self._limit_bytes

    def check(self, in_use_bytes: int, cost: int) -> bool:
        """Whether `cost` bytes are to be had; False calls for the alarm. Raises NoSpace while there is one already."""
        if "NOSPACE" in self.alarms:
            raise NoSpace
        return in_use_bytes + cost < self._limit_bytes

    def check_sound(self) -> None:
        """Before anything is written. Raises Corrupt."""
        if "CORRUPT" in self.alarms:
            raise Corrupt("etcdserver: corrupt cluster")

    def set(self, alarm: Alarm, active: bool) -> tuple[str, bytes]:
        """Name and value of the fact to write down."""
        self._set(self.alarms | {alarm} if active else self.alarms - {alarm})
        return _META, " ".join(sorted(self.alarms)).encode()


_ALARMS: tuple[Alarm, ...] = ("NOSPACE", "CORRUPT")
