"""All controllers at once over the real API server, in virtual time."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "apiserver"))

from fake_cluster import ADMIN, Cluster, workload
from memory_store import MemoryStore

from pilothouse.apiserver.server import APIServer
from pilothouse.client import Client, Informers, InProcess
from pilothouse.clock import VirtualClock
from pilothouse.controllers.base import Context
from pilothouse.controllers.manager import ControllerManager


def together(story):
    clock = VirtualClock(1)

    async def main():
        server = APIServer(MemoryStore(), clock)
        await server.start()
        client = Client(InProcess(server.handle, ADMIN), clock)
        manager = ControllerManager(Context(client, Informers(client), clock, {"cluster-cidr": "10.244.0.0/16"}))
        await manager.start()
        cluster = Cluster(clock, client, server)
        try:
            await cluster.settle(5)
            await story(cluster)
        finally:
            await manager.stop()
            await server.stop()

    clock.run(main())


def test_a_namespace_lives_and_ends(caplog):
    async def story(c):
        await c.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        for n in range(2):
            await c.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{n}"}})
        await c.settle(2)
        assert await c.names("serviceaccounts", "team") == ["default"]
        assert await c.names("configmaps", "team") == ["kube-root-ca.crt"]
        deployment = workload("Deployment")
        deployment["metadata"]["namespace"] = "team"
        await c.create("deployments", deployment)
        metadata = {"name": "web", "namespace": "team"}
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await c.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        await c.settle(3)
        for n, pod in enumerate(await c.list("pods", "team")):
            ip = f"10.244.0.{n + 1}"
            await c.run_pod(pod, podIP=ip, podIPs=[{"ip": ip}], node=f"node-{n % 2}")
        await c.settle(3)
        (slice_,) = await c.list("endpointslices", "team")
        assert len(slice_["endpoints"]) == 3
        assert (await c.get("deployments", "web", "team"))["status"]["readyReplicas"] == 3
        await c.of("namespaces").delete("team")
        await c.settle(6)
        conditions = (await c.get("namespaces", "team", ""))["status"]["conditions"]
        assert {x["status"] for x in conditions} == {"False"}
        for pod in await c.list("pods", "team"):
            await c.reap(pod)
        await c.settle(60)
        assert await c.find("namespaces", "team", "") is None

    together(story)
    assert not [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
