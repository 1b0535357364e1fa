"""The plugins one by one, and what the framework makes of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api.objects import Obj
from pilothouse.scheduler import framework, plugins, preemption
from pilothouse.scheduler.cache import Cache, PodInfo
from pilothouse.scheduler.framework import Cycle, Outcome
from pilothouse.scheduler.plugins.node_resources import BalancedAllocation

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


class Informers:
    """Listers over what is given: (group, resource) → objects."""

    def __init__(self, held: dict[tuple[str, str], list[Obj]]) -> None:
        self._held = held

    def of(self, group: str, _version: str, resource: str) -> Any:
        found = self._held.get((group, resource), [])

        class Lister:
            lister = property(lambda self: self)

            def list(self, namespace: str | None = None) -> list[Obj]:
                return [o for o in found if namespace in (None, o["metadata"].get("namespace"))]

            def get(self, namespace: str, name: str) -> Obj | None:
                return next((o for o in self.list() if o["metadata"]["name"] == name), None)

        return Lister()


def node(
    name: str, *, zone: str = "", taints: Iterable[Obj] = (), cpu: str = "4", pods: str = "110", **spec: Any
) -> Obj:
    labels = {HOST: name, **({ZONE: zone} if zone else {})}
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": pods}
    return {
        "metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints), **spec},
        "status": {"allocatable": allocatable},
    }  # fmt: skip


def pod(
    name: str, on: str = "", *, labels: dict[str, str] | None = None, cpu: str = "", port: int = 0, **spec: Any
) -> Obj:
    container: Obj = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    if port:
        container["ports"] = [{"hostPort": port, "containerPort": port}]
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels or {}},
        "spec": {"containers": [container], **({"nodeName": on} if on else {}), **spec},
    }


def cycle(
    new: Obj, nodes: list[Obj], pods: Iterable[Obj] = (), held: dict[tuple[str, str], list[Obj]] | None = None
) -> Cycle:
    cache = Cache()
    for one in nodes:
        cache.set_node(one)
    for one in pods:
        cache.add_pod(one)
    spaces = [{"metadata": {"name": "default", "labels": {}}}]
    return Cycle(PodInfo(new), cache, Informers({("", "namespaces"): spaces, **(held or {})}))  # type: ignore[arg-type]


def find(*args: Any, **kwargs: Any) -> Outcome:
    return framework.find(plugins.default(), cycle(*args, **kwargs), random.Random(1))


def affinity(kind: str, key: str, labels: dict[str, str]) -> Obj:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": labels}}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


TWO = [node("a", zone="x"), node("b", zone="y")]


@pytest.mark.parametrize(
    ("new", "nodes", "pods", "where"),
    [
        (pod("p", cpu="3"), TWO, [pod("q", "a", cpu="2")], "b"),
        (pod("p"), [node("a", taints=[{"key": "k", "effect": "NoSchedule"}]), node("b")], [], "b"),
        (pod("p"), [node("a", unschedulable=True), node("b")], [], "b"),
        (pod("p", nodeSelector={ZONE: "y"}), TWO, [], "b"),
        (pod("p", port=80), TWO, [pod("q", "a", port=80)], "b"),
        (pod("p", affinity=affinity("podAffinity", ZONE, {"a": "b"})), TWO, [pod("q", "b", labels={"a": "b"})], "b"),
        (
            pod("p", affinity=affinity("podAntiAffinity", ZONE, {"a": "b"})),
            TWO,
            [pod("q", "a", labels={"a": "b"})],
            "b",
        ),
        (
            pod("p", labels={"a": "b"}),
            TWO,
            [pod("q", "a", affinity=affinity("podAntiAffinity", HOST, {"a": "b"}))],
            "b",
        ),
        (pod("p"), TWO, [pod("q", "a", cpu="2")], "b"),  # the emptier one
    ],
)
def test_where_a_pod_goes(new: Obj, nodes: list[Obj], pods: list[Obj], where: str) -> None:
    found = find(new, nodes, pods)
    assert found.node is not None
    assert found.node.name == where


def test_pods_are_spread_evenly() -> None:
    constraint = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    spread = {"topologySpreadConstraints": [{**constraint, "labelSelector": {"matchLabels": {"a": "b"}}}]}
    nodes = [node("a", zone="x"), node("b", zone="x"), node("c", zone="y")]
    there = [pod("q", "a", labels={"a": "b"}), pod("other", "c")]
    found = find(pod("p", labels={"a": "b"}, **spread), nodes, there)
    assert found.node is not None
    assert found.node.name == "c"
    assert {r.text for r in found.reasons.values()} == {"node(s) didn't match pod topology spread constraints"}


def test_the_pods_of_a_service_are_spread_softly() -> None:
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"a": "b"}}}
    nodes = [node("a", zone="x"), node("b", zone="y")]
    held = {("", "services"): [service]}
    found = find(pod("p", labels={"a": "b"}), nodes, [pod("q", "a", labels={"a": "b"})], held)
    assert found.node is not None
    assert found.node.name == "b"


def test_every_reason_is_told_and_counted() -> None:
    nodes = [node("a", cpu="1"), node("b", taints=[{"key": "k", "effect": "NoExecute"}]), node("c", cpu="1", pods="0")]
    assert find(pod("p", cpu="2"), nodes).message == (
        "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu."
    )


def test_a_claim_that_is_not_there_ends_the_search() -> None:
    new = pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}])
    assert find(new, TWO).message == '0/2 nodes are available: persistentvolumeclaim "none" not found.'


@pytest.mark.parametrize(("nodes", "wanted"), [(1, 1), (99, 99), (100, 100), (1000, 420), (5000, 500), (6000, 300)])
def test_how_many_feasible_nodes_are_enough(nodes: int, wanted: int) -> None:
    assert framework.enough(nodes) == wanted


def test_the_search_begins_where_the_last_one_ended() -> None:
    one = cycle(pod("p"), [node(f"n{i}", zone=f"z{i % 3}") for i in range(300)])
    first = framework.find(plugins.default(), one, random.Random(1))
    assert first.examined == framework.enough(300) == 144
    second = framework.find(plugins.default(), one, random.Random(1), start=first.examined)
    assert second.node is not None
    assert second.node in [*one.cache.in_order()[144:288]]


def test_nodes_take_turns_by_zone() -> None:
    cache = Cache()
    for name, zone in (("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")):
        cache.set_node(node(name, zone=zone))
    assert [n.name for n in cache.in_order()] == ["a", "d", "b", "c"]
    cache.remove_node("a")
    assert [n.name for n in cache.in_order()] == ["b", "d", "c"]


def test_the_least_important_pods_give_way() -> None:
    there = [pod("low", "a", cpu="4", priority=1), pod("high", "b", cpu="4", priority=5)]
    one = cycle(pod("p", cpu="4", priority=10), TWO, there)
    outcome = framework.find(plugins.default(), one, random.Random(1))
    victims, _ = preemption.find(plugins.default(), one, outcome.reasons)
    assert victims is not None
    assert (victims.node, [v.key for v in victims.pods]) == ("a", ["default/low"])


def test_evicting_helps_against_anti_affinity() -> None:
    there = [pod("low", "a", labels={"a": "b"}, priority=1)]
    one = cycle(pod("p", priority=10, affinity=affinity("podAntiAffinity", ZONE, {"a": "b"})), TWO[:1], there)
    outcome = framework.find(plugins.default(), one, random.Random(1))
    victims, _ = preemption.find(plugins.default(), one, outcome.reasons)
    assert victims is not None
    assert [v.key for v in victims.pods] == ["default/low"]


LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
PODS = st.builds(
    lambda name, labels, cpu, port, extra: pod(name, labels=labels, cpu=cpu, port=port, **extra),
    st.sampled_from("pqrstu"), LABELS, st.sampled_from(["", "1", "3"]), st.sampled_from([0, 0, 80]),
    st.sampled_from([
        {}, {"nodeSelector": {ZONE: "x"}}, {"affinity": affinity("podAffinity", ZONE, {"a": "x"})},
        {"affinity": affinity("podAntiAffinity", HOST, {"b": "y"})}, {"tolerations": [{"operator": "Exists"}]},
    ]),
)  # fmt: skip
NODES = st.lists(
    st.builds(
        lambda name, zone, tainted: node(name, zone=zone, taints=[{"key": "k", "effect": "NoSchedule"}] if tainted else []),
        st.sampled_from("abcd"), st.sampled_from(["", "x", "y"]), st.booleans(),
    ),
    min_size=1, max_size=4, unique_by=lambda n: n["metadata"]["name"],
)  # fmt: skip


@given(PODS, NODES, st.lists(PODS, max_size=4), st.randoms(use_true_random=False))
def test_who_is_not_asked_would_have_had_nothing_to_say(
    new: Obj, nodes: list[Obj], others: list[Obj], chance: random.Random
) -> None:
    there = []
    for other in others:
        other["spec"]["nodeName"] = chance.choice(nodes)["metadata"]["name"]
        there.append(other)
    one = cycle(new, nodes, there)
    default = plugins.default()
    judges = framework.prepare(default, one)
    infos = one.cache.in_order()
    for plugin in default:
        if plugin not in judges:
            assert all(plugin.filter(one, info) is None for info in infos)
        silent = plugin.weight and not plugin.ranks(one)
        if silent and not isinstance(plugin, BalancedAllocation):  # upstream's silence about best effort is a choice
            assert len(set(plugin.score(one, infos))) == 1
