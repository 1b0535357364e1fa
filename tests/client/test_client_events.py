"""Recorders: events are written, counted, combined, filtered and dropped, and nobody waits for them."""

import pytest
from fake_apiserver import FakeServer
from fake_wire import ADMIN

from pilothouse.api import errors
from pilothouse.client import Client, EventsRecorder, InProcess, Recorder
from pilothouse.clock import VirtualClock, format_time

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "7"},
}


def run(story, kind=Recorder):
    clock = VirtualClock(1)

    async def main():
        server = FakeServer(clock)
        client = Client(InProcess(server.handle, ADMIN), clock)
        recorder = kind(client, clock, "tester")
        recorder.start()
        try:
            await story(clock, server, client.resource("", "v1", "events"), recorder)
        finally:
            await recorder.stop()

    clock.run(main())


async def events(api):
    return (await api.list())["items"]


def test_an_event_as_upstream_writes_it():
    async def story(clock, server, api, recorder):
        now = format_time(clock.now())
        recorder.event(POD, "Normal", "Started", "it started", field_path="spec.containers{a}")
        await recorder.flush()
        (event,) = await events(api)
        assert event["metadata"]["name"].startswith("p.1")
        assert event["metadata"]["namespace"] == "default"
        fields = {k: v for k, v in event.items() if k != "metadata"}
        assert fields == {
            "kind": "Event", "apiVersion": "v1", "reason": "Started", "message": "it started", "type": "Normal", "count": 1,
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u", "apiVersion": "v1",
                               "resourceVersion": "7", "fieldPath": "spec.containers{a}"},
            "source": {"component": "tester"}, "firstTimestamp": now, "lastTimestamp": now, "eventTime": None,
            "reportingComponent": "tester", "reportingInstance": "",
        }  # fmt: skip

    run(story)


def test_one_that_repeats_is_counted():
    async def story(clock, server, api, recorder):
        first = format_time(clock.now())
        for _ in range(5):
            recorder.event(POD, "Warning", "BackOff", "again")
            await clock.sleep(10)
        (event,) = await events(api)
        assert event["count"] == 5
        assert event["firstTimestamp"] == first
        assert event["lastTimestamp"] == format_time(clock.now() - 10)
        await api.delete(event["metadata"]["name"], "default")
        recorder.event(POD, "Warning", "BackOff", "again")
        await recorder.flush()
        (event,) = await events(api)
        assert event["count"] == 6

    run(story)


def test_similar_ones_are_combined_and_floods_filtered():
    async def story(clock, server, api, recorder):
        for number in range(40):
            recorder.event(POD, "Warning", "Failed", f"failed with {number}")
        await recorder.flush()
        found = await events(api)
        assert len(found) == 10
        (combined,) = [e for e in found if e["message"].startswith("(combined from similar events): ")]
        assert sum(e["count"] for e in found) == 25
        assert combined["count"] == 16
        other = {**POD, "metadata": {**POD["metadata"], "uid": "v", "name": "q"}}
        recorder.event(other, "Warning", "Failed", "another object is not concerned")
        await recorder.flush()
        assert len(await events(api)) == 11

    run(story)


def test_what_is_of_no_namespace_is_said_in_default():
    async def story(clock, server, api, recorder):
        recorder.event(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "n"}}, "Normal", "Ready", "m"
        )
        await recorder.flush()
        (event,) = await events(api)
        assert event["metadata"]["namespace"] == "default"
        assert "namespace" not in event["involvedObject"]

    run(story)


def test_a_server_that_is_down_loses_none_of_the_queue_but_what_is_more():
    async def story(clock, server, api, recorder):
        server.faults.append(lambda r: errors.unavailable("down") if r.method == "POST" else None)
        for number in range(1500):
            obj = {**POD, "metadata": {**POD["metadata"], "uid": str(number), "name": f"p{number}"}}
            recorder.event(obj, "Normal", "Started", "m")
        assert recorder.dropped == 500
        await clock.sleep(15)
        server.faults.clear()
        await recorder.flush()
        assert len(await events(api)) == 1000

    run(story)


def test_a_refusal_is_final(caplog):
    async def story(clock, server, api, recorder):
        server.faults.append(lambda r: errors.forbidden("", "events", "", "no") if r.method == "POST" else None)
        recorder.event(POD, "Normal", "Started", "m")
        await recorder.flush()
        assert len([r for r in server.requests if r.method == "POST"]) == 1

    run(story)
    assert "rejected" in caplog.text


def test_names_of_events_of_one_instant_differ_and_are_not_too_long():
    async def story(clock, server, api, recorder):
        obj = {**POD, "metadata": {**POD["metadata"], "name": "x" * 253}}
        for number in range(5):
            recorder.event(obj, "Normal", f"R{number}", "m")
        await recorder.flush()
        names = {e["metadata"]["name"] for e in await events(api)}
        assert len(names) == 5
        assert all(len(n) <= 253 for n in names)

    run(story)


def test_events_of_the_newer_group_become_a_series():
    async def story(clock, server, api, recorder):
        api = Client(InProcess(server.handle, ADMIN), clock).resource("events.k8s.io", "v1", "events")
        for _ in range(4):
            recorder.event(POD, "Warning", "FailedScheduling", "0/3 nodes", action="Scheduling")
            await clock.sleep(20)
        (event,) = await events(api)
        assert (event["note"], event["action"], event["reportingController"]) == ("0/3 nodes", "Scheduling", "tester")
        assert event["series"]["count"] == 2
        await clock.sleep(800)
        (event,) = await events(api)
        assert event["series"]["count"] == 4
        recorder.event(POD, "Warning", "FailedScheduling", "0/3 nodes", action="Scheduling")
        await recorder.flush()
        assert len(await events(api)) == 2

    run(story, EventsRecorder)


@pytest.mark.parametrize("kind", [Recorder, EventsRecorder])
def test_it_stops_with_events_in_the_queue(kind):
    async def story(clock, server, api, recorder):
        server.faults.append(lambda r: errors.unavailable("down"))
        for _ in range(3):
            if kind is Recorder:
                recorder.event(POD, "Normal", "R", "m")
            else:
                recorder.event(POD, "Normal", "R", "m", action="A")
        await clock.sleep(1)

    run(story, kind)
