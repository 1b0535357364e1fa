"""Informers: a cache that follows the server through everything that can happen to a watch."""

import asyncio
import itertools

from fake_apiserver import FakeServer
from fake_wire import ADMIN

from pilothouse.api import errors
from pilothouse.api.scheme import GVR, resources
from pilothouse.client import Client, Informers, InProcess
from pilothouse.clock import VirtualClock


def config_map(name, namespace="default", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


class Log:
    """A handler that writes down what it is told."""

    def __init__(self):
        self.seen = []

    def added(self, obj):
        self.seen.append(("added", obj["metadata"]["name"]))

    def updated(self, old, new):
        assert old["metadata"]["uid"] == new["metadata"]["uid"]
        self.seen.append(("updated", new["metadata"]["name"]))

    def deleted(self, obj):
        self.seen.append(("deleted", obj["metadata"]["name"]))

    def take(self):
        seen, self.seen = self.seen, []
        return seen


def run(story):
    clock = VirtualClock(3)

    async def main():
        server = FakeServer(clock)
        client = Client(InProcess(server.handle, ADMIN), clock)
        informers = Informers(client)
        try:
            await story(clock, server, client.resource("", "v1", "configmaps"), informers)
        finally:
            await informers.stop()
        assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]

    clock.run(main())


async def started(informers, log):
    informer = informers.of("", "v1", "configmaps")
    informer.add_handler(log.added, log.updated, log.deleted)
    await informers.start()
    await informers.wait_synced()
    return informer


def test_it_follows_the_server():
    async def story(clock, server, maps, informers):
        await maps.create(config_map("a"))
        log = Log()
        informer = await started(informers, log)
        assert log.take() == [("added", "a")]
        await maps.create(config_map("b", "other"))
        await maps.patch("a", "default", {"data": {"x": "1"}})
        await maps.delete("b", "other")
        await clock.sleep(0.1)
        assert log.take() == [("added", "b"), ("updated", "a"), ("deleted", "b")]
        assert informer.lister.get("default", "a")["data"] == {"x": "1"}
        assert informer.lister.by_key("default/a") is informer.lister.get("default", "a")
        assert informer.lister.get("other", "b") is None
        assert len(informer.lister) == 1

    run(story)


def test_it_is_shared_and_late_handlers_hear_of_what_is_there():
    async def story(clock, server, maps, informers):
        await maps.create(config_map("a"))
        first = await started(informers, Log())
        late = Log()
        assert informers.of("", "v1", "configmaps") is first
        first.add_handler(late.added)
        assert late.take() == [("added", "a")]
        assert len([r for r in server.requests if r.first("watch")]) == 1
        other = informers.of("", "v1", "configmaps", field_selector="metadata.name=b")
        assert other is not first
        await informers.start()
        await other.wait_synced()
        assert len(other.lister) == 0

    run(story)


def test_indexes():
    async def story(clock, server, maps, informers):
        informer = informers.of("", "v1", "configmaps")
        informer.add_index("color", lambda o: (o.get("data") or {}).values())
        await started(informers, Log())
        await maps.create(config_map("a", color="red"))
        await maps.create(config_map("b", color="red", other="blue"))
        await clock.sleep(0.1)
        assert {o["metadata"]["name"] for o in informer.lister.by_index("color", "red")} == {"a", "b"}
        await maps.patch("a", "default", {"data": {"color": "green"}})
        await maps.delete("b", "default")
        await clock.sleep(0.1)
        assert set(informer.lister.index_keys("color")) == {"green"}
        informer.add_index("late", lambda o: [o["metadata"]["name"]])
        assert [o["metadata"]["name"] for o in informer.lister.by_index("late", "a")] == ["a"]

    run(story)


