"""The client of an external etcd must do what the embedded engine does: the same tests, against real etcd."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from test_store_engine import (  # noqa: F401  (with this module's `store`)
    test_bad_requests_change_nothing,
    test_leases_take_their_keys_along,
    test_ranges_are_limited_sorted_and_counted,
)

from pilothouse.bootstrap import pki
from pilothouse.clock import RealClock
from pilothouse.store.interface import (
    Compacted,
    Compare,
    Delete,
    LeaseNotFound,
    Put,
    Range,
    Txn,
    Unavailable,
    WatchBatch,
    prefix_end,
)
from pilothouse.store.remote import Options, RemoteStore, open_remote
from real_etcd import Etcd

pytestmark = pytest.mark.slow  # each starts an etcd

ALL = (b"\0", b"\0")


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    with Etcd(tmp_path / "etcd") as etcd:
        yield etcd


@pytest.fixture
async def store(etcd: Etcd) -> AsyncIterator[RemoteStore]:
    found = await open_remote(Options(tuple(etcd.urls)), RealClock())
    yield found
    await found.close()


async def until(watch: AsyncIterator[WatchBatch], revision: int) -> list[tuple[int, str, bytes, bytes]]:
    """The events up to `revision`, each batch in order and whole."""
    seen: list[tuple[int, str, bytes, bytes]] = []
    async with asyncio.timeout(30):
        async for batch in watch:
            revisions = [e.kv.mod_revision for e in batch.events]
            assert revisions == sorted(revisions) and (not seen or not revisions or revisions[0] > seen[-1][0])
            seen += [(e.kv.mod_revision, e.type, e.kv.key, e.kv.value) for e in batch.events]
            if batch.revision >= revision:
                break
    return seen


async def test_a_watch_starts_after_the_present(store: RemoteStore) -> None:
    await store.put(Put(b"a", b"1"))
    watch = store.watch(b"a", prev_kv=True)
    result = await store.put(Put(b"a", b"2"))
    batch = await anext(watch)
    assert [(e.kv.value, e.prev_kv and e.prev_kv.value) for e in batch.events] == [(b"2", b"1")]
    assert batch.revision == result.revision
    for _ in range(3):
        watch.request_progress()
        assert await anext(watch) == WatchBatch([], result.revision)
    waiting = asyncio.create_task(anext(watch))
    await asyncio.sleep(0.05)
    await watch.cancel()
    with pytest.raises(StopAsyncIteration):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_a_watch_filters(store: RemoteStore) -> None:
    watch = store.watch(*ALL, no_put=True)
    await store.put(Put(b"a", b"1"))
    deleted = await store.delete(Delete(b"a"))
    assert await until(watch, deleted.revision) == [(deleted.revision, "DELETE", b"a", b"")]


async def test_a_watch_of_compacted_revisions_ends(store: RemoteStore) -> None:
    for i in range(5):
        await store.put(Put(b"a", b"%d" % i))
    await store.compact(5)
    watch = store.watch(b"a", start_revision=3)
    with pytest.raises(Compacted) as caught:
        await anext(watch)
    assert caught.value.revision == 5
    with pytest.raises(StopAsyncIteration):
        await anext(watch)
    with pytest.raises(Compacted):
        await store.compact(4)


async def test_large_revisions_come_whole(store: RemoteStore) -> None:
    """More than etcd sends in one message: in fragments, of which none is seen."""
    value = b"x" * 400_000
    for i in range(8):
        await store.txn(Txn(success=[Put(b"k%d/%d" % (i, j), value) for j in range(3)]))
    watch = store.watch(*ALL, start_revision=2)
    events = await until(watch, 9)
    assert [(revision, key) for revision, _, key, _ in events] == [
        (i + 2, b"k%d/%d" % (i, j)) for i in range(8) for j in range(3)
    ]


async def test_leases_are_listed(store: RemoteStore) -> None:
    lease = await store.lease_grant(60, 77)
    await store.put(Put(b"a", b"1", lease))
    status = await store.lease_time_to_live(77, keys=True)
    assert (lease, status.granted_ttl_s, status.keys) == (77, 60, [b"a"]) and 58 <= status.left_s <= 60
    assert await store.lease_list() == [77]
    with pytest.raises(LeaseNotFound):
        await store.lease_time_to_live(78)


async def test_another_prefix(etcd: Etcd, store: RemoteStore) -> None:
    moved = await open_remote(Options(tuple(etcd.urls), prefix="/else/where/"), RealClock())
    root = b"/registry/"
    watch = moved.watch(root, prefix_end(root), start_revision=2)
    await moved.txn(Txn([Compare(b"/registry/a", "mod", "=", 0)], [Put(b"/registry/a", b"1")], [Range(b"/registry/a")]))
    await moved.put(Put(b"compact_rev_key", b"1"))
    await store.put(Put(b"/registry/b", b"not ours"))
    assert [kv.key for kv in (await moved.range(Range(root, prefix_end(root)))).kvs] == [b"/registry/a"]
    found = (await store.range(Range(*ALL))).kvs
    assert [kv.key for kv in found] == [b"/else/where/a", b"/registry/b", b"compact_rev_key"]
    watch.request_progress()
    assert await until(watch, 4) == [(2, "PUT", b"/registry/a", b"1")]
    await moved.close()


async def test_a_member_that_hangs_is_left(tmp_path: Path) -> None:
    """Reads, guarded writes and watches go on with the others, though its connections stay open."""
    with Etcd(tmp_path / "etcd", 3) as etcd:
        store = await open_remote(Options(tuple(etcd.urls)), RealClock())
        watch = store.watch(b"a")
        first = await store.put(Put(b"a", b"1"))
        assert (await anext(watch)).revision == first.revision
        assert watch._endpoint is not None
        hung = etcd.urls.index(watch._endpoint.url)
        etcd.kill(hung, signal.SIGSTOP)
        waiting = asyncio.create_task(anext(watch))
        async with asyncio.timeout(8):  # the leader, may be
            reads = asyncio.gather(*(store.range(Range(b"a")) for _ in range(6)))
            update = Txn([Compare(b"a", "mod", "=", first.revision)], [Put(b"a", b"2")], [Range(b"a")])
            assert (await store.txn(update)).succeeded
            await reads
            batch = await waiting
        assert [event.kv.value for event in batch.events] == [b"2"]
        etcd.kill(hung, signal.SIGCONT)
        await store.close()


async def test_tls_with_client_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pilothouse.store.remote.store.CONNECT_S", 2.0)
    pki.ensure(tmp_path / "pki", RealClock(), ("127.0.0.1",))
    file = {p.name: str(p) for p in (tmp_path / "pki").iterdir()}
    flags = ["--cert-file", file["apiserver.crt"], "--key-file", file["apiserver.key"], "--client-cert-auth"]
    flags += ["--trusted-ca-file", file["ca.crt"]]
    with Etcd(tmp_path / "etcd", flags=flags, scheme="https") as etcd:
        options = Options(tuple(etcd.urls), file["ca.crt"], file["admin.crt"], file["admin.key"])
        store = await open_remote(options, RealClock())
        assert (await store.put(Put(b"a", b"1"))).revision == 2
        await store.close()
        with pytest.raises(Unavailable, match="it refused the client certificate, or misses one"):
            await open_remote(Options(tuple(etcd.urls), file["ca.crt"]), RealClock())


async def test_closing_ends_what_waits(etcd: Etcd) -> None:
    store = await open_remote(Options(tuple(etcd.urls)), RealClock())
    watch = store.watch(b"a")
    waiting = asyncio.create_task(anext(watch))
    etcd.kill(0)
    asking = asyncio.create_task(store.range(Range(b"a")))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(5):
        await store.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(Unavailable):
            await asking
    with pytest.raises(Unavailable):
        await store.put(Put(b"a", b"1"))
