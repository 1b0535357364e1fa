"""NodeUnschedulable: a cordoned node takes pods only that tolerate it."""

from __future__ import annotations

from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason
from pilothouse.scheduler.matching import tolerated

_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        assert node.node is not None
        if node.node["spec"].get("unschedulable") and not tolerated(_TAINT, cycle.spec.get("tolerations") or ()):
            return Reason("node(s) were unschedulable", forever=True)
        return None
