"""The frame: which controllers run, what a failure does, how they stop."""

import asyncio

import pytest
from fake_apiserver import FakeServer
from fake_cluster import ADMIN, workload

from pilothouse.api import errors
from pilothouse.client import Client, Informers, InProcess
from pilothouse.clock import VirtualClock
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.manager import ControllerManager, chosen, load
from pilothouse.controllers.table import CONTROLLERS, OFF_BY_DEFAULT


class Probe(Controller):
    name = "probe"
    workers = 2

    def __init__(self, context):
        super().__init__(context)
        self.maps = self.informer("", "v1", "configmaps")
        self.maps.add_handler(self.enqueue)
        self.seen, self.ticks, self.failures = [], 0, 0
        self.loops = [self.tick]

    async def tick(self):
        while True:
            await self.clock.sleep(1)
            self.ticks += 1
            if self.ticks == 2:
                raise ValueError("once")

    async def reconcile(self, key):
        assert self.maps.synced
        self.seen.append((round(self.clock.monotonic(), 3), key))
        if self.failures:
            self.failures -= 1
            raise errors.conflict("", "configmaps", key, "try again") if self.failures else RuntimeError("odd")


def run(story):
    clock = VirtualClock(1)

    async def main():
        server = FakeServer(clock)
        client = Client(InProcess(server.handle, ADMIN), clock, user_agent="base")
        context = Context(client, Informers(client), clock, {"some-flag": 7})
        try:
            await story(clock, client, context)
        finally:
            await context.informers.stop()
        assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]

    clock.run(main())


def test_keys_are_tried_again_until_they_succeed():
    async def story(clock, client, context):
        probe = Probe(context)
        probe.failures = 3
        task = asyncio.create_task(probe.run())
        await context.informers.start()
        await client.resource("", "v1", "configmaps").create({"metadata": {"name": "a", "namespace": "default"}})
        await clock.sleep(3)
        assert [key for _, key in probe.seen] == ["default/a"] * 4
        assert probe.queue.failures("default/a") == 0
        probe.enqueue_after("x/y", 10)
        await clock.sleep(20)
        assert probe.seen[-1] == (13.0, "x/y")
        assert probe.ticks > 15
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story)


def test_a_context_names_its_controllers():
    async def story(clock, client, context):
        assert context.option("some-flag", 1) == 7
        assert context.option("other-flag", 1) == 1
        named = context.for_controller("job-controller")
        assert named.client.user_agent == "kube-controller-manager/job-controller"
        assert named.client.transport is client.transport
        own = Client(client.transport, clock, user_agent="own")
        context = Context(client, context.informers, clock, {}, lambda name: own)
        assert context.for_controller("x").client is own

    run(story)


@pytest.mark.parametrize("name", sorted(CONTROLLERS))
def test_every_line_of_the_table_is_a_controller_of_that_name(name):
    assert load(name).name == name


def test_the_flag_that_chooses():
    assert set(chosen(["*"])) == set(CONTROLLERS) - OFF_BY_DEFAULT
    assert chosen(["job-controller"]) == ["job-controller"]
    assert "job-controller" not in chosen(["*", "-job-controller"])
    assert chosen(["-job-controller", "job-controller"]) == []
    with pytest.raises(ValueError, match='"nonsense" is not in the list of known controllers'):
        chosen(["*", "nonsense"])


def test_the_manager_runs_and_stops_all_of_them():
    async def story(clock, client, context):
        manager = ControllerManager(
            context, ["deployment-controller", "replicaset-controller", "garbage-collector-controller"]
        )
        task = asyncio.create_task(manager.run())
        await clock.sleep(1)
        await client.resource("apps", "v1", "deployments").create(workload("Deployment", replicas=2))
        await clock.sleep(5)
        assert len((await client.resource("", "v1", "pods").list())["items"]) == 2
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(story)
