"""The server on the wire: bytes, limits, compression, streams, clients that go away."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from pilothouse.apiserver import http
from pilothouse.apiserver.http import heads
from pilothouse.apiserver.server import APIServer

CM = "/api/v1/namespaces/default/configmaps"
TOKEN = {"Authorization": "Bearer admintok"}


@pytest.fixture
async def session(server: APIServer) -> AsyncIterator[aiohttp.ClientSession]:
    front = await http.serve(server)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{front.port}", headers=TOKEN, auto_decompress=False) as found:
        yield found
    await front.stop()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


async def test_objects(session: aiohttp.ClientSession) -> None:
    async with session.post(CM, json=config_map("a", k="v")) as answer:
        assert answer.status == 201
        assert answer.headers["Cache-Control"] == "no-cache, private"
        assert answer.headers["Audit-Id"]
        made = await answer.read()
        assert made.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a",')
        assert made.endswith(b"}\n")
    async with session.get(f"{CM}/a") as answer:
        assert await answer.read() == made
    async with session.get(CM) as answer:
        listed = orjson.loads(await answer.read())
    bare = {k: v for k, v in orjson.loads(made).items() if k not in ("kind", "apiVersion")}
    assert bare in listed["items"], "the items of a typed list do not say their kind"
    async with session.get(f"{CM}/a?pretty=true") as answer:
        assert (await answer.read()).startswith(b'{\n  "kind": "ConfigMap",\n')
    async with session.get(f"{CM}/a", headers={"Accept": "application/yaml"}) as answer:
        assert answer.headers["Content-Type"] == "application/yaml"
        assert b"\nkind: ConfigMap\n" in await answer.read()
    async with session.head(f"{CM}/a") as answer:
        assert answer.status == 405


async def test_limits(session: aiohttp.ClientSession) -> None:
    limit = 3 * 1024 * 1024
    for data in (b"x" * (limit + 1), _chunks(limit + 1)):
        async with session.post(CM, data=data, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 413
            status = orjson.loads(await answer.read())
            assert status["message"] == "Request entity too large: limit is 3145728"
            assert status["reason"] == "RequestEntityTooLarge"
    async with session.get("/api", headers={"X-Long": "x" * 100_000}) as answer:
        assert answer.status == 200
    async with session.get("/api", headers={"X-Long": "x" * (1 << 21)}) as answer:
        assert answer.status == 431


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 65536):
        yield b"x" * 65536


async def test_gzip(session: aiohttp.ClientSession) -> None:
    async with session.post(CM, json=config_map("big", k="x" * 200_000)) as answer:
        assert answer.status == 201
    async with session.get(f"{CM}/big", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert len(gzip.decompress(await answer.read())) > 200_000
    async with session.get(f"{CM}/big", headers={"Accept-Encoding": "identity"}) as answer:
        assert "Content-Encoding" not in answer.headers
    async with session.get("/api", headers={"Accept-Encoding": "gzip"}) as answer:
        assert "Content-Encoding" not in answer.headers, "small answers stay as they are"


async def test_warnings(session: aiohttp.ClientSession) -> None:
    assert heads.quoted('say "a\\b"\n') == '"say \\"a\\\\b\\" "'


async def test_a_watch(session: aiohttp.ClientSession, server: APIServer) -> None:
    storage = server.core.storage(server.registry.stored("", "configmaps"))  # type: ignore[arg-type]
    async with session.get(f"{CM}?watch=1&resourceVersion=0") as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Type"] == "application/json"
        async with session.post(CM, json=config_map("a")) as made:
            assert made.status == 201
        line = await asyncio.wait_for(answer.content.readline(), 5)
        assert orjson.loads(line)["type"] == "ADDED"
        assert len(storage.cache.watchers) == 1
        answer.close()
    for _ in range(100):
        if not len(storage.cache.watchers):
            break
        await asyncio.sleep(0.02)
    assert len(storage.cache.watchers) == 0, "a client that went away is forgotten"


async def test_the_end_of_the_server_ends_watches(session: aiohttp.ClientSession, server: APIServer) -> None:
    async with session.get(f"{CM}?watch=1&resourceVersion=0") as answer:
        reading = asyncio.create_task(answer.content.read())
        await asyncio.sleep(0.05)
        await server.stop()
        assert await asyncio.wait_for(reading, 5) == b""


async def test_odd_requests(session: aiohttp.ClientSession) -> None:
    for path, status in (
        ("/%2e%2e/api", 404),
        ("/api/v1/namespaces/a%2Fb/pods", 404),
        ("/api/v1/namespaces/%ff/pods", 200),
        ("/api/v1/pods?timeout=1m3", 400),
        ("/api/v1/pods?timeout=32s", 200),
        ("/api/v1/pods?limit=%ff", 400),
        ("/api/v1/watch", 400),
    ):
        async with session.get(URL(f"http://127.0.0.1:{session._base_url.port}{path}", encoded=True)) as answer:  # type: ignore[union-attr]
            assert answer.status == status, path


async def test_watch_over_a_websocket(session: aiohttp.ClientSession) -> None:
    for name in ("a", "b"):
        async with session.post(CM, json=config_map(name)):
            pass
    address = f"{CM}?watch=true&timeoutSeconds=60"
    here = {"Origin": "http://127.0.0.1"}
    async with session.ws_connect(address, headers=here, protocols=("base64.binary.k8s.io",)) as socket:
        assert socket.protocol == "base64.binary.k8s.io"
        events = [orjson.loads(await socket.receive_str(timeout=5)) for _ in range(2)]
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "a"), ("ADDED", "b")]
        async with session.post(CM, json=config_map("c")):
            pass
        assert orjson.loads(await socket.receive_str(timeout=5))["object"]["metadata"]["name"] == "c"
    protobuf = {**here, "Accept": "application/vnd.kubernetes.protobuf"}
    async with session.ws_connect(address, headers=protobuf) as socket:
        assert (await socket.receive_bytes(timeout=5)).startswith(b"\n\x05ADDED")
    for headers, status in (({}, 403), ({"Origin": "null"}, 403)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(address, headers=headers)
        assert refused.value.status == status
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(f"{CM}?watch=true&resourceVersionMatch=Foo", headers=here)
    assert refused.value.status == 422
