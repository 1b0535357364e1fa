"""The space quota and the alarms, as etcd has them: once the quota was exceeded nothing that takes space is accepted until the
alarm is taken back, and while the data is known to be corrupt nothing is served.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from pilothouse.store.interface import Alarm, NoSpace, StoreError

QUOTA_BYTES = 8 << 30  # what etcd suggests as the most
LEASE_COST = 64
_META = "alarms"


class CorruptAlarm(StoreError):
    def __init__(self) -> None:
        super().__init__("etcdserver: corrupt cluster")


class Quota:
    """`limit_bytes` of 0 or less sets none. `meta` holds the alarms."""

    def __init__(self, limit_bytes: int, meta: MutableMapping[str, bytes]) -> None:
        self.limit_bytes = limit_bytes
        self.alarms: frozenset[Alarm] = frozenset()
        named = meta.get(_META, b"").decode().split()
        for alarm in _ALARMS:
            if alarm in named:
                self.alarms |= {alarm}

    def check(self, in_use_bytes: int, cost: int) -> bool:
        """Whether `cost` bytes are to be had; False calls for the alarm. Raises NoSpace while there is one already."""
        if "NOSPACE" in self.alarms:
            raise NoSpace
        return self.limit_bytes <= 0 or in_use_bytes + cost < self.limit_bytes

    def has(self, in_use_bytes: int, cost: int) -> bool:
        """The same where there is no alarm; False otherwise."""
        return not self.alarms and (self.limit_bytes <= 0 or in_use_bytes + cost < self.limit_bytes)

    def check_served(self) -> None:
        if "CORRUPT" in self.alarms:
            raise CorruptAlarm

    def set(self, alarm: Alarm, active: bool) -> tuple[str, bytes]:
        """Name and value of the fact to write down."""
        self.alarms = self.alarms | {alarm} if active else self.alarms - {alarm}
        return _META, " ".join(sorted(self.alarms)).encode()


_ALARMS: tuple[Alarm, ...] = ("NOSPACE", "CORRUPT")
