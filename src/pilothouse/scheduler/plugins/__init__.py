"""The plugins of the default profile, in upstream's order. A new one is one file and one line here."""

from __future__ import annotations

from pilothouse.scheduler.framework import Plugin
from pilothouse.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from pilothouse.scheduler.plugins.node_affinity import NodeAffinity
from pilothouse.scheduler.plugins.node_name import NodeName
from pilothouse.scheduler.plugins.node_ports import NodePorts
from pilothouse.scheduler.plugins.node_resources import BalancedAllocation, Fit
from pilothouse.scheduler.plugins.node_unschedulable import NodeUnschedulable
from pilothouse.scheduler.plugins.pod_topology_spread import PodTopologySpread
from pilothouse.scheduler.plugins.taint_toleration import TaintToleration
from pilothouse.scheduler.plugins.volume_binding import VolumeBinding


def default() -> tuple[Plugin, ...]:
    return (
        NodeUnschedulable(), NodeName(), TaintToleration(), NodeAffinity(), NodePorts(), Fit(), VolumeBinding(),
        PodTopologySpread(), InterPodAffinity(), BalancedAllocation(),
    )  # fmt: skip
