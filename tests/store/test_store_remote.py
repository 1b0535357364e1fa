"""The client of an external etcd: what connections do to it, and its parts on their own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pilothouse.bootstrap import pki
from pilothouse.clock import RealClock
from pilothouse.store.interface import (
    Compacted,
    Compare,
    Delete,
    DeleteResult,
    KeyValue,
    LeaseNotFound,
    Put,
    PutResult,
    Range,
    RangeResult,
    StoreError,
    Txn,
    TxnResult,
    Unavailable,
    WatchBatch,
    prefix_end,
)
from pilothouse.store.remote import Options, RemoteStore, open_remote
from pilothouse.store.remote.convert import Converter
from pilothouse.store.remote.endpoints import parse
from pilothouse.store.remote.failures import failure
from pilothouse.store.remote.repeats import FENCE, fence_of, fenced, is_guarded, may_come_late, settle
from real_etcd import Etcd, Proxy


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


async def test_a_watch_outlives_its_connections(etcd: Etcd, store: RemoteStore) -> None:
    proxy = Proxy(etcd.ports[0])
    behind = await open_remote(Options((await proxy.start(),)), RealClock())
    watch = behind.watch(b"k", prefix_end(b"k"), start_revision=2)
    writes = 400

    async def write() -> None:
        for i in range(writes):
            await store.put(Put(b"k%d" % (i % 7), b"%d" % i))
            if i % 50 == 25:
                await proxy.cut()

    writing = asyncio.create_task(write())
    events = await until(watch, writes + 1)
    await writing
    assert events == [(i + 2, "PUT", b"k%d" % (i % 7), b"%d" % i) for i in range(writes)]
    await behind.close()
    await proxy.stop()


async def test_a_write_that_is_not_answered_is_done_once(etcd: Etcd, store: RemoteStore) -> None:
    proxy = Proxy(etcd.ports[0])
    behind = await open_remote(Options((await proxy.start(),)), RealClock())

    async def unanswered(op: Txn) -> TxnResult:
        proxy.swallowing = True
        proxy.requests_seen.clear()
        task = asyncio.create_task(behind.txn(op))
        await proxy.requests_seen.wait()
        await asyncio.sleep(0.1)
        proxy.swallowing = False
        await proxy.cut()
        return await task

    async def guarded(revision: int, write: Put | Delete) -> TxnResult:
        return await unanswered(Txn([Compare(b"a", "mod", "=", revision)], [write], [Range(b"a")]))

    created = await guarded(0, Put(b"a", b"1"))
    assert created == TxnResult(True, [PutResult(2)], 2)
    lost = await guarded(0, Put(b"a", b"2"))
    assert not lost.succeeded and lost.responses[0].kvs == [KeyValue(b"a", b"1", 2, 2, 1)]  # type: ignore[union-attr]
    # At 3 and 4 the fence was moved.
    assert (await guarded(2, Put(b"a", b"3"))).revision == 5
    assert await guarded(5, Delete(b"a")) == TxnResult(True, [DeleteResult(6, 1)], 6)
    with pytest.raises(Unavailable):  # nothing tells whether it was done: not silently repeated
        await unanswered(Txn(success=[Put(b"b", b"1")]))
    found = (await store.range(Range(b"b"))).kvs
    assert [kv.version for kv in found] == [1]
    await behind.close()
    await proxy.stop()


async def test_a_write_is_not_carried_out_after_its_repetition_was_answered(etcd: Etcd, store: RemoteStore) -> None:
    proxy = Proxy(etcd.ports[0])
    urls = (await proxy.start(), etcd.urls[0])
    behind = await open_remote(Options(urls), RealClock())
    await asyncio.gather(*(behind.range(Range(b"a")) for _ in range(8)))  # both connections stand
    proxy.hold()
    for number in itertools.count():
        key = b"k%d" % number
        await behind.txn(Txn([Compare(key, "mod", "=", 0)], [Put(key, b"1")], [Range(key)]))
        if proxy.requests_seen.is_set():
            break  # this one the member behind the proxy has not got
    assert [kv.version for kv in (await store.range(Range(key))).kvs] == [1]
    await store.delete(Delete(key))
    revision = await store.revision()
    await proxy.let_go()
    await asyncio.sleep(0.5)
    assert (await store.range(Range(key))).kvs == []
    assert await store.revision() == revision
    # The other's creations hear that the fence was moved, and are sent again.
    for creating in (store, behind):
        done = await creating.txn(Txn([Compare(key, "mod", "=", 0)], [Put(key, b"2")], [Range(key)]))
        assert done.succeeded
        lost = await creating.txn(Txn([Compare(key, "version", "=", 0)], [Put(key, b"3")], [Range(key)]))
        assert not lost.succeeded and [kv.value for kv in lost.responses[0].kvs] == [b"2"]  # type: ignore[union-attr]
        assert len(lost.responses) == 1
        await creating.delete(Delete(key))
    await behind.close()
    await proxy.stop()


@pytest.mark.parametrize(
    ("url", "tls", "parsed"),
    [
        ("http://127.0.0.1:2379", True, ("127.0.0.1:2379", False)),
        ("https://etcd.example:2379/", False, ("etcd.example:2379", True)),
        ("10.0.0.1:2379", True, ("10.0.0.1:2379", True)),
        ("http://[::1]:2379", False, ("[::1]:2379", False)),
        ("unix:///run/etcd.sock", False, ("unix:/run/etcd.sock", False)),
    ],
)
def test_addresses(url: str, tls: bool, parsed: tuple[str, bool]) -> None:
    assert parse(url, tls) == parsed


@pytest.mark.parametrize(
    "url", ["ftp://a:1", "http://a", "a", "http://a:x", "http://:1", "http://a:1/b", "http://a:99999"]
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(StoreError, match="no address of an etcd server"):
        parse(url, False)


async def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "broken").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    pki.ensure(tmp_path / "pki", RealClock(), ("127.0.0.1",))
    certificate, key = (str(tmp_path / "pki" / name) for name in ("admin.crt", "apiserver.key"))
    for options, text in (
        (Options(()), "--etcd-servers must be specified"),
        (Options(("https://a:1",), ca_file="/none"), "open /none: no such file or directory"),
        (Options(("https://a:1",), cert_file="/none"), "must be given together"),
        (Options(("https://a:1",), ca_file=str(tmp_path / "text")), "holds nothing in PEM"),
        (Options(("https://a:1",), ca_file=str(tmp_path / "broken")), "no TLS with .*broken: "),
        (Options(("https://a:1",), "", certificate, key), "tls: private key does not match public key"),
    ):
        with pytest.raises(StoreError, match=text):
            await open_remote(options, RealClock())


def test_failures_keep_etcds_words() -> None:
    found = failure("UNAVAILABLE", "etcdserver: request timed out")
    assert isinstance(found, Unavailable) and str(found) == "etcdserver: request timed out"
    assert str(failure("UNAVAILABLE", "gone")) == "rpc error: code = Unavailable desc = gone"
    assert isinstance(failure("NOT_FOUND", "etcdserver: requested lease not found"), LeaseNotFound)
    assert isinstance(failure("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", 7), Compacted)


def test_what_may_be_repeated() -> None:
    compare, read = [Compare(b"a", "mod", "=", 5)], [Range(b"a")]
    put = Txn(compare, [Put(b"a", b"1")], read)
    assert is_guarded(put) and is_guarded(Txn(compare, [Delete(b"a")], read))
    for other in (
        Txn((), [Put(b"a", b"1")], read),
        Txn(compare, [Put(b"b", b"1")], read),
        Txn(compare, [Put(b"a", b"1"), Put(b"b", b"1")], read),
        Txn(compare, [Put(b"a", b"1")], ()),
        Txn(compare, [Put(b"a", b"1", prev_kv=True)], read),
        Txn(compare, [Delete(b"a", b"b")], read),
        Txn([Compare(b"a", "mod", ">", 5)], [Put(b"a", b"1")], read),
    ):
        assert not is_guarded(other)
    theirs = TxnResult(False, [RangeResult([KeyValue(b"a", b"2", 1, 9, 2)], 1, False, 9)], 9)
    assert settle(put, theirs) is theirs
    ours = TxnResult(False, [RangeResult([KeyValue(b"a", b"1", 1, 8, 2)], 1, False, 9)], 9)
    assert settle(put, ours) == TxnResult(True, [PutResult(8)], 8)


def test_a_fence_for_what_may_come_late() -> None:
    read = [Range(b"a")]
    create = Txn([Compare(b"a", "mod", "=", 0)], [Put(b"a", b"1")], read)
    assert may_come_late(create) and may_come_late(Txn([Compare(b"a", "version", "=", 3)], [Delete(b"a")], read))
    assert not may_come_late(Txn([Compare(b"a", "mod", "=", 5)], [Put(b"a", b"1")], read))
    assert fenced(create, 7).compare == (Compare(b"a", "mod", "=", 0), Compare(FENCE, "mod", "=", 7))
    found = RangeResult([KeyValue(b"a", b"2", 1, 9, 2)], 1, False, 9)
    fence = RangeResult([KeyValue(FENCE, b"", 1, 8, 2)], 1, False, 9)
    assert fence_of(TxnResult(False, [found, fence], 9)) == (TxnResult(False, [found], 9), 8)
    assert fence_of(TxnResult(False, [found, RangeResult([], 0, False, 9)], 9))[1] == 0
    done = TxnResult(True, [PutResult(9)], 9)
    assert fence_of(done) == (done, None)


def test_a_moved_range_ends_where_it_should() -> None:
    converter = Converter("/x")
    assert converter.out_end(b"/registry0") == b"/x0"
    assert converter.out_end(b"/registry/pods0") == b"/x/pods0"
    assert converter.out_end(b"\0") == b"\0"
    assert not Converter("registry/").moved
