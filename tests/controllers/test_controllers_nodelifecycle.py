"""Silent nodes: conditions, taints, and what becomes of their pods."""

import pytest

from pilothouse.clock import format_micro_time
from pilothouse.controllers.nodelifecycle.eviction import tolerated_s
from pilothouse.controllers.nodelifecycle.zones import FULL, NORMAL, PARTIAL, Zone, state_of

BOTH = ("node-lifecycle-controller", "taint-eviction-controller")
UNREACHABLE = "node.kubernetes.io/unreachable"
TOLERATED = [
    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", UNREACHABLE)
]


class Kubelets:
    """Renews the leases of the nodes that live."""

    def __init__(self, c):
        self.c, self.alive = c, set()

    async def add(self, name, ready="True", **labels):
        c, now = self.c, self.c.clock.timestamp()
        conditions = [
            {"type": t, "status": s, "lastHeartbeatTime": now, "lastTransitionTime": now, "reason": "x", "message": "y"}
            for t, s in (
                ("MemoryPressure", "False"),
                ("DiskPressure", "False"),
                ("PIDPressure", "False"),
                ("Ready", ready),
            )
        ]
        made = {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": {"conditions": conditions}}
        await c.create("nodes", made)
        lease = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": self.renewed()}
        await c.create("leases", lease)
        self.alive.add(name)

    def renewed(self):
        return {"renewTime": format_micro_time(self.c.clock.now()), "leaseDurationSeconds": 40}

    async def live(self, seconds):
        end = self.c.clock.monotonic() + seconds
        while self.c.clock.monotonic() < end:
            for name in sorted(self.alive):
                await self.c.patch("leases", name, {"spec": self.renewed()}, namespace="kube-node-lease")
            await self.c.clock.sleep(min(10, end - self.c.clock.monotonic()))


def taints(node):
    return {(t["key"].rpartition("/")[2], t["effect"]) for t in node["spec"].get("taints") or ()}


async def ready(c, name):
    conditions = (await c.get("nodes", name, ""))["status"]["conditions"]
    return next(x for x in conditions if x["type"] == "Ready")


def test_a_silent_node_is_unreachable_after_forty_seconds_and_its_pods_go_after_five_minutes(simulate):
    async def story(c):
        kubelets = Kubelets(c)
        for n in range(3):
            await kubelets.add(f"n{n}")
        spec = {"nodeName": "n0", "containers": [{"name": "a", "image": "i"}], "tolerations": TOLERATED}
        for name, more in (("p", {}), ("stays", {"tolerations": [{"operator": "Exists"}]})):
            made = await c.create(
                "pods", {"metadata": {"name": name, "namespace": "default"}, "spec": {**spec, **more}}
            )
            await c.run_pod(made)
        await kubelets.live(60)
        assert (await ready(c, "n0"))["status"] == "True"
        kubelets.alive.remove("n0")
        await kubelets.live(29)  # the last heartbeat was up to 10 s ago
        assert (await ready(c, "n0"))["status"] == "True"
        await kubelets.live(17)
        condition = await ready(c, "n0")
        assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert condition["message"] == "Kubelet stopped posting node status."
        node = await c.get("nodes", "n0", "")
        assert taints(node) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
        pod = await c.get("pods", "p")
        assert next(x for x in pod["status"]["conditions"] if x["type"] == "Ready")["status"] == "False"
        assert [e["message"] for e in await c.events("NodeNotReady") if e["involvedObject"]["kind"] == "Node"] == [
            "Node n0 status is now: NodeNotReady"
        ]
        await kubelets.live(290)
        assert "deletionTimestamp" not in (await c.get("pods", "p"))["metadata"]
        await kubelets.live(20)
        pod = await c.get("pods", "p")
        assert "deletionTimestamp" in pod["metadata"]
        target = next(x for x in pod["status"]["conditions"] if x["type"] == "DisruptionTarget")
        assert target["reason"] == "DeletionByTaintManager"
        assert "deletionTimestamp" not in (await c.get("pods", "stays"))["metadata"]
        (event,) = await c.events("TaintManagerEviction")
        assert event["message"] == "Marking for deletion Pod default/p"

    simulate(story, *BOTH)


def test_a_node_that_comes_back_in_time_keeps_its_pods(simulate):
    async def story(c):
        kubelets = Kubelets(c)
        for n in range(3):
            await kubelets.add(f"n{n}")
        spec = {"nodeName": "n0", "containers": [{"name": "a", "image": "i"}], "tolerations": TOLERATED}
        await c.run_pod(
            await c.create("pods", {"metadata": {"name": "p", "namespace": "default"}, "spec": spec}), node="n0"
        )
        kubelets.alive.remove("n0")
        await kubelets.live(100)
        assert ("unreachable", "NoExecute") in taints(await c.get("nodes", "n0", ""))
        kubelets.alive.add("n0")
        node = await c.get("nodes", "n0", "")
        conditions = [
            {**x, "status": "True" if x["type"] == "Ready" else "False", "lastHeartbeatTime": c.clock.timestamp()}
            for x in node["status"]["conditions"]
        ]
        await c.of("nodes").update({**node, "status": {"conditions": conditions}}, "status")
        await kubelets.live(20)
        assert taints(await c.get("nodes", "n0", "")) == set()
        await kubelets.live(400)
        assert "deletionTimestamp" not in (await c.get("pods", "p"))["metadata"]
        assert [e["message"] for e in await c.events("TaintManagerEviction")] == [
            "Cancelling deletion of Pod default/p"
        ]

    simulate(story, *BOTH)


def test_when_all_nodes_are_silent_nothing_is_evicted(simulate):
    async def story(c):
        kubelets = Kubelets(c)
        for n in range(3):
            await kubelets.add(f"n{n}")
        await kubelets.live(20)
        kubelets.alive.clear()
        await c.settle(100)
        for n in range(3):
            assert (await ready(c, f"n{n}"))["status"] == "Unknown"
            assert taints(await c.get("nodes", f"n{n}", "")) == {("unreachable", "NoSchedule")}

    simulate(story, *BOTH)


def test_taints_and_labels_follow_the_node(simulate):
    async def story(c):
        kubelets = Kubelets(c)
        await kubelets.add("n0", **{"kubernetes.io/os": "linux"})
        await c.settle()
        node = await c.get("nodes", "n0", "")
        assert node["metadata"]["labels"]["beta.kubernetes.io/os"] == "linux"
        await c.patch("nodes", "n0", {"spec": {"unschedulable": True}}, namespace="")
        conditions = [{**x, "status": "True"} for x in node["status"]["conditions"]]
        await c.patch("nodes", "n0", {"status": {"conditions": conditions}}, namespace="", subresource="status")
        await c.settle()
        assert {k for k, _ in taints(await c.get("nodes", "n0", ""))} == {
            "unschedulable", "memory-pressure", "disk-pressure", "pid-pressure",
        }  # fmt: skip
        await c.patch("nodes", "n0", {"spec": {"unschedulable": None}}, namespace="")
        await c.settle()
        assert ("unschedulable", "NoSchedule") not in taints(await c.get("nodes", "n0", ""))

    simulate(story, *BOTH)


@pytest.mark.parametrize(
    ("ready", "state"),
    [([True] * 3, NORMAL), ([False, True], NORMAL), ([False] * 3 + [True] * 2, PARTIAL), ([False], FULL), ([], NORMAL)],
)
def test_zones_by_their_nodes(ready, state):
    assert state_of(ready, 0.55) == state


def test_a_zone_lets_one_node_go_every_ten_seconds():
    zone = Zone(0.1)
    for n in range(3):
        zone.add(f"n{n}", "u")
    assert [zone.take(t) for t in (0, 1, 10, 11, 20, 30)] == ["n0", None, "n1", None, "n2", None]


def test_the_shortest_used_toleration_counts():
    taint = {"key": UNREACHABLE, "effect": "NoExecute"}
    assert tolerated_s({"spec": {"tolerations": TOLERATED}}, [taint]) == 300
    assert tolerated_s({"spec": {}}, [taint]) == 0
    assert tolerated_s({"spec": {"tolerations": [{"operator": "Exists"}]}}, [taint]) is None
    assert tolerated_s({"spec": {}}, []) is None


def test_a_thousand_healthy_nodes_cost_no_request(simulate):
    async def story(c):
        kubelets = Kubelets(c)
        for n in range(1000):
            await kubelets.add(f"n{n}")
        await c.settle(5)
        controller = c.manager.controllers["node-lifecycle-controller"]
        before = len(c.server.requests)
        await controller.monitor()
        assert len(c.server.requests) == before

    simulate(story, "node-lifecycle-controller")
