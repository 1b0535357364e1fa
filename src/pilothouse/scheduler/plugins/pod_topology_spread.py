"""PodTopologySpread: pods that match a selector are spread evenly over the values of a node label.

Source: upstream's plugins/podtopologyspread and KEP-895; minDomains (KEP-3022), node inclusion policies (KEP-3094) and
matchLabelKeys (KEP-3243).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pilothouse.api import selectors
from pilothouse.api.objects import Obj
from pilothouse.api.selectors import Selector
from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import SCORE_MAX, Cycle, Plugin, Reason
from pilothouse.scheduler.matching import labels_of, node_selected, tolerated

_HOSTNAME = "kubernetes.io/hostname"
_ZONE = "topology.kubernetes.io/zone"


@dataclass(slots=True)
class _Constraint:
    key: str
    max_skew: int
    selector: Selector
    min_domains: int
    honor_affinity: bool
    honor_taints: bool
    counts: dict[str, int] = field(default_factory=dict)  # label's value → matching pods

    @property
    def least(self) -> int:
        if len(self.counts) < self.min_domains:
            return 0
        return min(self.counts.values(), default=0)


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    weight = 2

    def prepare(self, cycle: Cycle) -> None:
        given = cycle.spec.get("topologySpreadConstraints") or ()
        hard = [_read(c, cycle.pod) for c in given if c.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"]
        soft = [_read(c, cycle.pod) for c in given if c.get("whenUnsatisfiable") == "ScheduleAnyway"]
        if not given:
            soft = _default(cycle)
        if hard or soft:
            for node in cycle.cache.nodes.values():
                _count(cycle, node, hard, all_keys=True)
                _count(cycle, node, soft, all_keys=bool(given))
            cycle.state[self.name] = (hard, soft)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        hard: list[_Constraint]
        hard, _ = cycle.state.get(self.name, ([], []))
        own = labels_of(cycle.pod)
        for c in hard:
            value = node.labels.get(c.key)
            if value is None:
                text = "node(s) didn't match pod topology spread constraints (missing required label)"
                return Reason(text, forever=True)
            skew = c.counts.get(value, 0) + int(c.selector.matches(own)) - c.least
            if skew > c.max_skew:
                return Reason("node(s) didn't match pod topology spread constraints")
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        soft: list[_Constraint]
        _, soft = cycle.state.get(self.name, ([], []))
        if not soft:
            return [0.0] * len(nodes)
        sums = []
        for node in nodes:
            total = 0.0
            for c in soft:
                value = node.labels.get(c.key)
                if value is not None:
                    weight = math.log(len(c.counts) + 2)
                    total += c.counts.get(value, 0) * weight + (c.max_skew - 1)
            sums.append(round(total))
        least, most = min(sums), max(sums)
        if most == 0:
            return [float(SCORE_MAX)] * len(nodes)
        return [float(SCORE_MAX * (most + least - s) // most) for s in sums]


def _read(constraint: Obj, pod: Obj) -> _Constraint:
    selector = selectors.of_object(constraint.get("labelSelector"))
    extra = [
        selectors.Requirement(k, "in", frozenset((labels_of(pod)[k],)))
        for k in constraint.get("matchLabelKeys") or ()
        if k in labels_of(pod)
    ]
    if extra and not selector.nothing:
        selector = Selector((*selector.requirements, *extra))
    return _Constraint(
        constraint["topologyKey"], int(constraint.get("maxSkew") or 1), selector, int(constraint.get("minDomains") or 1),
        constraint.get("nodeAffinityPolicy", "Honor") != "Ignore", constraint.get("nodeTaintsPolicy") == "Honor",
    )  # fmt: skip


def _default(cycle: Cycle) -> list[_Constraint]:
    """Upstream's system default: pods of one service, replica set or stateful set apart, softly."""
    selector = _owners_selector(cycle)
    if selector is None:
        return []
    return [_Constraint(_HOSTNAME, 3, selector, 1, True, False), _Constraint(_ZONE, 5, selector, 1, True, False)]


def _owners_selector(cycle: Cycle) -> Selector | None:
    own, namespace = labels_of(cycle.pod), cycle.info.namespace
    found: list[selectors.Requirement] = []
    for service in cycle.informers.of("", "v1", "services").lister.list(namespace):
        wanted = service["spec"].get("selector")
        if wanted and all(own.get(k) == v for k, v in wanted.items()):
            found += selectors.of_map(wanted).requirements
    for owner in cycle.pod["metadata"].get("ownerReferences") or ():
        if not owner.get("controller"):
            continue
        resource = {"ReplicaSet": ("apps", "replicasets"), "StatefulSet": ("apps", "statefulsets")}.get(owner["kind"])
        if resource is not None:
            obj = cycle.informers.of(resource[0], "v1", resource[1]).lister.get(namespace, owner["name"])
            if obj is not None:
                found += selectors.of_object(obj["spec"].get("selector")).requirements
    return Selector(tuple(found)) if found else None


def _count(cycle: Cycle, node: NodeInfo, constraints: list[_Constraint], *, all_keys: bool) -> None:
    """The node's pods, for the constraints that the node counts for."""
    if not constraints or (all_keys and any(c.key not in node.labels for c in constraints)):
        return
    assert node.node is not None
    tolerations = cycle.spec.get("tolerations") or ()
    for c in constraints:
        value = node.labels.get(c.key)
        if value is None or (c.honor_affinity and not node_selected(cycle.spec, node.node)):
            continue
        hard = (t for t in node.taints if t.get("effect") in ("NoSchedule", "NoExecute"))
        if c.honor_taints and not all(tolerated(t, tolerations) for t in hard):
            continue
        matching = sum(
            p.namespace == cycle.info.namespace
            and not p.pod["metadata"].get("deletionTimestamp")
            and c.selector.matches(labels_of(p.pod))
            for p in node.pods.values()
        )
        c.counts[value] = c.counts.get(value, 0) + matching
