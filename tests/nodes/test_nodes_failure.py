"""A simulated node stops: the whole story of 40 s and five minutes, under the virtual clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.bootstrap.cluster import Parts
from pilothouse.clock import VirtualClock, parse_time
from pilothouse.nodes.machine import POWER
from pilothouse.store.embedded import open_store

ADMIN = UserInfo("admin", groups=("system:masters",))


def _deployment(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


def test_its_pods_are_replaced_elsewhere(tmp_path: Path) -> None:
    clock = VirtualClock(seed=1)

    async def main() -> None:
        store = await open_store(tmp_path / "store", clock)
        server = APIServer(store, clock, Config(disable_admission_plugins=("ServiceAccount",)))
        await server.start()
        parts = Parts(server, clock)
        await parts.start()
        await parts.nodes.nodes.wait_synced()
        await parts.nodes.register(3)
        client = parts.client(ADMIN, "test")
        nodes, pods = client.resource("", "v1", "nodes"), client.resource("", "v1", "pods")
        leases = client.resource("coordination.k8s.io", "v1", "leases")
        await clock.sleep(10)
        await client.resource("apps", "v1", "deployments").create(_deployment(6), "default")
        await clock.sleep(30)
        running = (await pods.list("default"))["items"]
        assert [p["status"]["phase"] for p in running] == ["Running"] * 6
        assert {p["spec"]["nodeName"] for p in running} == {"node-1", "node-2", "node-3"}

        await nodes.patch("node-1", "", {"metadata": {"annotations": {POWER: "off"}}})
        lease = await leases.get("node-1", "kube-node-lease")
        last_s = parse_time(lease["spec"]["renewTime"])

        async def ready() -> str:
            node = await nodes.get("node-1")
            return str(next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"))

        while await ready() == "True":
            await clock.sleep(1)
        assert 40 <= clock.now() - last_s <= 51  # seen by a monitor that looks every 5 s, as upstream's
        await clock.sleep(2)
        node = await nodes.get("node-1")
        taints = {(t["key"], t["effect"]) for t in node["spec"]["taints"]}
        assert {
            ("node.kubernetes.io/unreachable", "NoExecute"),
            ("node.kubernetes.io/unreachable", "NoSchedule"),
        } <= taints
        unreachable_s = clock.now()
        await clock.sleep(unreachable_s + 290 - clock.now())
        assert all(not p["metadata"].get("deletionTimestamp") for p in (await pods.list("default"))["items"])
        await clock.sleep(30)
        left = (await pods.list("default"))["items"]
        alive = [p for p in left if not p["metadata"].get("deletionTimestamp")]
        assert len(alive) == 6
        assert {p["spec"]["nodeName"] for p in alive} == {"node-2", "node-3"}
        assert all(p["spec"]["nodeName"] == "node-1" for p in left if p["metadata"].get("deletionTimestamp"))

        await nodes.patch("node-1", "", {"metadata": {"annotations": {POWER: None}}})
        await clock.sleep(20)
        assert await ready() == "True"
        assert len((await pods.list("default"))["items"]) == 6
        await parts.stop()
        await server.stop()
        await store.close()

    clock.run(main())
