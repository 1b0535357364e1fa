"""The client of an external etcd against `pilothouse etcd`'s front: the same tests as the embedded engine's, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_store_engine import (  # noqa: F401  (with this module's `store`)
    test_bad_requests_change_nothing,
    test_leases_take_their_keys_along,
    test_ranges_are_limited_sorted_and_counted,
)

from pilothouse.clock import RealClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.etcd.config import Config
from pilothouse.store.etcd.front import Front
from pilothouse.store.interface import Compacted, Compare, Delete, Put, PutResult, Range, Txn, TxnResult, WatchBatch
from pilothouse.store.remote import Options, RemoteStore, open_remote
from pilothouse.store.remote.snapshot import download
from pilothouse.store.snapshots.restore import inspect
from real_etcd import free_ports


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[tuple[str, EmbeddedStore]]:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    behind = await open_store(None, RealClock())
    config = Config(data_dir=str(tmp_path), listen_client_urls=[url], advertise_client_urls=[url])
    front = Front(behind, config, RealClock())
    await front.start()
    yield url, behind
    await front.close()
    await behind.close()


@pytest.fixture
async def store(url: tuple[str, EmbeddedStore]) -> AsyncIterator[RemoteStore]:
    found = await open_remote(Options((url[0],)), RealClock())
    yield found
    await found.close()


async def test_writes_and_watches(store: RemoteStore) -> None:
    watch = store.watch(b"a", prev_kv=True)
    create = Txn([Compare(b"a", "mod", "=", 0)], [Put(b"a", b"1")], [Range(b"a")])
    assert await store.txn(create) == TxnResult(True, [PutResult(2)], 2)
    assert not (await store.txn(create)).succeeded
    await store.delete(Delete(b"a"))
    seen = []
    async with asyncio.timeout(5):
        async for batch in watch:
            seen += [(event.type, event.kv.mod_revision) for event in batch.events]
            if batch.revision == 3:
                break
        assert seen == [("PUT", 2), ("DELETE", 3)]
        for _ in range(2):
            watch.request_progress()
            assert await anext(watch) == WatchBatch([], 3)
    await store.compact(3)
    with pytest.raises(Compacted) as caught:
        await anext(store.watch(b"a", start_revision=2))
    assert caught.value.revision == 3


async def test_snapshots(tmp_path: Path, url: tuple[str, EmbeddedStore]) -> None:
    for i in range(100):
        await url[1].put(Put(b"k%d" % i, b"x" * 5000))
    size = await download(Options((url[0],)), tmp_path / "s.db", lambda *_: None)
    found = inspect(tmp_path / "s.db")
    assert (found.revision, found.total_keys, found.total_size) == (101, 100, size - 32)
