"""The framework: what a plugin is, and one pod's way through them.

Source: upstream's pkg/scheduler/framework and documentation "Scheduling Framework". A plugin's `prepare` looks at the whole
cluster once; `filter` then judges node by node, and `score` ranks the nodes that are left. Where a pod asks for nothing that a
plugin is about, it is not asked (upstream's Skip); of many nodes only so many are judged as make a good choice likely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, ClassVar, Final, Protocol

from pilothouse.api.objects import Obj
from pilothouse.client import Informers
from pilothouse.scheduler.cache import Cache, NodeInfo, PodInfo

SCORE_MAX: Final = 100
ENOUGH_MIN: Final = 100  # feasible nodes: with so many the search may end


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

    def judges(self, cycle: Cycle) -> bool:
        """Once prepared: its filter may refuse this pod a node."""
        return type(self).filter is not Plugin.filter

    def ranks(self, cycle: Cycle) -> bool:
        """Once prepared: its scores may differ for this pod."""
        return self.weight > 0

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
    examined: int = 0  # nodes


def prepare(plugins: Sequence[Plugin], cycle: Cycle) -> list[Plugin]:
    """Lets all look around; those that have nodes to judge for this pod. Raises Unschedulable."""
    for plugin in plugins:
        plugin.prepare(cycle)
    return [plugin for plugin in plugins if plugin.judges(cycle)]


def enough(nodes: int) -> int:
    """How many feasible nodes end the search (upstream's numFeasibleNodesToFind): 50 % of 100 falling to 5 % of 5,625."""
    if nodes < ENOUGH_MIN:
        return nodes
    return max(nodes * max(50 - nodes // 125, 5) // 100, ENOUGH_MIN)


def find(plugins: Sequence[Plugin], cycle: Cycle, tie: Any, nominated: str = "", start: int = 0) -> Outcome:
    """The best of the nodes from the `start`-th on, or each node's first reason. `tie`: picks among equals."""
    nodes = cycle.cache.in_order()
    if not nodes:
        return Outcome(message="no nodes available to schedule pods")
    try:
        judges = prepare(plugins, cycle)
    except Unschedulable as error:
        return Outcome(message=f"0/{len(nodes)} nodes are available: {error}.", reasons={})
    wished = cycle.cache.nodes.get(nominated)
    if wished is not None and judge(judges, cycle, wished) is None:
        return Outcome(wished)
    reasons: dict[str, Reason] = {}
    feasible: list[NodeInfo] = []
    wanted, examined = enough(len(nodes)), 0
    for node in chain(islice(nodes, start, None), islice(nodes, start)):
        examined += 1
        reason = judge(judges, cycle, node)
        if reason is not None:
            reasons[node.name] = reason
            continue
        feasible.append(node)
        if len(feasible) == wanted:
            break
    if not feasible:
        message = f"0/{len(nodes)} nodes are available: {summary(reasons)}."
        return Outcome(reasons=reasons, message=message, examined=examined)
    return Outcome(_best(plugins, cycle, feasible, tie), reasons, examined=examined)


def _best(plugins: Sequence[Plugin], cycle: Cycle, feasible: list[NodeInfo], tie: Any) -> NodeInfo:
    if len(feasible) == 1:
        return feasible[0]
    totals = [0.0] * len(feasible)
    for plugin in plugins:
        if plugin.ranks(cycle):
            totals = [t + plugin.weight * s for t, s in zip(totals, plugin.score(cycle, feasible), strict=True)]
    best = max(totals)
    found: NodeInfo = tie.choice([n for n, t in zip(feasible, totals, strict=True) if t == best])
    return found


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
