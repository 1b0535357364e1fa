"""InterPodAffinity: pods near others or away from them, by node label.

Source: upstream's plugins/interpodaffinity. Anti-affinity holds both ways: of the pod against those that run, and of those
against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilothouse.api import selectors
from pilothouse.api.objects import Obj
from pilothouse.api.selectors import Selector
from pilothouse.scheduler.cache import NodeInfo, PodInfo
from pilothouse.scheduler.framework import SCORE_MAX, Cycle, Plugin, Reason
from pilothouse.scheduler.matching import labels_of, term_namespaces

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_HARD_WEIGHT: Final = 1  # of others' required affinity, when scoring
Place = tuple[str, str]  # topology key, value


@dataclass(frozen=True, slots=True)
class _Term:
    key: str
    selector: Selector
    namespaces: frozenset[str]
    weight: int = 0

    def matches(self, info: PodInfo) -> bool:
        return info.namespace in self.namespaces and self.selector.matches(labels_of(info.pod))


@dataclass(slots=True)
class _State:
    near: list[_Term]
    away: list[_Term]
    near_counts: Counter[Place] = field(default_factory=Counter)
    away_counts: Counter[Place] = field(default_factory=Counter)
    forbidden: Counter[Place] = field(default_factory=Counter)  # by pods that run
    wanted: Counter[Place] = field(default_factory=Counter)  # for scores


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    weight = 2

    def prepare(self, cycle: Cycle) -> None:
        spaces = list(cycle.informers.of("", "v1", "namespaces").lister.list())
        info = cycle.info
        near, away = _terms(info, "podAffinity", spaces), _terms(info, "podAntiAffinity", spaces)
        soft = [(1, t) for t in _preferred(info, "podAffinity", spaces)]
        soft += [(-1, t) for t in _preferred(info, "podAntiAffinity", spaces)]
        state = _State(near, away)
        own = [*near, *away, *(t for _, t in soft)]
        for namespace in frozenset().union(*(t.namespaces for t in own)):
            for node, other in cycle.cache.pods_in(namespace):
                _own(state, node, other, soft)
        for node, other in cycle.cache.pods_with_affinity():
            _theirs(state, node, info, other, spaces)
        cycle.state[self.name] = state

    def judges(self, cycle: Cycle) -> bool:
        state: _State = cycle.state[self.name]
        return bool(state.near or state.away or state.forbidden)

    def ranks(self, cycle: Cycle) -> bool:
        state: _State = cycle.state[self.name]
        return bool(state.wanted)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        state: _State = cycle.state[self.name]
        labels = node.labels
        for term in state.near:
            if term.key not in labels:
                return Reason("node(s) didn't match pod affinity rules", forever=True)
        alone = any(not state.near_counts[t.key, labels[t.key]] for t in state.near)
        # The first of a group that wants to be near its own kind may go anywhere.
        if alone and (state.near_counts or not all(t.matches(cycle.info) for t in state.near)):
            return Reason("node(s) didn't match pod affinity rules", forever=True)
        for term in state.away:
            if term.key in labels and state.away_counts[term.key, labels[term.key]]:
                return Reason("node(s) didn't match pod anti-affinity rules")
        if any(state.forbidden[key, value] for key, value in labels.items()):
            return Reason("node(s) didn't satisfy existing pods anti-affinity rules")
        return None

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[float]:
        state: _State = cycle.state[self.name]
        sums = [sum(state.wanted[key, value] for key, value in node.labels.items()) for node in nodes]
        least, most = min(sums), max(sums)
        if least == most:
            return [0.0] * len(nodes)
        return [float(int(SCORE_MAX * (s - least) / (most - least))) for s in sums]


def _own(state: _State, node: NodeInfo, other: PodInfo, soft: list[tuple[int, _Term]]) -> None:
    """What the pod's own terms say of another."""
    labels = node.labels
    if state.near and all(t.matches(other) for t in state.near):
        for term in state.near:
            if term.key in labels:
                state.near_counts[term.key, labels[term.key]] += 1
    for term in state.away:
        if term.key in labels and term.matches(other):
            state.away_counts[term.key, labels[term.key]] += 1
    for sign, term in soft:
        if term.key in labels and term.matches(other):
            state.wanted[term.key, labels[term.key]] += sign * term.weight


def _theirs(state: _State, node: NodeInfo, info: PodInfo, other: PodInfo, spaces: list[Obj]) -> None:
    """What another's terms say of the pod."""
    labels = node.labels
    for term in _terms(other, "podAntiAffinity", spaces):
        if term.key in labels and term.matches(info):
            state.forbidden[term.key, labels[term.key]] += 1
    theirs = [(_HARD_WEIGHT, t) for t in _terms(other, "podAffinity", spaces)]
    theirs += [(t.weight, t) for t in _preferred(other, "podAffinity", spaces)]
    theirs += [(-t.weight, t) for t in _preferred(other, "podAntiAffinity", spaces)]
    for weight, term in theirs:
        if term.key in labels and term.matches(info):
            state.wanted[term.key, labels[term.key]] += weight


def _terms(info: PodInfo, kind: str, spaces: list[Obj]) -> list[_Term]:
    affinity = (info.pod["spec"].get("affinity") or {}).get(kind) or {}
    return [_term(t, info, spaces) for t in affinity.get(_REQUIRED) or ()]


def _preferred(info: PodInfo, kind: str, spaces: list[Obj]) -> Iterator[_Term]:
    affinity = (info.pod["spec"].get("affinity") or {}).get(kind) or {}
    for one in affinity.get(_PREFERRED) or ():
        yield _term(one["podAffinityTerm"], info, spaces, int(one.get("weight") or 0))


def _term(term: Obj, info: PodInfo, spaces: list[Obj], weight: int = 0) -> _Term:
    selector = selectors.of_object(term.get("labelSelector"))
    own = labels_of(info.pod)
    extra = [
        selectors.Requirement(k, operator, frozenset((own[k],)))
        for name, operator in (("matchLabelKeys", "in"), ("mismatchLabelKeys", "notin"))
        for k in term.get(name) or ()
        if k in own
    ]
    if extra and not selector.nothing:
        selector = Selector((*selector.requirements, *extra))
    return _Term(term["topologyKey"], selector, term_namespaces(term, info.namespace, spaces), weight)
