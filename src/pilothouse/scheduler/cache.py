"""What the nodes are and what runs on them: one `NodeInfo` a node, kept by informers, with pods that are only assumed yet.

Source: upstream's pkg/scheduler/backend/cache and framework/types.go (NodeInfo, PodInfo).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pilothouse.api import podrequests
from pilothouse.api.objects import Obj, key_of
from pilothouse.api.quantity import Quantity

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
    allocatable: Amounts = field(default_factory=dict)
    pods: dict[str, PodInfo] = field(default_factory=dict)
    requested: Amounts = field(default_factory=dict)
    nonzero: Amounts = field(default_factory=lambda: {"cpu": 0, "memory": 0})

    @property
    def labels(self) -> dict[str, str]:
        assert self.node is not None
        return self.node["metadata"].get("labels") or {}

    @property
    def taints(self) -> list[Obj]:
        assert self.node is not None
        return self.node["spec"].get("taints") or []

    def set_node(self, node: Obj) -> None:
        self.node = node
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
            self.name, self.node, self.allocatable, dict(self.pods), dict(self.requested), dict(self.nonzero)
        )


class Cache:
    """`nodes` holds those whose Node object is known."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeInfo] = {}
        self._unknown: dict[str, NodeInfo] = {}  # pods came before their node did
        self._places: dict[str, str] = {}  # pod's key → node

    def set_node(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        info = self.nodes.get(name)
        if info is None:
            info = self.nodes[name] = self._unknown.pop(name) if name in self._unknown else NodeInfo(name)
        info.set_node(node)

    def remove_node(self, name: str) -> None:
        info = self.nodes.pop(name, None)
        if info is not None and info.pods:
            info.node = None
            self._unknown[name] = info

    def add_pod(self, pod: Obj) -> None:
        """A pod that has a node, or is about to get it (assumed)."""
        key, name = key_of(pod), pod["spec"]["nodeName"]
        self.remove_pod(key)
        info = self.nodes.get(name) or self._unknown.setdefault(name, NodeInfo(name))
        info.add(PodInfo(pod))
        self._places[key] = name

    def remove_pod(self, key: str) -> None:
        name = self._places.pop(key, None)
        if name is not None:
            info = self.nodes.get(name) or self._unknown.get(name)
            if info is not None:
                info.remove(key)
