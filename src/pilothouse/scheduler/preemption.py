"""Preemption: for a pod that fits nowhere, the node where evicting pods of lower priority costs least.

Source: upstream's framework/preemption and plugins/defaultpreemption. The order of preference: fewest disruption budgets
violated, lowest greatest priority of a victim, lowest sum of priorities, fewest victims, the latest start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilothouse.api import selectors
from pilothouse.api.objects import Obj
from pilothouse.scheduler.cache import NodeInfo, PodInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason, Unschedulable, judge, prepare
from pilothouse.scheduler.matching import labels_of


@dataclass(slots=True)
class Victims:
    node: str
    pods: list[PodInfo]
    violations: int


def find(plugins: Sequence[Plugin], cycle: Cycle, reasons: dict[str, Reason]) -> tuple[Victims | None, str]:
    """The victims on the best node; without one, what the pod's message says about it."""
    total = len(cycle.cache.nodes)
    head = f"preemption: 0/{total} nodes are available: "
    if cycle.spec.get("preemptionPolicy") == "Never":
        return None, f"{head}{total} Preemption is not helpful for scheduling."
    hopeless = sum(r.forever for r in reasons.values())
    candidates = []
    for name, reason in reasons.items():
        if not reason.forever and name in cycle.cache.nodes:
            found = _victims(plugins, cycle, cycle.cache.nodes[name])
            if found is not None:
                candidates.append(found)
    if candidates:
        return min(candidates, key=_cost), ""
    parts = []
    if total - hopeless:
        parts.append(f"{total - hopeless} No preemption victims found for incoming pod")
    if hopeless:
        parts.append(f"{hopeless} Preemption is not helpful for scheduling")
    return None, head + ", ".join(sorted(parts)) + "."


def _cost(victims: Victims) -> tuple[int, int, int, int, str]:
    priorities = [v.priority for v in victims.pods]
    latest = max((str((v.pod.get("status") or {}).get("startTime") or "") for v in victims.pods), default="")
    inverted = "".join(chr(0x10FFFF - ord(c)) for c in latest)
    return victims.violations, max(priorities, default=0), sum(p + 2**31 for p in priorities), len(priorities), inverted


def _victims(plugins: Sequence[Plugin], cycle: Cycle, node: NodeInfo) -> Victims | None:
    """Everybody below the pod's priority goes; then whoever can stay comes back, the most important first."""
    lower = [p for p in node.pods.values() if p.priority < cycle.info.priority]
    if not lower:
        return None
    trial = node.copy()
    for info in lower:
        trial.remove(info.key)
    if not _fits(plugins, cycle, trial):
        return None
    budgets = cycle.informers.of("policy", "v1", "poddisruptionbudgets").lister.list()
    violating, harmless = _apart(lower, budgets)
    gone: list[PodInfo] = []
    violations = 0
    for group in (violating, harmless):
        for info in sorted(group, key=lambda p: (-p.priority, str((p.pod.get("status") or {}).get("startTime") or ""))):
            trial.add(info)
            if not _fits(plugins, cycle, trial):
                trial.remove(info.key)
                gone.append(info)
                violations += group is violating
    return Victims(node.name, gone, violations) if gone else None


def _fits(plugins: Sequence[Plugin], cycle: Cycle, node: NodeInfo) -> bool:
    trial = Cycle(cycle.info, cycle.cache.with_node(node), cycle.informers)
    try:
        judges = prepare(plugins, trial)
    except Unschedulable:
        return False
    return judge(judges, trial, node) is None


def _apart(pods: list[PodInfo], budgets: list[Obj]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Those whose eviction breaks a disruption budget, and the others."""
    left = {id(b): int((b.get("status") or {}).get("disruptionsAllowed") or 0) for b in budgets}
    violating: list[PodInfo] = []
    harmless: list[PodInfo] = []
    for info in sorted(pods, key=lambda p: -p.priority):
        breaks = False
        for budget in budgets:
            if budget["metadata"]["namespace"] != info.namespace:
                continue
            selector = selectors.of_object(budget["spec"].get("selector"))
            if selector.matches(labels_of(info.pod)):
                left[id(budget)] -= 1
                breaks = breaks or left[id(budget)] < 0
        (violating if breaks else harmless).append(info)
    return violating, harmless
