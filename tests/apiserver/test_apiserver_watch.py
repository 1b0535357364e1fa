"""Watches: what is seen from which revision on, bookmarks, ends and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import orjson
import pytest
from asking import Call
from memory_store import MemoryStore

from pilothouse.api.exchange import Response, WatchEvent
from pilothouse.api.objects import Obj
from pilothouse.apiserver.server import APIServer

CM = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> Obj:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


async def flat(response: Response) -> AsyncIterator[WatchEvent]:
    assert response.events is not None
    async with aclosing(response.events) as batches:  # type: ignore[type-var]
        async for batch in batches:
            assert batch
            for event in batch:
                yield event


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    found = []
    async with asyncio.timeout(5):
        while len(found) < count:
            event = await anext(events)
            found.append((event.type, event.object["metadata"].get("name", "")))
    return found


async def lines(response: Response) -> list[Any]:
    assert response.chunks is not None
    return [orjson.loads(line) async for chunk in response.chunks for line in chunk.splitlines()]


async def test_present_objects_then_events(call: Call) -> None:
    await call("POST", CM, config_map("a"))
    async with aclosing(flat(await call("GET", f"{CM}?watch=1"))) as events:  # type: ignore[type-var]
        assert await take(events, 1) == [("ADDED", "a")]
        made = await call("POST", CM, config_map("b"))
        await call("PUT", f"{CM}/b", config_map("b", k="v"))
        await call("DELETE", f"{CM}/b")
        assert await take(events, 3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]
        await call("POST", "/api/v1/namespaces/kube-system/configmaps", config_map("c"))
        await call("POST", CM, config_map("d"))
        assert await take(events, 1) == [("ADDED", "d")]
    assert made.object["metadata"]["resourceVersion"]


async def test_from_a_revision(call: Call, server: APIServer) -> None:
    first = (await call("POST", CM, config_map("a"))).object
    await call("PUT", f"{CM}/a", config_map("a", k="v"))
    revision = first["metadata"]["resourceVersion"]
    async with aclosing(flat(await call("GET", f"{CM}?watch=1&resourceVersion={revision}"))) as events:  # type: ignore[type-var]
        assert await take(events, 1) == [("MODIFIED", "a")]
    storage = server.core.storage(server.registry.stored("", "configmaps"))  # type: ignore[arg-type]
    storage.cache._oldest = int(revision)
    async with aclosing(flat(await call("GET", f"{CM}?watch=1&resourceVersion=1"))) as events:  # type: ignore[type-var]
        event = await anext(events)
        assert event.type == "ERROR"
        assert (event.object["code"], event.object["reason"]) == (410, "Expired")
        assert event.object["message"] == f"too old resource version: 1 ({revision})"
    assert len(storage.cache.watchers) == 0


async def test_a_revision_of_the_future_waits_for_it(call: Call, store: MemoryStore) -> None:
    response = await call("GET", f"{CM}?watch=1&resourceVersion={store.now + 2}")
    async with aclosing(flat(response)) as events:  # type: ignore[type-var]
        waiting = asyncio.create_task(take(events, 1))
        await asyncio.sleep(0)
        for name in ("a", "b", "c"):
            await call("POST", CM, config_map(name))
        assert await waiting == [("ADDED", "c")]


async def test_the_end_of_the_present(call: Call) -> None:
    await call("POST", CM, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with aclosing(flat(await call("GET", f"{CM}?{query}"))) as events:  # type: ignore[type-var]
        assert await take(events, 1) == [("ADDED", "a")]
        mark = await anext(events)
        assert mark.type == "BOOKMARK"
        assert mark.object["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(mark.object["metadata"]["resourceVersion"]) > 1
        assert (mark.object["kind"], mark.object["apiVersion"]) == ("ConfigMap", "v1")


async def test_no_present(call: Call) -> None:
    await call("POST", CM, config_map("a"))
    query = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    async with aclosing(flat(await call("GET", f"{CM}?{query}"))) as events:  # type: ignore[type-var]
        await call("POST", CM, config_map("b"))
        assert await take(events, 1) == [("ADDED", "b")]


async def test_a_watch_ends_in_its_time(call: Call, wire: Call) -> None:
    await call("POST", CM, config_map("a"))
    response = await wire("GET", f"{CM}?watch=1&timeoutSeconds=1")
    assert response.headers["Content-Type"] == "application/json"
    seen = await lines(response)
    assert [e["type"] for e in seen] == ["ADDED"]
    assert seen[0]["object"]["kind"] == "ConfigMap"


async def test_the_server_ends_watches(call: Call, server: APIServer) -> None:
    events = flat(await call("GET", f"{CM}?watch=1"))
    waiting = asyncio.create_task(anext(events, None))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    await server.stop()
    assert await asyncio.wait_for(waiting, 5) is None


async def test_one_object(call: Call) -> None:
    path = "/api/v1/watch/namespaces/default/configmaps/a"
    async with aclosing(flat(await call("GET", path))) as events:  # type: ignore[type-var]
        waiting = asyncio.create_task(take(events, 2))
        await asyncio.sleep(0)
        await call("POST", CM, config_map("b"))
        await call("POST", CM, config_map("a"))
        await call("DELETE", f"{CM}/a")
        assert await waiting == [("ADDED", "a"), ("DELETED", "a")]


async def test_tables_and_metadata(call: Call, wire: Call) -> None:
    await call("POST", CM, config_map("a", k="v"))
    await call("POST", CM, config_map("b", k="v"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    seen = await lines(await wire("GET", f"{CM}?watch=1&timeoutSeconds=1&allowWatchBookmarks=1", accept=accept))
    assert [e["type"] for e in seen] == ["ADDED", "ADDED", "BOOKMARK"]
    assert [e["object"]["kind"] for e in seen] == ["Table"] * 3
    assert seen[0]["object"]["columnDefinitions"][0]["name"] == "Name"
    assert seen[1]["object"]["columnDefinitions"] is None, "the columns come once"
    assert seen[0]["object"]["rows"][0]["cells"][0] == "a"
    assert seen[2]["object"]["rows"][0]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    seen = await lines(await wire("GET", f"{CM}?watch=1&timeoutSeconds=1", accept=accept))
    assert [e["object"]["kind"] for e in seen] == ["PartialObjectMetadata"] * 2
    assert "data" not in seen[0]["object"]


async def test_refusals(call: Call, wire: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from pilothouse.apiserver.handlers import lists

    monkeypatch.setattr(lists, "WAIT_S", 0.05)
    assert (await call("GET", f"{CM}?watch=1&resourceVersion=x")).status == 400
    assert (await call("GET", f"{CM}?watch=1&sendInitialEvents=true")).status == 422
    assert (await call("GET", f"{CM}?watch=1&timeoutSeconds=x")).status == 400
    yaml = await wire("GET", f"{CM}?watch=1", accept="application/yaml")
    assert yaml.status == 406
    assert b"application/json;stream=watch" in yaml.body
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99999"
    [event] = await lines(await wire("GET", f"{CM}?{query}"))
    assert event["type"] == "ERROR"
    assert event["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_a_stream_that_nobody_reads(call: Call, server: APIServer) -> None:
    await call("GET", f"{CM}?watch=1")
    storage = server.core.storage(server.registry.stored("", "configmaps"))  # type: ignore[arg-type]
    assert len(storage.cache.watchers) == 0
