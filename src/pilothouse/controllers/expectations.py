"""Expectations: what a controller has asked for and not yet seen in its cache, so that it does not ask twice.

Source: upstream's UIDTrackingControllerExpectations. A key is ready for more work when all that it expects has been seen,
or when five minutes have passed (an event may never come).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pilothouse.clock import Clock

_LIFE_S: Final = 300.0


@dataclass(slots=True)
class _Expected:
    since_s: float
    additions: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, _Expected] = {}

    def satisfied(self, key: str) -> bool:
        """Nothing more is to be seen before the key is worked on."""
        expected = self._of.get(key)
        if expected is None or (expected.additions <= 0 and not expected.deletions):
            return True
        return self._clock.monotonic() - expected.since_s > _LIFE_S

    def expect(self, key: str, additions: int = 0, deletions: Iterable[str] = ()) -> None:
        """Replaces what the key expects. `deletions` are names of what has been or will be deleted."""
        self._of[key] = _Expected(self._clock.monotonic(), additions, set(deletions))

    def created(self, key: str, count: int = 1) -> None:
        """So many additions were seen, or will not come."""
        expected = self._of.get(key)
        if expected is not None:
            expected.additions -= count

    def deleted(self, key: str, name: str) -> None:
        expected = self._of.get(key)
        if expected is not None:
            expected.deletions.discard(name)

    def forget(self, key: str) -> None:
        self._of.pop(key, None)
