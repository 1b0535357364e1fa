"""Node ports: which of the range are taken is known from the Services themselves, and kept as they come and go.

Source: upstream's pkg/registry/core/service/portallocator; KEP-3668 for the lower band, left to those who ask for a port.
"""

from __future__ import annotations

from pilothouse.api.codec.restore import wrapped
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import Objects
from pilothouse.clock import Clock

_DRY_RUN_FIRST = 32769  # what upstream answers a dry run with


class PortFailed(Exception):
    """str() is upstream's reason."""


def ports_of(service: Obj) -> set[int]:
    """All node ports that the service holds."""
    spec = service.get("spec") or {}
    found = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        found.add(spec["healthCheckNodePort"])
    return found


class Ports:
    def __init__(self, first: int, last: int, objects: Objects, clock: Clock) -> None:
        self._first, self._last = first, last
        self._objects, self._clock = objects, clock
        self._known: set[int] | None = None

    @property
    def taken(self) -> set[int]:
        if self._known is None:
            self._known = set()
            for service in self._objects.list("", "services"):
                self._known |= ports_of(service)
        return self._known

    def allocate(self, port: int) -> None:
        """Raises PortFailed."""
        if not self._first <= port <= self._last:
            valid = f"{self._first}-{self._last}"
            raise PortFailed(f"provided port is not in the valid range. The range of valid ports is {valid}")
        if port in self.taken:
            raise PortFailed("provided port is already allocated")
        self.taken.add(port)

    def allocate_next(self) -> int:
        """A free port of the upper band by chance, else one of the lower band. Raises PortFailed."""
        size = self._last - self._first + 1
        band = self._first + (min(max(16, size // 32), 128) if size > 16 else 0)
        for low, high in ((band, self._last), (self._first, band - 1)):
            count = high - low + 1
            start = self._clock.random.randrange(count) if count > 0 else 0
            for i in range(count):
                port = low + (start + i) % count
                if port not in self.taken:
                    self.taken.add(port)
                    return port
        raise PortFailed("range is full")

    def release(self, port: int) -> None:
        self.taken.discard(port)


class Operation:
    """The ports of one write: given back where it fails, and those it no longer needs once it is done."""

    def __init__(self, ports: Ports, dry_run: bool) -> None:
        self._ports, self._dry_run = ports, dry_run
        self._allocated: list[int] = []
        self._released: list[int] = []

    def allocate(self, port: int) -> None:
        if not self._dry_run:
            self._ports.allocate(port)
        elif port in self._ports.taken or port in self._allocated:
            raise PortFailed("provided port is already allocated")
        self._allocated.append(port)

    def allocate_next(self) -> int:
        if self._dry_run:  # upstream counts on from whatever was asked for, in 32 bits
            last = max(0, *self._allocated) if self._allocated else _DRY_RUN_FIRST - 1
            port = wrapped(last + 1, 32)
        else:
            port = self._ports.allocate_next()
        self._allocated.append(port)
        return port

    def release(self, port: int) -> None:
        """Once the write is done."""
        self._released.append(port)

    def commit(self) -> None:
        if not self._dry_run:
            for port in self._released:
                self._ports.release(port)

    def revert(self) -> None:
        if not self._dry_run:
            for port in self._allocated:
                self._ports.release(port)
