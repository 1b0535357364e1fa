"""NodeResourcesFit and NodeResourcesBalancedAllocation: what a pod requests must be there; emptier and evener nodes first.

Source: upstream's plugins/noderesources (fit, least_allocated, balanced_allocation).
"""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import SCORE_MAX, Cycle, Plugin, Reason


class Fit(Plugin):
    name = "NodeResourcesFit"
    weight = 1

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        lacking = []
        forever = False
        if len(node.pods) + 1 > node.allocatable.get("pods", 0):
            lacking.append("Too many pods")
        for name, amount in cycle.info.requests.items():
            if not amount:
                continue
            total = node.allocatable.get(name, 0)
            if amount > total - node.requested.get(name, 0):
                lacking.append(f"Insufficient {name}")
                forever = forever or amount > total
        return Reason("\n".join(lacking), forever) if lacking else None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        """The share that is left, mean of cpu and memory."""
        return [self._left(cycle, node) for node in nodes]

    def _left(self, cycle: Cycle, node: NodeInfo) -> float:
        found, weights = 0, 0
        for name in ("cpu", "memory"):
            total = node.allocatable.get(name, 0)
            if not total:
                continue
            used = node.nonzero[name] + cycle.info.nonzero[name]
            found += 0 if used > total else (total - used) * SCORE_MAX // total
            weights += 1
        return float(found // weights) if weights else 0.0


class BalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def ranks(self, cycle: Cycle) -> bool:
        return bool(cycle.info.requests.get("cpu") or cycle.info.requests.get("memory"))  # not for best effort

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        found = []
        for node in nodes:
            shares = [
                min(1.0, (node.requested.get(n, 0) + cycle.info.requests.get(n, 0)) / node.allocatable[n])
                for n in ("cpu", "memory")
                if node.allocatable.get(n)
            ]
            deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
            found.append(float(int((1 - deviation) * SCORE_MAX)))
        return found
