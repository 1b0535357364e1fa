"""The framework: what a plugin is, and one pod's way through them.

Source: upstream's pkg/scheduler/framework and documentation "Scheduling Framework". A plugin's `prepare` looks at the whole
cluster once; `filter` then judges node by node, and `score` ranks the nodes that are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from pilothouse.api.objects import Obj
from pilothouse.client import Informers
from pilothouse.scheduler.cache import Cache, NodeInfo, PodInfo

SCORE_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node does not fit. `forever`: evicting pods would not help."""

    text: str
    forever: bool = False


class Unschedulable(Exception):
    """No node at all can take the pod, whatever else is in the cluster: a `prepare` found out."""


class View(Protocol):
    """What plugins may look at beside the nodes."""

    nodes: dict[str, NodeInfo]
    informers: Informers


@dataclass(slots=True)
class Cycle:
    """One pod's attempt: what plugins keep from `prepare` to `score`."""

    info: PodInfo
    cache: Cache
    informers: Informers
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def pod(self) -> Obj:
        return self.info.pod

    @property
    def spec(self) -> Obj:
        found: Obj = self.info.pod["spec"]
        return found


class Plugin:
    """One rule. Without state of its own between pods."""

    name: ClassVar[str]
    weight: ClassVar[int] = 0  # of its score; 0: it has none

    def prepare(self, cycle: Cycle) -> None:
        """Before the nodes are looked at. Raises Unschedulable."""

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        """Why the pod cannot run there; None: it can."""
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        """0 to 100 for each node, the best highest."""
        return [0.0] * len(nodes)


def normalized(values: Sequence[float], *, reverse: bool = False) -> list[float]:
    """Scaled so that the greatest is 100 (upstream's DefaultNormalizeScore)."""
    most = max(values, default=0)
    if most == 0:
        return [float(SCORE_MAX) if reverse else 0.0] * len(values)
    scaled = [float(int(SCORE_MAX * v / most)) for v in values]
    return [SCORE_MAX - v for v in scaled] if reverse else scaled


@dataclass(slots=True)
class Outcome:
    """Of one pod's attempt: the node, or why there is none."""

    node: NodeInfo | None = None
    reasons: dict[str, Reason] = field(default_factory=dict)  # by node
    message: str = ""


def find(plugins: Sequence[Plugin], cycle: Cycle, tie: Any, nominated: str = "") -> Outcome:
    """The best node, or each node's first reason. `tie`: picks among equals."""
    nodes = cycle.cache.nodes
    if not nodes:
        return Outcome(message="no nodes available to schedule pods")
    try:
        for plugin in plugins:
            plugin.prepare(cycle)
    except Unschedulable as error:
        return Outcome(message=f"0/{len(nodes)} nodes are available: {error}.", reasons={})
    reasons: dict[str, Reason] = {}
    feasible: list[NodeInfo] = []
    if nominated in nodes and judge(plugins, cycle, nodes[nominated]) is None:
        return Outcome(nodes[nominated])
    for node in nodes.values():
        reason = judge(plugins, cycle, node)
        if reason is None:
            feasible.append(node)
        else:
            reasons[node.name] = reason
    if not feasible:
        return Outcome(reasons=reasons, message=f"0/{len(nodes)} nodes are available: {summary(reasons)}.")
    if len(feasible) == 1:
        return Outcome(feasible[0], reasons)
    totals = [0.0] * len(feasible)
    for plugin in plugins:
        if plugin.weight:
            for i, score in enumerate(plugin.score(cycle, feasible)):
                totals[i] += plugin.weight * score
    best = max(totals)
    return Outcome(tie.choice([n for n, t in zip(feasible, totals, strict=True) if t == best]), reasons)


def judge(plugins: Sequence[Plugin], cycle: Cycle, node: NodeInfo) -> Reason | None:
    for plugin in plugins:
        reason = plugin.filter(cycle, node)
        if reason is not None:
            return reason
    return None


def summary(reasons: dict[str, Reason]) -> str:
    """`1 Insufficient cpu, 2 node(s) had untolerated taint(s)`, as upstream's FitError sorts it."""
    counted = Counter(text for r in reasons.values() for text in r.text.split("\n"))
    return ", ".join(sorted(f"{count} {text}" for text, count in counted.items()))
