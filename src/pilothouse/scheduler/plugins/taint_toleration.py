"""TaintToleration: hard taints keep pods away that do not tolerate them, soft ones make a node less wanted."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason, normalized
from pilothouse.scheduler.matching import tolerated


class TaintToleration(Plugin):
    name = "TaintToleration"
    weight = 3

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        tolerations = cycle.spec.get("tolerations") or ()
        for taint in node.taints:
            if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerated(taint, tolerations):
                return Reason("node(s) had untolerated taint(s)", forever=True)
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        soft = [t for t in cycle.spec.get("tolerations") or () if t.get("effect") in (None, "", "PreferNoSchedule")]
        counts = [
            float(sum(t.get("effect") == "PreferNoSchedule" and not tolerated(t, soft) for t in n.taints))
            for n in nodes
        ]
        return normalized(counts, reverse=True)
