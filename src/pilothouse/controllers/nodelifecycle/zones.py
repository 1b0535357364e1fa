"""How fast the nodes of a zone may be tainted for eviction: slower where many of them fail at once, for then it is rather the
network, and not at all where all of them do.

Source: upstream's pkg/controller/nodelifecycle (ComputeZoneState, handleDisruption) and its rate limited queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pilothouse.api.objects import Obj

INITIAL: Final = "Initial"
NORMAL: Final = "Normal"
PARTIAL: Final = "PartialDisruption"
FULL: Final = "FullDisruption"

_REGION: Final = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE: Final = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


def zone_of(node: Obj) -> str:
    labels = node["metadata"].get("labels") or {}
    region = labels.get(_REGION[0]) or labels.get(_REGION[1]) or ""
    zone = labels.get(_ZONE[0]) or labels.get(_ZONE[1]) or ""
    return f"{region}:\0:{zone}" if region or zone else ""


def state_of(ready: Iterable[bool], unhealthy_share: float) -> str:
    """The state of a zone whose nodes are ready, or not."""
    flags = list(ready)
    bad = flags.count(False)
    if bad and bad == len(flags):
        return FULL
    return PARTIAL if bad > 2 and bad / len(flags) >= unhealthy_share else NORMAL


@dataclass(slots=True)
class Zone:
    """A zone, and its nodes that wait to be tainted: one at once, the others at the zone's rate."""

    rate: float  # nodes a second
    state: str = INITIAL
    waiting: dict[str, str] = field(default_factory=dict)  # node → uid, in the order of arrival
    _tokens: float = 1.0
    _filled_at_s: float = 0.0

    def set_rate(self, rate: float, now_s: float) -> None:
        """A new rate; what was saved up of the old one is lost with it where it is 0."""
        if rate != self.rate:
            self._fill(now_s)
            self.rate = rate

    def add(self, name: str, uid: str) -> None:
        self.waiting.setdefault(name, uid)

    def remove(self, name: str) -> None:
        self.waiting.pop(name, None)

    def take(self, now_s: float) -> str | None:
        """The next node to taint, where the rate allows one now."""
        if not self.waiting or self.rate <= 0:
            return None
        self._fill(now_s)
        if self._tokens < 1.0 - 1e-9:
            return None
        self._tokens -= 1.0
        name = next(iter(self.waiting))
        del self.waiting[name]
        return name

    def _fill(self, now_s: float) -> None:
        self._tokens = min(1.0, self._tokens + max(0.0, now_s - self._filled_at_s) * self.rate)
        self._filled_at_s = now_s