def test_it_goes_on_where_a_watch_ended():
    async def story(clock, server, maps, informers):
        log = Log()
        await started(informers, log)
        lists = len([r for r in server.requests if not r.first("watch")])
        for number in range(5):
            await clock.sleep(700)
            await maps.create(config_map(f"m{number}"))
        await clock.sleep(1)
        assert log.take() == [("added", f"m{n}") for n in range(5)]
        watches = [r for r in server.requests if r.first("watch")]
        assert len(watches) > 5
        assert all(300 <= int(r.first("timeoutSeconds")) < 600 for r in watches)
        assert all(r.first("allowWatchBookmarks") == "true" for r in watches)
        assert len([r for r in server.requests if r.method == "GET" and not r.first("watch")]) == lists

    run(story)


def test_what_it_missed_it_finds_by_listing_again():
    async def story(clock, server, maps, informers):
        log = Log()
        for name in ("kept", "changed", "gone", "anew"):
            await maps.create(config_map(name))
        informer = await started(informers, log)
        log.take()
        server.faults.append(lambda r: errors.unavailable("down") if r.first("watch") else None)
        await clock.sleep(700)  # the watch has ended by then
        await maps.patch("changed", "default", {"data": {"x": "1"}})
        await maps.delete("gone", "default")
        await maps.delete("anew", "default")
        await maps.create(config_map("anew"))
        server.compacted = server.revision  # what happened since cannot be watched any more
        server.faults.clear()
        server.events.clear()
        server.revision += 1
        await clock.sleep(100)
        assert sorted(log.take()) == [
            ("added", "anew"),
            ("deleted", "anew"),
            ("deleted", "gone"),
            ("updated", "changed"),
        ]
        assert {o["metadata"]["name"] for o in informer.lister.list()} == {"kept", "changed", "anew"}
        await maps.create(config_map("later"))
        await clock.sleep(1)
        assert log.take() == [("added", "later")]

    run(story)


def test_a_server_that_is_down_is_asked_ever_more_rarely():
    async def story(clock, server, maps, informers):
        asked = []

        def down(request):
            asked.append(clock.now())
            return errors.unavailable("down")

        server.faults.append(down)
        informer = informers.of("", "v1", "configmaps")
        await informers.start()
        await clock.sleep(600)
        assert not informer.synced
        gaps = [b - a for a, b in itertools.pairwise(asked)]
        assert gaps[0] < 2
        assert 30 <= max(gaps) <= 61
        assert len(asked) < 40
        server.faults.clear()
        await clock.sleep(61)
        assert informer.synced

    run(story)


def test_a_handler_that_fails_does_not_stop_the_others(caplog):
    async def story(clock, server, maps, informers):
        log = Log()
        informer = informers.of("", "v1", "configmaps")
        informer.add_handler(lambda _: 1 / 0)
        await started(informers, log)
        await maps.create(config_map("a"))
        await clock.sleep(0.1)
        assert log.take() == [("added", "a")]

    run(story)
    assert "ZeroDivisionError" in caplog.text


def test_one_that_is_let_go_stops():
    async def story(clock, server, maps, informers):
        log = Log()
        informer = await started(informers, log)
        await informers.forget(informer)
        await maps.create(config_map("a"))
        await clock.sleep(1)
        assert log.take() == []
        assert informers.of("", "v1", "configmaps") is not informer

    run(story)


async def test_over_each_transport(client, server):
    informers = Informers(client)
    informer = informers.of("", "v1", "configmaps")
    maps = client.resource("", "v1", "configmaps")
    await maps.create(config_map("before"))
    await informers.start()
    await informers.wait_synced()
    for number in range(50):
        await maps.create(config_map(f"m{number}"))
    async with asyncio.timeout(5):
        while len(informer.lister) < 51:
            await asyncio.sleep(0.01)
    obj = informer.lister.get("default", "before")
    assert (obj["kind"], obj["apiVersion"]) == ("ConfigMap", "v1")
    await informers.stop()


def test_a_flood_of_events_lets_others_run():
    async def story(clock, server, maps, informers):
        informer = await started(informers, Log())
        turns = []

        async def other():
            while True:
                turns.append(len(informer.lister))
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        row = resources()[GVR("", "v1", "configmaps")]
        for number in range(2000):
            server.create(row, ("", "configmaps"), "default", config_map(f"m{number}"))
        while len(informer.lister) < 2000:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert {500, 1000, 1500} <= set(turns)

    run(story)
