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
    least: int = 0  # of those


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
            _count(cycle, hard, all_keys=True)
            _count(cycle, soft, all_keys=bool(given))
            cycle.state[self.name] = (hard, soft)

    def judges(self, cycle: Cycle) -> bool:
        return bool(cycle.state.get(self.name, ([], []))[0])

    def ranks(self, cycle: Cycle) -> bool:
        return bool(cycle.state.get(self.name, ([], []))[1])

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


def _count(cycle: Cycle, constraints: list[_Constraint], *, all_keys: bool) -> None:
    """The pods that match, by the label's value, on the nodes that count."""
    counting: list[set[str]] = [set() for _ in constraints]  # names of nodes
    for node in cycle.cache.nodes.values():
        if all_keys and any(c.key not in node.labels for c in constraints):
            continue
        for c, names in zip(constraints, counting, strict=True):
            value = node.labels.get(c.key)
            if value is not None and _counts(cycle, c, node):
                names.add(node.name)
                c.counts.setdefault(value, 0)
    for node, other in cycle.cache.pods_in(cycle.info.namespace) if constraints else ():
        if other.pod["metadata"].get("deletionTimestamp"):
            continue
        for c, names in zip(constraints, counting, strict=True):
            if node.name in names and c.selector.matches(labels_of(other.pod)):
                c.counts[node.labels[c.key]] += 1
    for c in constraints:
        c.least = min(c.counts.values(), default=0) if len(c.counts) >= c.min_domains else 0


def _counts(cycle: Cycle, c: _Constraint, node: NodeInfo) -> bool:
    """The constraint's policies of inclusion."""
    assert node.node is not None
    if c.honor_affinity and not node_selected(cycle.spec, node.node):
        return False
    if not c.honor_taints:
        return True
    tolerations = cycle.spec.get("tolerations") or ()
    hard = (t for t in node.taints if t.get("effect") in ("NoSchedule", "NoExecute"))
    return all(tolerated(t, tolerations) for t in hard)
