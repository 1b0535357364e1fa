"""The API server on a real etcd cluster of three, of which members die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from asking import ADMIN, request_of

from pilothouse.api.exchange import Response
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock
from pilothouse.store.interface import Range, prefix_end
from pilothouse.store.remote import Options, RemoteStore, open_remote
from real_etcd import Etcd

pytestmark = pytest.mark.slow  # half a minute each: elections take their time

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[tuple[Etcd, RemoteStore, APIServer]]:
    with Etcd(tmp_path / "etcd", 3) as etcd:
        store = await open_remote(Options(tuple(etcd.urls)), RealClock())
        server = APIServer(store, RealClock(), Config(disable_admission_plugins=("ServiceAccount",)))
        await server.start()
        yield etcd, store, server
        await server.stop()
        await store.close()


class Load:
    """Writers that create ConfigMaps and update them as fast as they are answered, and a watch that sees it."""

    def __init__(self, server: APIServer) -> None:
        self._server = server
        self.created: dict[str, int] = {}  # acknowledged, and the revision that was told
        self.updated: dict[str, int] = {}
        self.refused: list[tuple[int, str]] = []
        self.gap_s = 0.0  # the longest time without an acknowledgement
        self._last_s = time.monotonic()
        self.events: list[tuple[str, str, int]] = []
        self._stopped = False
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> Response:
        return await self._server.handle(request_of(method, path, body, ADMIN, "application/json", {}))

    async def __aenter__(self) -> Load:
        answer = await self.ask("GET", f"{MAPS}?watch=true")
        self._watching = asyncio.create_task(self._watch(answer))
        self._tasks = [asyncio.create_task(self._write(i)) for i in range(8)]
        return self

    async def _watch(self, answer: Response) -> None:
        assert answer.events is not None
        async for batch in answer.events:
            for event in batch:
                meta = event.object["metadata"]
                self.events.append((event.type, meta["name"], int(meta["resourceVersion"])))

    async def _write(self, writer: int) -> None:
        number = 0
        while not self._stopped:
            name = f"w{writer}-{number}"
            number += 1
            if await self._acknowledged("POST", MAPS, {"metadata": {"name": name}}, self.created, name):
                body = {"metadata": {"name": name}, "data": {"written": "again"}}
                await self._acknowledged("PUT", f"{MAPS}/{name}", body, self.updated, name)

    async def _acknowledged(self, method: str, path: str, body: Any, into: dict[str, int], name: str) -> bool:
        answer = await self.ask(method, path, body)
        obj = answer.object if answer.object is not None else orjson.loads(answer.body)
        if answer.status not in (200, 201):
            self.refused.append((answer.status, obj.get("message", "")))
            return False
        into[name] = int(obj["metadata"]["resourceVersion"])
        now_s = time.monotonic()
        self.gap_s, self._last_s = max(self.gap_s, now_s - self._last_s), now_s
        return True

    async def __aexit__(self, *_: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)
        await asyncio.sleep(0.5)
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    async def check(self, store: RemoteStore) -> None:
        """Everything that was acknowledged is in etcd as it was told, and the watch saw each once and in order."""
        prefix = b"/registry/configmaps/default/"
        found = {kv.key: kv for kv in (await store.range(Range(prefix, prefix_end(prefix)))).kvs}
        for name, revision in self.created.items():
            assert found[prefix + name.encode()].create_revision == revision
        for name, revision in self.updated.items():
            kv = found[prefix + name.encode()]
            assert (kv.mod_revision, kv.version) == (revision, 2)
        revisions = [revision for _, _, revision in self.events]
        assert revisions == sorted(set(revisions))
        added = {name: revision for kind, name, revision in self.events if kind == "ADDED"}
        modified = {name: revision for kind, name, revision in self.events if kind == "MODIFIED"}
        assert {name: added.get(name) for name in self.created} == self.created
        assert {name: modified.get(name) for name in self.updated} == self.updated


async def test_members_die_under_a_stream_of_writes(three: tuple[Etcd, RemoteStore, APIServer]) -> None:
    etcd, store, server = three
    async with Load(server) as load:
        await asyncio.sleep(1)
        leader = await asyncio.to_thread(etcd.leader)
        follower = (leader + 1) % 3
        before = len(load.updated)
        etcd.kill(follower)
        await asyncio.sleep(2)
        assert len(load.updated) > before
        etcd.start(follower)
        await asyncio.sleep(2)
        leader = await asyncio.to_thread(etcd.leader)
        etcd.kill(leader)
        await asyncio.sleep(5)
        before = len(load.updated)
        await asyncio.sleep(1)
        assert len(load.updated) > before
        etcd.start(leader)
        await asyncio.sleep(2)
    assert load.refused == []
    assert load.gap_s < 5
    await load.check(store)


async def test_without_quorum_nothing_is_lost(three: tuple[Etcd, RemoteStore, APIServer]) -> None:
    etcd, store, server = three
    async with Load(server) as load:
        await asyncio.sleep(1)
        for member in (0, 1):
            etcd.kill(member)
        await asyncio.sleep(1)
        ready = await load.ask("GET", "/readyz")
        assert ready.status == 500
        assert b"[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\n" in ready.body
        livez = await load.ask("GET", "/livez/etcd")
        why = b"internal server error: error getting data from etcd: context deadline exceeded\n"
        assert (livez.status, livez.body) == (500, why)
        assert (await load.ask("GET", "/api/v1/namespaces/default?resourceVersion=0")).status == 200
        late = await load.ask("POST", f"{MAPS}?timeout=2s", {"metadata": {"name": "late"}})
        message = "Timeout: request did not complete within requested timeout - context deadline exceeded"
        told = late.object if late.object is not None else orjson.loads(late.body)
        assert (late.status, told["message"]) == (504, message)
        before = len(load.updated)
        for member in (0, 1):
            etcd.start(member)
        began_s = time.monotonic()
        while len(load.updated) == before:
            await asyncio.sleep(0.05)
        assert time.monotonic() - began_s < 10
        while (await load.ask("GET", "/readyz")).status != 200:
            await asyncio.sleep(0.1)
        assert time.monotonic() - began_s < 15
    assert {status for status, _ in load.refused} <= {504}
    await load.check(store)
