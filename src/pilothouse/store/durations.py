"""`Durations`: how long something took, counted into etcd's buckets (1 ms, doubled 13 times), for its metrics."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS_S: Final = tuple(0.001 * 2**n for n in range(14))


class Durations:
    """`counts[i]` of those up to BOUNDS_S[i] and above the one before; the last of all above."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds
