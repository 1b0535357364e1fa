"""Controllers' tests: an API server, controllers and a tiny kubelet in virtual time."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))

import pytest
from fake_apiserver import FakeServer
from fake_cluster import ADMIN, Cluster

from pilothouse.client import Client, Informers, InProcess
from pilothouse.clock import VirtualClock
from pilothouse.controllers.base import Context
from pilothouse.controllers.manager import ControllerManager


@pytest.fixture
def simulate(caplog):
    """Runs `story(cluster)` in virtual time with the controllers named; fails where one of them logged an error."""

    def run(story, *controllers, seed=1, config=None, errors_allowed=False):
        clock = VirtualClock(seed)

        async def main():
            server = FakeServer(clock)
            client = Client(InProcess(server.handle, ADMIN), clock)
            context = Context(client, Informers(client), clock, config or {})
            manager = ControllerManager(context, controllers)
            cluster = Cluster(clock, client, server)
            cluster.manager = manager
            await manager.start()
            await cluster.settle(0.1)
            try:
                return await story(cluster)
            finally:
                await cluster.stop()
                await manager.stop()

        result = clock.run(main())
        bad = [r for r in caplog.records if r.levelname == "ERROR"]
        assert errors_allowed or not bad, [r.getMessage() + str(r.exc_info or "") for r in bad]
        return result

    return run
