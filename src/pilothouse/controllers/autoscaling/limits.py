"""How far and how fast an autoscaled size may change: least and most, policies, and recommendations of the recent past.

Source: upstream's pkg/controller/podautoscaler/horizontal.go (KEP-853) and the documentation's page on scaling behaviour.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pilothouse.api.objects import Obj

_REMEMBERED_MAX: Final = 4096


class Limited(NamedTuple):
    replicas: int
    able: tuple[str, str]  # reason and message of AbleToScale
    limited: tuple[bool, str, str]  # of ScalingLimited


_READY: Final = ("ReadyForNewScale", "recommended size matches current size")
_DOWN_STABLE: Final = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_UP_STABLE: Final = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_WITHIN: Final = (False, "DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY: Final = (True, "TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW: Final = (True, "TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_RATE: Final = "the desired replica count is increasing faster than the maximum scale rate"
_DOWN_RATE: Final = "the desired replica count is decreasing faster than the maximum scale rate"


@dataclass(slots=True)
class History:
    """What was recommended for one autoscaler, and how it was scaled: (time, number)."""

    recommendations: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_MAX))
    changes: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_MAX))

    def _recent(self, now_s: float, window_s: float) -> list[int]:
        return [n for at, n in self.recommendations if at >= now_s - window_s]

    def plain(self, now_s: float, current: int, wanted: int, least: int, most: int, window_s: float) -> Limited:
        """Without a behaviour: down no faster than the highest recommendation of the window, up at most to twice the size."""
        stable = max([wanted, *self._recent(now_s, window_s)])
        self.recommendations.append((now_s, wanted))
        able = _READY
        if stable != wanted:
            able = _DOWN_STABLE
        top = max(2 * current, 4)
        if stable < least:
            return Limited(least, able, _TOO_FEW)
        if stable > min(top, most):
            limited = (True, "ScaleUpLimit", _UP_RATE) if most > top else _TOO_MANY
            return Limited(min(top, most), able, limited)
        return Limited(stable, able, _WITHIN)

    def by_behavior(
        self, now_s: float, current: int, wanted: int, least: int, most: int, behavior: Obj, window_s: float
    ) -> Limited:
        """By the rules of `spec.behavior`."""
        up, down = behavior.get("scaleUp") or {}, behavior.get("scaleDown") or {}
        low = min([wanted, *self._recent(now_s, up.get("stabilizationWindowSeconds") or 0)])
        down_s = down.get("stabilizationWindowSeconds")
        high = max([wanted, *self._recent(now_s, window_s if down_s is None else down_s)])
        self.recommendations.append((now_s, wanted))
        stable = min(max(current, low), high)
        able = _READY
        if stable != wanted:
            able = _DOWN_STABLE if wanted < stable else _UP_STABLE
        if stable > current:
            top = max(current, self._bound(now_s, current, up, upwards=True))
            if stable > min(top, most):
                return Limited(min(top, most), able, (True, "ScaleUpLimit", _UP_RATE) if most > top else _TOO_MANY)
        elif stable < current:
            bottom = min(current, self._bound(now_s, current, down, upwards=False))
            if stable < max(bottom, least):
                limited = (True, "ScaleDownLimit", _DOWN_RATE) if least < bottom else _TOO_FEW
                return Limited(max(bottom, least), able, limited)
        return Limited(stable, able, _WITHIN)

    def _bound(self, now_s: float, current: int, rules: Obj, *, upwards: bool) -> int:
        """The size that the policies of one direction allow now."""
        select = rules.get("selectPolicy") or "Max"
        policies = rules.get("policies") or ()
        if select == "Disabled" or not policies:
            return current
        bounds: list[int] = []
        for policy in policies:
            changed = sum(n for at, n in self.changes if at >= now_s - policy["periodSeconds"])
            start = current - changed
            if policy["type"] == "Pods":
                bounds.append(start + policy["value"] if upwards else start - policy["value"])
            elif upwards:
                bounds.append(math.ceil(start * (1 + policy["value"] / 100)))
            else:
                bounds.append(int(start * (1 - policy["value"] / 100)))
        furthest_up = (select == "Max") is upwards
        return max(bounds) if furthest_up else min(bounds)
