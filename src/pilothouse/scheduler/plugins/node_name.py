"""NodeName: a pod that names its node runs nowhere else."""

from __future__ import annotations

from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason


class NodeName(Plugin):
    name = "NodeName"

    def judges(self, cycle: Cycle) -> bool:
        return bool(cycle.spec.get("nodeName"))

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        wanted = cycle.spec.get("nodeName")
        if wanted and wanted != node.name:
            return Reason("node(s) didn't match the requested node name", forever=True)
        return None
