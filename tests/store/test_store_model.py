"""The embedded engine against a plain model: the same commands, equal answers, also after it was closed and opened again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.clock import RealClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.interface import (
    Compacted,
    Compare,
    Corrupt,
    Delete,
    FutureRevision,
    InUse,
    InvalidRequest,
    LeaseExists,
    LeaseNotFound,
    Op,
    Put,
    Range,
    Txn,
    prefix_end,
)  # fmt: skip

KEYS = st.sampled_from([b"a", b"a/1", b"a/2", b"b", b"c/1"])
VALUES = st.binary(max_size=4)
PUTS = st.builds(Put, KEYS, VALUES)
DELETES = st.one_of(st.builds(Delete, KEYS), st.just(Delete(b"a", prefix_end(b"a"))))
COMPARES = st.builds(
    Compare,
    KEYS,
    st.sampled_from(["version", "create", "mod"]),
    st.sampled_from(["=", "!=", ">", "<"]),
    st.integers(0, 9),
)  # type: ignore[arg-type]
TXNS = st.builds(
    lambda c, s, f: Txn(c, [s], [f]), st.lists(COMPARES, max_size=2), st.one_of(PUTS, DELETES), st.one_of(PUTS, DELETES)
)
COMMANDS = st.lists(st.one_of(PUTS, DELETES, TXNS), max_size=25)


class Model:
    """Key → (value, create, mod, version), every state kept."""

    def __init__(self) -> None:
        self.revision = 1
        self.states: dict[int, dict[bytes, tuple[bytes, int, int, int]]] = {1: {}}
        self.events: list[tuple[int, str, bytes, bytes]] = []

    def run(self, op: Op) -> None:
        now = dict(self.states[self.revision])
        if isinstance(op, Txn):
            holds = all(self._holds(c, now) for c in op.compare)
            (op,) = op.success if holds else op.failure
        revision = self.revision + 1
        before = len(self.events)
        if isinstance(op, Put):
            old = now.get(op.key)
            now[op.key] = (op.value, old[1] if old else revision, revision, old[3] + 1 if old else 1)
            self.events.append((revision, "PUT", op.key, op.value))
        elif isinstance(op, Delete):
            end = op.range_end or op.key + b"\0"
            for key in sorted(k for k in now if op.key <= k < end):
                del now[key]
                self.events.append((revision, "DELETE", key, b""))
        if len(self.events) > before:
            self.revision = revision
            self.states[revision] = now

    def _holds(self, c: Compare, now: dict[bytes, tuple[bytes, int, int, int]]) -> bool:
        _, create, mod, version = now.get(c.key, (b"", 0, 0, 0))
        actual = {"create": create, "mod": mod, "version": version}[c.target]
        assert isinstance(c.value, int)
        return {"=": actual == c.value, "!=": actual != c.value, ">": actual > c.value, "<": actual < c.value}[c.op]


async def _run(store: EmbeddedStore, op: Op) -> None:
    if isinstance(op, Put):
        await store.put(op)
    elif isinstance(op, Delete):
        await store.delete(op)
    elif isinstance(op, Txn):
        await store.txn(op)


async def _same(store: EmbeddedStore, model: Model, oldest: int = 1) -> None:
    assert await store.revision() == model.revision
    for revision, state in model.states.items():
        if revision < oldest:
            continue
        found = await store.range(Range(b"\0", b"\0", revision=revision))
        assert {kv.key: (kv.value, kv.create_revision, kv.mod_revision, kv.version) for kv in found.kvs} == state
        assert found.count == len(state)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COMMANDS, st.floats(0, 1))
def test_it_does_what_the_model_does(commands: list[Op], where: float) -> None:
    async def main(path: Path) -> None:
        model = Model()
        store = await open_store(path, RealClock())
        watch = store.watch(b"\0", b"\0", start_revision=2)
        for op in commands:
            model.run(op)
            await _run(store, op)
        await _same(store, model)
        seen: list[tuple[int, str, bytes, bytes]] = []
        watch.request_progress()
        async for batch in watch:
            seen += [(e.kv.mod_revision, e.type, e.kv.key, e.kv.value) for e in batch.events]
            if not batch.events:
                break
        assert seen == model.events
        at = 1 + int((model.revision - 1) * where)
        if at > 1:
            await store.compact(at)
            await _same(store, model, at)
        await store.close()
        again = await open_store(path, RealClock())
        await _same(again, model, at)
        if at > 1:
            with pytest.raises(Compacted):
                await again.range(Range(b"a", revision=at - 1))
        await again.close()

    with TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))


@pytest.fixture
async def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    found = await open_store(tmp_path / "s", RealClock())
    yield found
    await found.close()


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


async def test_bad_requests_change_nothing(store: EmbeddedStore) -> None:
    await store.put(Put(b"a", b"1"))
    at = await store.revision()
    for op, text in (
        (Put(b"", b"x"), "etcdserver: key is not provided"),
        (Put(b"a", b"x" * 2_000_000), "etcdserver: request is too large"),
        (Txn(success=[Put(b"a", b"1"), Put(b"a", b"2")]), "etcdserver: duplicate key given in txn request"),
        (Txn(success=[Put(b"a", b"1"), Delete(b"a")]), "etcdserver: duplicate key given in txn request"),
        (Txn(success=[Range(b"a")] * 129), "etcdserver: too many operations in txn request"),
        (Txn(success=[Put(b"b", b"1"), Put(b"c", b"", ignore_value=True)]), "etcdserver: key not found"),
        (Put(b"a", b"1", ignore_value=True), "etcdserver: value is provided"),
    ):
        with pytest.raises(InvalidRequest, match=text):
            await _run(store, op)
    with pytest.raises(LeaseNotFound):
        await store.txn(Txn(success=[Put(b"b", b"1"), Put(b"c", b"1", lease=7)]))
    with pytest.raises(FutureRevision):
        await store.range(Range(b"a", revision=at + 1))
    assert await store.revision() == at


async def test_leases_take_their_keys_along(store: EmbeddedStore) -> None:
    lease = await store.lease_grant(60)
    await store.put(Put(b"a", b"1", lease=lease))
    await store.put(Put(b"b", b"1", lease=lease))
    await store.put(Put(b"b", b"2"))  # without the lease from now on
    with pytest.raises(LeaseExists):
        await store.lease_grant(5, lease)
    assert await store.lease_keep_alive(lease) == 60
    await store.lease_revoke(lease)
    assert [kv.key for kv in (await store.range(Range(b"\0", b"\0"))).kvs] == [b"b"]
    with pytest.raises(LeaseNotFound):
        await store.lease_keep_alive(lease)


async def test_leases_expire(store: EmbeddedStore) -> None:
    lease = await store.lease_grant(1)
    await store.put(Put(b"a", b"1", lease=lease))
    watch = store.watch(b"a")
    async for batch in watch:
        assert [e.type for e in batch.events] == ["DELETE"]
        break
    await watch.cancel()


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


async def test_without_a_directory_it_is_in_memory_alone() -> None:
    store = await open_store(None, RealClock())
    await store.put(Put(b"a", b"1"))
    await store.put(Put(b"a", b"2"))
    await store.compact(3)
    assert [kv.value for kv in (await store.range(Range(b"a"))).kvs] == [b"2"]
    await store.close()
