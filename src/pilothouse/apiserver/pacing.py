"""`Pace`: how long work may go on in one turn of the loop."""

from __future__ import annotations

from typing import Final

from pilothouse.clock import Clock

_MOST_S: Final = 0.002


class Pace:
    """A turn's worth of time, from now on. `await rest()` between the pieces of a long work, a tenth of a millisecond each or
    longer: others have their turn as soon as this one was long enough."""

    __slots__ = ("_clock", "_until_s")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        self._until_s = self._clock.monotonic() + _MOST_S

    def due(self) -> bool:
        return self._clock.monotonic() >= self._until_s

    async def rest(self) -> None:
        if self._clock.monotonic() >= self._until_s:
            await self._clock.sleep(0)
            self.begin()
