"""What the nodes are and what runs on them: one `NodeInfo` a node, kept by informers, with pods that are only assumed yet.

Source: upstream's pkg/scheduler/backend/cache and framework/types.go (NodeInfo, PodInfo).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from pilothouse.api import podrequests
from pilothouse.api.objects import Obj, key_of
from pilothouse.api.quantity import Quantity

_REGION: Final = "topology.kubernetes.io/region"
_ZONE: Final = "topology.kubernetes.io/zone"
DEFAULT_MILLI_CPU: Final = 100  # what scoring takes a container without requests for
DEFAULT_MEMORY: Final = 200 * 1024 * 1024
Amounts = dict[str, int]  # cpu in thousandths, everything else in whole units


def amounts(values: dict[str, Quantity]) -> Amounts:
    return {name: q.milli() if name == "cpu" else q.value() for name, q in values.items()}


class PodInfo:
    """A pod with what its scheduling asks for, worked out once."""

    __slots__ = ("key", "namespace", "nonzero", "pod", "ports", "priority", "requests", "uid")

    def __init__(self, pod: Obj) -> None:
        spec = pod["spec"]
        self.pod, self.key, self.uid = pod, key_of(pod), str(pod["metadata"]["uid"])
        self.namespace = str(pod["metadata"]["namespace"])
        self.priority = int(spec.get("priority") or 0)
        self.requests = amounts(podrequests.of_pod(spec, "requests"))
        containers = spec.get("containers") or ()
        self.nonzero = {
            "cpu": max(self.requests.get("cpu", 0), DEFAULT_MILLI_CPU * _without(containers, "cpu")),
            "memory": max(self.requests.get("memory", 0), DEFAULT_MEMORY * _without(containers, "memory")),
        }
        self.ports = frozenset(
            (p.get("hostIP") or "0.0.0.0", p.get("protocol") or "TCP", int(p["hostPort"]))
            for c in containers
            for p in c.get("ports") or ()
            if p.get("hostPort")
        )


def _without(containers: Iterable[Obj], name: str) -> int:
    return sum(name not in ((c.get("resources") or {}).get("requests") or {}) for c in containers)


@dataclass(slots=True)
class NodeInfo:
    name: str
    node: Obj | None = None
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[Obj] = field(default_factory=list)
    allocatable: Amounts = field(default_factory=dict)
    pods: dict[str, PodInfo] = field(default_factory=dict)
    requested: Amounts = field(default_factory=dict)
    nonzero: Amounts = field(default_factory=lambda: {"cpu": 0, "memory": 0})

    def set_node(self, node: Obj) -> None:
        self.node = node
        self.labels = node["metadata"].get("labels") or {}
        self.taints = node["spec"].get("taints") or []
        values = (node.get("status") or {}).get("allocatable") or {}
        self.allocatable = amounts({name: Quantity.parse(str(text)) for name, text in values.items()})

    def add(self, info: PodInfo) -> None:
        self.pods[info.key] = info
        for name, amount in info.requests.items():
            self.requested[name] = self.requested.get(name, 0) + amount
        for name, amount in info.nonzero.items():
            self.nonzero[name] += amount

    def remove(self, key: str) -> PodInfo | None:
        info = self.pods.pop(key, None)
        if info is not None:
            for name, amount in info.requests.items():
                self.requested[name] -= amount
            for name, amount in info.nonzero.items():
                self.nonzero[name] -= amount
        return info

    def copy(self) -> NodeInfo:
        return NodeInfo(
            self.name, self.node, self.labels, self.taints, self.allocatable,
            dict(self.pods), dict(self.requested), dict(self.nonzero),
        )  # fmt: skip


class Cache:
    """`nodes` holds those whose Node object is known."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self._unknown: dict[str, NodeInfo] = {}  # pods came before their node did
        self._places: dict[str, str] = {}  # pod's key → node
        self._in_namespace: defaultdict[str, dict[str, str]] = defaultdict(dict)  # namespace → the same
        self._with_affinity: dict[str, str] = {}  # the same, of pods that wish to be near others or away from them
        self._order: list[NodeInfo] | None = None

    def set_node(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        info = self.nodes.get(name)
        if info is None:
            info = self.nodes[name] = self._unknown.pop(name) if name in self._unknown else NodeInfo(name)
            self._order = None
        info.set_node(node)

    def remove_node(self, name: str) -> None:
        info = self.nodes.pop(name, None)
        self._order = None
        if info is not None and info.pods:
            info.node = None
            self._unknown[name] = info

    def in_order(self) -> list[NodeInfo]:
        """The nodes, zone by zone in turn, as upstream's node tree gives them: the first ones stand for all."""
        if self._order is None:
            zones: defaultdict[tuple[str, str], list[NodeInfo]] = defaultdict(list)
            for node in self.nodes.values():
                zones[node.labels.get(_REGION, ""), node.labels.get(_ZONE, "")].append(node)
            turns = zip_longest(*zones.values())
            self._order = [node for turn in turns for node in turn if node is not None]
        return self._order

    def pods_in(self, namespace: str) -> Iterator[tuple[NodeInfo, PodInfo]]:
        return self._pods(self._in_namespace.get(namespace, {}))

    def pods_with_affinity(self) -> Iterator[tuple[NodeInfo, PodInfo]]:
        return self._pods(self._with_affinity)

    def _pods(self, places: dict[str, str]) -> Iterator[tuple[NodeInfo, PodInfo]]:
        for key, name in places.items():
            node = self.nodes.get(name)
            info = node.pods.get(key) if node is not None else None
            if node is not None and info is not None:
                yield node, info

    def with_node(self, node: NodeInfo) -> Cache:
        """The same, if `node` were as it is here: fewer pods may run there than do."""
        found = Cache()
        found.nodes = {**self.nodes, node.name: node}
        found._in_namespace, found._with_affinity = self._in_namespace, self._with_affinity
        return found

    def add_pod(self, pod: Obj) -> None:
        """A pod that has a node, or is about to get it (assumed)."""
        key, name = key_of(pod), pod["spec"]["nodeName"]
        self.remove_pod(key)
        info = self.nodes.get(name) or self._unknown.setdefault(name, NodeInfo(name))
        added = PodInfo(pod)
        info.add(added)
        self._places[key] = self._in_namespace[added.namespace][key] = name
        affinity = pod["spec"].get("affinity") or {}
        if affinity.get("podAffinity") or affinity.get("podAntiAffinity"):
            self._with_affinity[key] = name

    def remove_pod(self, key: str) -> None:
        name = self._places.pop(key, None)
        if name is not None:
            self._with_affinity.pop(key, None)
            info = self.nodes.get(name) or self._unknown.get(name)
            removed = info.remove(key) if info is not None else None
            if removed is not None:
                self._in_namespace[removed.namespace].pop(key, None)
