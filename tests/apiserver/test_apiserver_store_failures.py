"""What clients are told where the store fails, and the store's compaction."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from asking import Call
from memory_store import MemoryStore

from pilothouse.apiserver.compactor import KEY, Compactor
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock, VirtualClock
from pilothouse.store.embedded import open_store
from pilothouse.store.interface import Compacted, Put, Range, Txn, TxnResult, Unavailable


async def test_a_store_that_fails_is_told_in_its_words(
    server: APIServer, store: MemoryStore, wire: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        raise Unavailable("etcdserver: request timed out")

    monkeypatch.setattr(store, "txn", fails)
    answer = await wire("POST", "/api/v1/namespaces/default/configmaps", b'{"metadata":{"name":"a"}}')
    assert orjson.loads(answer.body) == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
        "message": "etcdserver: request timed out",
    }  # fmt: skip
    monkeypatch.setattr(store, "revision", fails)
    answer = await wire("GET", "/readyz")
    assert answer.status == 500
    assert b"[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\n" in answer.body
    answer = await wire("GET", "/livez/etcd")
    why = b"internal server error: error getting data from etcd: etcdserver: request timed out\n"
    assert (answer.status, answer.body) == (500, why)


async def test_a_write_that_takes_too_long(
    server: APIServer, store: MemoryStore, wire: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "txn", hangs)
    answer = await wire("POST", "/api/v1/namespaces/default/configmaps?timeout=50ms", b'{"metadata":{"name":"a"}}')
    message = "Timeout: request did not complete within requested timeout - context deadline exceeded"
    assert (answer.status, orjson.loads(answer.body)["message"]) == (504, message)
    monkeypatch.setattr(store, "revision", hangs)
    answer = await wire("GET", "/livez/etcd")
    assert answer.body == b"internal server error: error getting data from etcd: context deadline exceeded\n"


def test_history_goes_after_an_interval() -> None:
    clock = VirtualClock()

    async def main() -> None:
        store = await open_store(None, clock)
        compactors = [Compactor(store, clock, 300) for _ in range(2)]
        tasks = [asyncio.create_task(c.run()) for c in compactors]
        await store.put(Put(b"a", b"1"))
        await store.put(Put(b"a", b"2"))  # revision 3
        await clock.sleep(301)  # one of them wrote the key: revision 4
        await store.put(Put(b"a", b"3"))
        assert [kv.value for kv in (await store.range(Range(b"a", revision=2))).kvs] == [b"1"]
        await clock.sleep(300)
        found = (await store.range(Range(KEY))).kvs[0]
        assert (found.value, found.version) == (b"4", 2)
        with pytest.raises(Compacted):
            await store.range(Range(b"a", revision=3))
        assert [kv.value for kv in (await store.range(Range(b"a", revision=4))).kvs] == [b"2"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()

    clock.run(main())


async def test_compaction_goes_on_after_a_failure() -> None:
    class Failing:
        calls = 0

        async def txn(self, request: Txn) -> TxnResult:
            self.calls += 1
            raise Unavailable("etcdserver: no leader")

    store = Failing()
    task = asyncio.create_task(Compactor(store, RealClock(), 0.01).run())  # type: ignore[arg-type]
    while store.calls < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
