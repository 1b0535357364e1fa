"""NodeAffinity: node selectors and affinities, required and preferred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason, normalized
from pilothouse.scheduler.matching import node_selected, term_fits

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def _preferred(cycle: Cycle) -> list[Obj]:
    affinity = (cycle.spec.get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    weight = 2

    def judges(self, cycle: Cycle) -> bool:
        affinity = (cycle.spec.get("affinity") or {}).get("nodeAffinity") or {}
        return bool(cycle.spec.get("nodeSelector")) or affinity.get(_REQUIRED) is not None

    def ranks(self, cycle: Cycle) -> bool:
        return bool(_preferred(cycle))

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        assert node.node is not None
        if not node_selected(cycle.spec, node.node):
            return Reason("node(s) didn't match Pod's node affinity/selector", forever=True)
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        preferred = _preferred(cycle)
        sums = []
        for node in nodes:
            assert node.node is not None
            fits = [p.get("weight") or 0 for p in preferred if term_fits(p.get("preference") or {}, node.node)]
            sums.append(float(sum(fits)))
        return normalized(sums)
