"""NodeAffinity: node selectors and affinities, required and preferred."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason, normalized
from pilothouse.scheduler.matching import node_selected, term_fits


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    weight = 2

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        assert node.node is not None
        if not node_selected(cycle.spec, node.node):
            return Reason("node(s) didn't match Pod's node affinity/selector", forever=True)
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        affinity = (cycle.spec.get("affinity") or {}).get("nodeAffinity") or {}
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        if not preferred:
            return [0.0] * len(nodes)
        sums = []
        for node in nodes:
            assert node.node is not None
            fits = [p.get("weight") or 0 for p in preferred if term_fits(p.get("preference") or {}, node.node)]
            sums.append(float(sum(fits)))
        return normalized(sums)
