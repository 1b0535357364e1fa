"""The embedded engine's behaviours one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pilothouse.clock import RealClock, VirtualClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.embedded.restore import restore
from pilothouse.store.interface import (
    Compacted,
    Corrupt,
    Delete,
    FutureRevision,
    InUse,
    InvalidRequest,
    LeaseExists,
    LeaseNotFound,
    NoSpace,
    Put,
    Range,
    StoreError,
    Txn,
    Unavailable,
    Version,
    prefix_end,
)

ALL = Range(b"\0", b"\0")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    found = await open_store(tmp_path / "s", RealClock())
    yield found
    await found.close()


async def keys(store: EmbeddedStore) -> list[bytes]:
    return [kv.key for kv in (await store.range(ALL)).kvs]


async def test_ranges_are_limited_sorted_and_counted(store: EmbeddedStore) -> None:
    for i in range(10):
        await store.put(Put(b"k/%d" % i, b"%d" % (9 - i)))
    end = prefix_end(b"k/")
    found = await store.range(Range(b"k/", end, limit=3))
    assert ([kv.key for kv in found.kvs], found.count, found.more) == ([b"k/0", b"k/1", b"k/2"], 10, True)
    found = await store.range(Range(b"k/", end, sort_target="value", limit=2))
    assert [kv.value for kv in found.kvs] == [b"0", b"1"]
    found = await store.range(Range(b"k/", end, count_only=True))
    assert (found.kvs, found.count) == ([], 10)
    found = await store.range(Range(b"k/", end, keys_only=True, descending=True, limit=1))
    assert found.kvs[0].key == b"k/9" and found.kvs[0].value == b""
    found = await store.range(Range(b"k/", end, min_mod_revision=10))
    assert [kv.key for kv in found.kvs] == [b"k/8", b"k/9"]


async def test_a_range_of_many_keys_is_of_one_revision_and_lets_others_run() -> None:
    store = await open_store(None, RealClock())
    for base in range(0, 20_000, 100):
        await store.txn(Txn(success=[Put(b"k/%05d" % i, b"old") for i in range(base, base + 100)]))
    at = await store.revision()
    reading = asyncio.create_task(store.range(Range(b"k/", prefix_end(b"k/"), revision=at)))
    await asyncio.sleep(0)
    turns = 0
    while not reading.done():  # from behind, where the reader has not been
        name = b"k/%05d" % (19_999 - turns)
        await (store.put(Put(name, b"new")) if turns % 2 else store.delete(Delete(name)))
        turns += 1
    found = await reading
    assert turns > 3
    assert found.count == len(found.kvs) == 20_000
    assert {kv.value for kv in found.kvs} == {b"old"} and [kv.key for kv in found.kvs] == sorted(
        kv.key for kv in found.kvs
    )
    await store.close()


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Put(b"", b"x"), "etcdserver: key is not provided"),
        (Put(b"a", b"x" * 2_000_000), "etcdserver: request is too large"),
        (Txn(success=[Put(b"a", b"1"), Put(b"a", b"2")]), "etcdserver: duplicate key given in txn request"),
        (Txn(success=[Put(b"a", b"1"), Delete(b"a")]), "etcdserver: duplicate key given in txn request"),
        (Txn(success=[Range(b"a")] * 129), "etcdserver: too many operations in txn request"),
        (Txn(success=[Put(b"b", b"1"), Put(b"c", b"", ignore_value=True)]), "etcdserver: key not found"),
        (Put(b"a", b"1", ignore_value=True), "etcdserver: value is provided"),
        (Put(b"a", b"1", lease=3, ignore_lease=True), "etcdserver: lease is provided"),
        (Txn(success=[Put(b"b", b"1"), Put(b"c", b"1", lease=7)]), "etcdserver: requested lease not found"),
        (Range(b"a", revision=9), "etcdserver: mvcc: required revision is a future revision"),
        (Txn(success=[Put(b"b", b"1"), Range(b"a", revision=9)]), "required revision is a future revision"),
        (Range(b"a", revision=1), "etcdserver: mvcc: required revision has been compacted"),
    ],
)
async def test_bad_requests_change_nothing(store: EmbeddedStore, op: Put | Txn | Range, text: str) -> None:
    await store.put(Put(b"a", b"1"))
    await store.compact(2)
    before = (await store.range(ALL)).kvs
    with pytest.raises(StoreError, match=text):
        await (store.put(op) if isinstance(op, Put) else store.txn(op) if isinstance(op, Txn) else store.range(op))
    assert (await store.range(ALL)).kvs == before and await store.revision() == 2


async def test_leases_take_their_keys_along(store: EmbeddedStore) -> None:
    lease = await store.lease_grant(60)
    await store.put(Put(b"a", b"1", lease=lease))
    await store.put(Put(b"b", b"1", lease=lease))
    status = await store.lease_time_to_live(lease, keys=True)
    assert status.granted_ttl_s == 60 and 58 < status.left_s <= 60 and status.keys == [b"a", b"b"]
    await store.put(Put(b"b", b"2"))  # without the lease from now on
    with pytest.raises(LeaseExists):
        await store.lease_grant(5, lease)
    assert await store.lease_keep_alive(lease) == 60
    assert await store.lease_list() == [lease]
    await store.lease_revoke(lease)
    assert await keys(store) == [b"b"]
    for call in (store.lease_keep_alive, store.lease_revoke, store.lease_time_to_live):
        with pytest.raises(LeaseNotFound):
            await call(lease)
    with pytest.raises(InvalidRequest, match="too large lease TTL"):
        await store.lease_grant(9_000_000_001)


def test_leases_expire_also_after_a_restart(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def main() -> None:
        store = await open_store(tmp_path, clock)
        short, long_ = await store.lease_grant(1), await store.lease_grant(4000)
        assert await store.lease_keep_alive(short) == 2  # etcd's least
        await store.put(Put(b"short", b"", lease=short))
        await store.put(Put(b"long", b"", lease=long_))
        watch = store.watch(b"\0", b"\0")
        batch = await anext(aiter(watch))
        assert [(e.type, e.kv.key) for e in batch.events] == [("DELETE", b"short")] and 1.9 < clock.monotonic() < 2.5
        await asyncio.sleep(3000)
        await store.close()
        store = await open_store(tmp_path, clock)
        left = (await store.lease_time_to_live(long_)).left_s
        assert 1000 <= left < 1400, "what was left of a long lease is written down every five minutes"
        await store.lease_keep_alive(long_)
        await store.close()
        store = await open_store(tmp_path, clock)
        assert (await store.lease_time_to_live(long_)).left_s > 3990, "and so is that it was kept alive"
        await asyncio.sleep(3800)
        assert await keys(store) == [b"long"]
        await asyncio.sleep(201)
        assert await keys(store) == [] and await store.lease_list() == []
        await store.close()

    clock.run(main())


async def test_only_one_process_has_it(tmp_path: Path, store: EmbeddedStore) -> None:
    with pytest.raises(InUse, match="in use by process"):
        await open_store(tmp_path / "s", RealClock())


async def test_damage_is_found_at_open(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "d", RealClock())
    for i in range(300):
        await store.put(Put(b"key-%d" % i, b"value-%d" % i))
    await store.close()
    log = tmp_path / "d" / "log-00000000"
    content = bytearray(log.read_bytes())
    content[content.find(b"value-123")] ^= 0xFF
    log.write_bytes(content)
    with pytest.raises(Corrupt, match="does not match its checksum; restore a snapshot"):
        await open_store(tmp_path / "d", RealClock())
    log.write_bytes(b"not a log" * 1000)
    with pytest.raises(Corrupt, match="damaged"):
        await open_store(tmp_path / "d", RealClock())
    log.unlink()
    (tmp_path / "d" / "log-00000001").write_bytes(b"")
    with pytest.raises(Corrupt, match="log-00000000 is damaged: it is missing"):
        await open_store(tmp_path / "d", RealClock())


async def test_it_says_why_it_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="is not a directory; choose another data directory"):
        await open_store(tmp_path / "file", RealClock())


async def test_a_directory_of_before_the_log_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"old")
    with pytest.raises(Unavailable, match="was written by an older pilothouse"):
        await open_store(tmp_path, RealClock())
    assert (tmp_path / "data.mdb").read_bytes() == b"old"


async def test_without_a_directory_it_is_in_memory_alone() -> None:
    store = await open_store(None, RealClock())
    await store.put(Put(b"a", b"1"))
    await store.put(Put(b"a", b"2"))
    await store.compact(3, physical=True)
    await store.defragment()
    assert [kv.value for kv in (await store.range(Range(b"a"))).kvs] == [b"2"]
    await store.close()
    with pytest.raises(Unavailable, match="etcdserver: server stopped"):
        await store.put(Put(b"a", b"1"))


async def test_compaction_frees_memory_and_disk(tmp_path: Path) -> None:
    store = await open_store(tmp_path, RealClock())
    value = b"x" * 100_000
    for _ in range(100):
        await store.put(Put(b"a", value))
    before = await store.status()
    await store.compact(before.revision, physical=True)
    after = await store.status()
    assert before.in_use_bytes > 10_000_000 and before.size_bytes > 10_000_000
    assert after.in_use_bytes < 201_000 and after.size_bytes < 300_000
    assert (await store.range(Range(b"a"))).kvs[0].version == 100
    with pytest.raises(Compacted):
        await store.range(Range(b"a", revision=before.revision - 1))
    await store.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 6_000_000
    store = await open_store(tmp_path, RealClock())
    again = await store.status()
    assert (again.revision, again.term) == (after.revision, after.term + 1) and again.index >= after.index
    assert (await store.range(Range(b"a"))).kvs[0].version == 100
    await store.close()


async def test_the_quota_sets_an_alarm_that_lasts(tmp_path: Path) -> None:
    store = await open_store(tmp_path, RealClock(), quota_bytes=100_000)
    with pytest.raises(NoSpace, match="etcdserver: mvcc: database space exceeded"):
        for _ in range(1000):
            await store.put(Put(b"a", b"x" * 1000))
    at = await store.revision()
    assert at > 80 and store.alarms == {"NOSPACE"}
    await store.close()
    store = await open_store(tmp_path, RealClock(), quota_bytes=100_000)
    await store.compact(at, physical=True)
    for refused in (store.put(Put(b"b", b"")), store.lease_grant(60), store.txn(Txn(success=[Put(b"b", b"")]))):
        with pytest.raises(NoSpace):
            await refused
    await store.delete(Delete(b"a"))
    await store.set_alarm("NOSPACE", False)
    await store.put(Put(b"b", b""))
    lease = await store.lease_grant(60)
    await store.set_alarm("CORRUPT", True)
    for write in (
        store.put(Put(b"b", b"", lease=77)),
        store.delete(Delete(b"none")),
        store.txn(Txn(failure=[Txn(success=[Put(b"b", b"")])])),
        store.lease_grant(60),
        store.lease_revoke(lease),
        store.compact(1),
    ):
        with pytest.raises(Corrupt, match="etcdserver: corrupt cluster"):
            await write
    assert (await store.range(ALL)).count == 1 and (await store.txn(Txn(success=[ALL]))).succeeded
    assert await store.lease_keep_alive(lease) == 60
    await store.set_alarm("CORRUPT", False)
    await store.put(Put(b"b", b""))
    await store.close()


async def test_negative_revisions(store: EmbeddedStore) -> None:
    """Alone they are the present, as etcd has it; within a transaction they are judged as any."""
    for _ in range(2):
        await store.put(Put(b"a", b""))
    assert (await store.range(Range(b"a", revision=-5))).count == 1
    assert (await store.txn(Txn(success=[Range(b"a", revision=-1)]))).responses[0].count == 1  # type: ignore[union-attr]
    with pytest.raises(Compacted):
        await store.txn(Txn(success=[Range(b"a", revision=-2)]))
    await store.compact(2)
    with pytest.raises(Compacted):
        await store.txn(Txn(success=[Range(b"a", revision=-1)]))


async def test_facts_beside_the_keys_last(tmp_path: Path) -> None:
    store = await open_store(tmp_path, RealClock())
    await store.set_meta("cluster", b"\x01\x02")
    await store.set_meta("gone", b"x")
    await store.set_meta("gone", None)
    for _ in range(2):
        await store.close()
        store = await open_store(tmp_path, RealClock())
        assert dict(store.meta) == {"cluster": b"\x01\x02"}
        await store.defragment()
    await store.close()


async def test_a_copy_restores_to_the_same(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "one", RealClock())
    lease = await store.lease_grant(600)
    for i in range(30):
        await store.put(Put(b"k/%d" % (i % 7), b"%d" % i, lease=lease if i % 2 else 0))
    await store.txn(Txn(success=[Put(b"t/1", b"1"), Put(b"t/2", b"2"), Delete(b"k/3")]))
    await store.compact(20)
    await store.put(Put(b"last", b""))
    at = await store.revision()
    versions: list[Version] = []
    async with store.export() as copy:
        await store.put(Put(b"later", b""))
        async for some in copy.versions:
            versions += some
    places = [(v.kv.mod_revision, v.sub) for v in versions]
    assert places == sorted(set(places)) and copy.revision == at and copy.leases[0].keys
    restore(
        tmp_path / "two", versions, revision=copy.revision, compacted=copy.compacted, term=copy.term, leases=copy.leases
    )
    two = await open_store(tmp_path / "two", RealClock())
    assert await two.revision() == at and await two.lease_list() == [lease]
    for revision in range(20, at + 1):
        whole = Range(b"\0", b"\0", revision=revision)
        assert (await two.range(whole)).kvs == (await store.range(whole)).kvs
        assert await two.hash_kv(revision) == await store.hash_kv(revision)
    with pytest.raises(Compacted):
        await two.range(Range(b"a", revision=19))
    with pytest.raises(FutureRevision):
        await two.hash_kv(at + 1)
    with pytest.raises(Unavailable, match="holds a store already"):
        restore(tmp_path / "two", versions, revision=at)
    await two.close()
    await store.close()


async def test_a_snapshot_replaces_the_log_after_so_many_revisions(tmp_path: Path) -> None:
    store = await open_store(tmp_path, RealClock(), snapshot_every=20)
    first = sorted(path.name for path in (tmp_path).glob("log-*"))
    for i in range(15):
        await store.put(Put(b"k", b"%d" % i))
    assert sorted(path.name for path in (tmp_path).glob("log-*")) == first
    for i in range(15, 30):
        await store.put(Put(b"k", b"%d" % i))
    async with asyncio.timeout(5):
        while not list(tmp_path.glob("snapshot-*")):
            await asyncio.sleep(0.01)
    await store.close()
    store = await open_store(tmp_path, RealClock())
    assert await store.revision() == 31
    assert [kv.value for kv in (await store.range(Range(b"k"))).kvs] == [b"29"]
    await store.close()


async def test_the_hash_of_a_compacted_revision_is_that_of_before(tmp_path: Path) -> None:
    """The hashes are those that etcd 3.6.8 gave for the same commands."""
    store = await open_store(None, RealClock(), hash_compactions=True)
    for i in range(1, 6):
        await store.put(Put(b"k%d" % i, b"v%d" % i))
        await store.put(Put(b"k1", b"again%d" % i))
    await store.delete(Delete(b"k2"))
    await store.compact(6, physical=True)
    assert await store.hash_kv() == (3517364575, 12, 6)
    assert await store.hash_kv(6) == (2653792647, 6, -1)
    assert await store.hash_kv(7) == (2405789113, 7, 6)
    await store.delete(Delete(b"\0", b"\0"))
    await store.compact(13, physical=True)
    assert await store.hash_kv(13) == (321366815, 13, 6)
    assert await store.hash_kv(6) == (2653792647, 6, -1)
    assert await store.hash_kv() == (1084519789, 13, 13)
    for i in range(15):
        await store.put(Put(b"more", b"%d" % i))
        await store.compact(14 + i, physical=True)
    with pytest.raises(Compacted):  # the last ten are kept
        await store.hash_kv(13)
    assert (await store.hash_kv(19)).compacted == 18
    await store.close()
