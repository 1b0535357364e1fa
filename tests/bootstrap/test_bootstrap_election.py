"""Several processes on one store: of each part, one works, and another goes on when it stops."""

from __future__ import annotations

from typing import Any

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.bootstrap.cluster import Parts
from pilothouse.clock import VirtualClock
from pilothouse.store.embedded import open_store

ADMIN = UserInfo("admin", groups=("system:masters",))
LEASES = ("kube-controller-manager", "kube-scheduler", "pilothouse-nodes")


def _deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }  # fmt: skip


def test_one_works_and_the_next_goes_on() -> None:
    clock = VirtualClock(seed=1)

    async def main() -> None:
        store = await open_store(None, clock)
        config = Config(disable_admission_plugins=("ServiceAccount",))
        servers = [APIServer(store, clock, config) for _ in range(2)]
        for server in servers:
            await server.start()
        first, second = (Parts(server, clock, candidate=name) for server, name in zip(servers, "ab", strict=True))
        await first.start()
        await clock.sleep(1)
        await second.start()
        await first.nodes.nodes.wait_synced()
        await first.nodes.register(2)
        client = second.client(ADMIN, "test")
        leases = client.resource("coordination.k8s.io", "v1", "leases")
        pods = client.resource("", "v1", "pods")
        deployments = client.resource("apps", "v1", "deployments")

        async def holders() -> list[str]:
            found = [await leases.get(name, "kube-system") for name in LEASES]
            return [lease["spec"].get("holderIdentity", "") for lease in found]

        async def running() -> list[str]:
            return sorted(p["status"]["phase"] for p in (await pods.list("default"))["items"])

        await deployments.create(_deployment("one", 3), "default")
        await clock.sleep(20)
        assert await holders() == ["a"] * 3
        assert await running() == ["Running"] * 3
        assert not second.scheduler.cache.nodes  # it has not begun

        await first.stop()  # gives the leases up
        await clock.sleep(6)
        assert await holders() == ["b"] * 3
        await deployments.create(_deployment("two", 2), "default")
        await clock.sleep(10)
        assert await running() == ["Running"] * 5
        assert [event["type"] for event in (await client.resource("", "v1", "events").list("default"))["items"]].count(
            "Warning"
        ) == 0

        lease = await leases.get("kube-scheduler", "kube-system")
        lease["spec"] = {**lease["spec"], "holderIdentity": "upstream's"}
        await leases.update(lease)
        async with clock.timeout(30):
            await second.lost.wait()
        await second.stop()
        third = Parts(servers[1], clock, candidate="b")  # as the cluster does it
        await third.start()
        await clock.sleep(40)  # nobody renewed the other's lease
        assert await holders() == ["b"] * 3
        await deployments.create(_deployment("three", 2), "default")
        await clock.sleep(10)
        assert await running() == ["Running"] * 7
        await third.stop()
        for server in servers:
            await server.stop()
        await store.close()

    clock.run(main())
