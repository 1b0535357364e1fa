"""Feature gates of a server: each has its own."""

from __future__ import annotations

from asking import ADMIN, JSON, request_of
from memory_store import MemoryStore

from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock


async def test_two_servers_of_one_process_have_gates_of_their_own() -> None:
    lease = {"metadata": {"name": "x"}, "spec": {"strategy": "OldestEmulationVersion"}}
    seen = []
    for opened in (False, True):
        config = Config(tokens=(TokenEntry("admintok", ADMIN),), feature_gates={"CoordinatedLeaderElection": opened})
        server = APIServer(MemoryStore(), RealClock(), config)
        await server.start()
        path = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
        answer = await server.handle(request_of("POST", path, lease, ADMIN, JSON, {}))
        await server.stop()
        seen.append(answer.object)
    assert ["strategy" in obj["spec"] for obj in seen] == [False, True]
