"""Watches that begin in the past or the future, fall behind, ask for progress, and are overtaken by compaction."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest

from pilothouse.clock import RealClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.embedded.watch import BACKLOG_BYTES, BACKLOG_EVENTS
from pilothouse.store.interface import Compacted, Delete, HandedWatch, Put, Txn, Unavailable, WatchBatch

ALL = (b"\0", b"\0")


@pytest.fixture
async def store() -> AsyncIterator[EmbeddedStore]:
    found = await open_store(None, RealClock())
    yield found
    await found.close()


async def put(store: EmbeddedStore, revisions: int) -> int:
    for i in range(revisions):
        await store.txn(Txn(success=[Put(b"k/%d" % n, b"%d" % i) for n in range(100)]))
    return await store.revision()


async def read(watch: AsyncIterator[WatchBatch], upto: int) -> list[int]:
    seen: list[int] = []
    async with asyncio.timeout(10):
        async for batch in watch:
            seen += sorted({event.kv.mod_revision for event in batch.events})
            assert all(event.kv.mod_revision <= batch.revision for event in batch.events)
            if batch.revision >= upto:
                return seen
    raise AssertionError("the watch ended")


async def test_who_does_not_read_keeps_its_place_and_costs_little(store: EmbeddedStore) -> None:
    watch = store.watch(*ALL)
    await store.put(Put(b"first", b""))
    upto = await put(store, 3 * BACKLOG_EVENTS // 100)
    assert watch._backlog <= BACKLOG_EVENTS and not store._hub._groups
    assert await read(watch, upto) == list(range(2, upto + 1))
    later = await put(store, 3)
    assert await read(watch, later) == [upto + 1, upto + 2, upto + 3]
    await watch.cancel()


async def test_compaction_overtakes_who_does_not_read(store: EmbeddedStore) -> None:
    watch = store.watch(*ALL)
    upto = await put(store, 3 * BACKLOG_EVENTS // 100)
    await store.compact(upto, physical=True)
    seen: list[WatchBatch] = []
    with pytest.raises(Compacted) as raised:
        async for batch in watch:
            seen.append(batch)  # noqa: PERF401
    assert raised.value.revision == upto
    assert [event.kv.mod_revision for batch in seen for event in batch.events] == [
        revision for revision in range(2, seen[-1].revision + 1) for _ in range(100)
    ]
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_progress_comes_after_what_it_speaks_of(store: EmbeddedStore) -> None:
    upto = await put(store, 30)
    watch = store.watch(*ALL, start_revision=2)
    watch.request_progress()
    batches = []
    async for batch in watch:
        batches.append(batch)
        if not batch.events:
            break
    assert batches[-1] == WatchBatch([], upto)
    assert sum(len(batch.events) for batch in batches) == 3000
    quiet = store.watch(b"elsewhere")
    quiet.request_progress()
    assert await anext(quiet) == WatchBatch([], upto)


async def test_filters_and_previous_values(store: EmbeddedStore) -> None:
    await store.put(Put(b"a", b"1"))
    watches = {
        "all": store.watch(b"a", start_revision=2, prev_kv=True),
        "no puts": store.watch(b"a", no_put=True),
        "no deletes": store.watch(b"a", no_delete=True),
        "future": store.watch(b"a", start_revision=4),
    }
    await store.put(Put(b"a", b"2"))
    await store.delete(Delete(b"a"))
    await store.put(Put(b"b", b""))
    seen: dict[str, list[tuple[str, int, bytes | None]]] = {}
    for name, watch in watches.items():
        watch.request_progress()
        seen[name] = []
        async for batch in watch:
            seen[name] += [(e.type, e.kv.mod_revision, e.prev_kv and e.prev_kv.value) for e in batch.events]
            if not batch.events:
                break
    assert seen == {
        "all": [("PUT", 2, None), ("PUT", 3, b"1"), ("DELETE", 4, b"2")],
        "no puts": [("DELETE", 4, None)],
        "no deletes": [("PUT", 3, None)],
        "future": [("DELETE", 4, None)],
    }


async def test_a_previous_value_is_of_an_earlier_revision(store: EmbeddedStore) -> None:
    await store.put(Put(b"a", b"1"))
    live = store.watch(b"a", prev_kv=True, no_put=True)
    # The one way to touch a key twice in a revision: etcd looks for a range's end at "\0" by its letter.
    await store.txn(Txn(success=[Put(b"a", b"2"), Delete(b"a", b"\0")]))
    for watch in (live, store.watch(b"a", prev_kv=True, no_put=True, start_revision=3)):
        (event,) = (await anext(watch)).events
        assert event.type == "DELETE" and event.prev_kv is not None and event.prev_kv.value == b"1"


async def test_a_cancelled_watch_ends(store: EmbeddedStore) -> None:
    watch = store.watch(*ALL)
    waiting = asyncio.create_task(anext(watch))
    await asyncio.sleep(0)
    await watch.cancel()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert not store._hub._watches and not store._hub._groups


async def test_who_does_not_read_costs_the_same_however_much_is_written(store: EmbeddedStore) -> None:
    """What etcd does: the watch keeps a little, and compaction is what ends it."""
    watches = [store.watch(*ALL), store.watch(b"k", b"l", prev_kv=True)]
    reading = store.watch(*ALL)
    tracemalloc.start()
    try:
        for i in range(150):
            await store.put(Put(b"k", b"%06d" % i * 20_000))
            assert [event.kv.version for event in (await anext(reading)).events] == [i + 1]
            await store.compact(await store.revision(), physical=True)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < BACKLOG_BYTES + (2 << 20)  # of 18 MB that were written
    for watch in watches:
        seen: list[int] = []
        with pytest.raises(Compacted) as raised:
            async for batch in watch:
                seen += [event.kv.mod_revision for event in batch.events]
        assert seen == list(range(2, 2 + len(seen))) and len(seen) >= 10
        assert raised.value.revision == await store.revision()


async def test_history_comes_in_pieces(store: EmbeddedStore) -> None:
    for i in range(20):
        await store.put(Put(b"k", b"%06d" % i * 100_000))
    watch = store.watch(*ALL, start_revision=2)
    sizes = []
    while sum(sizes) < 20:
        sizes.append(len((await anext(watch)).events))
    assert 1 < max(sizes) <= BACKLOG_BYTES // 600_000 + 1


async def test_who_is_behind_reads_the_history_with_the_others(store: EmbeddedStore) -> None:
    live = store.watch(*ALL)
    for number in range(BACKLOG_EVENTS + 1_500):
        await store.put(Put(b"k", b"%d" % number))
    upto = await store.revision()
    starts = {"live": 2, "first": 2, "later": 1_500}
    watches = {"live": live} | {name: store.watch(*ALL, start_revision=starts[name]) for name in ("first", "later")}
    assert store.watching() == (3, 3, BACKLOG_EVENTS)
    batches: dict[str, list[WatchBatch]] = {name: [] for name in watches}
    for name, watch in watches.items():
        while not batches[name] or batches[name][-1].revision < upto:
            batches[name].append(await anext(watch))
    shared = {name: {id(batch) for batch in read} for name, read in batches.items()}
    assert [len(shared["later"] & shared[name]) for name in ("first", "live")] == [4, 1]
    for name, read in batches.items():
        seen = [event.kv.mod_revision for batch in read for event in batch.events]
        assert seen == list(range(starts[name], upto + 1))
    assert store.watching() == (3, 0, 0) and not store._hub.past._slices


async def test_progress_is_asked_for_often_and_not_read(store: EmbeddedStore) -> None:
    watch = store.watch(b"quiet")
    for i in range(100):
        await store.put(Put(b"k", b"%d" % i))
        watch.request_progress()
    assert await anext(watch) == WatchBatch([], await store.revision())
    assert not watch._queue


async def test_a_watch_that_has_not_begun_makes_no_progress(store: EmbeddedStore) -> None:
    watch = store.watch(*ALL, start_revision=4)
    watch.request_progress()
    for _ in range(2):
        await store.put(Put(b"k", b""))
    assert not watch._queue
    await store.put(Put(b"k", b""))
    assert [event.kv.mod_revision for event in (await anext(watch)).events] == [4]
    assert await anext(watch) == WatchBatch([], 4)


class Reader:
    """Takes what watches bring while it has `room`, and reads the rest when it is let."""

    def __init__(self) -> None:
        self.room = 0
        self.seen: dict[str, list[int]] = {}
        self.taken = 0
        self.waiting: list[str] = []
        self.watches: dict[str, HandedWatch] = {}

    def add(self, name: str, watch: HandedWatch) -> None:
        self.watches[name], self.seen[name] = watch, []
        if not watch.hand_to(self, name):
            self.waiting.append(name)

    def take(self, watches: Sequence[str], batch: WatchBatch) -> int:
        took = min(len(watches), self.room)
        self.room -= took
        self.taken += took
        assert not set(watches) & set(self.waiting)
        for name in watches[:took]:
            self.seen[name] += [event.kv.mod_revision for event in batch.events] or [-batch.revision]
        return took

    def behind(self, watch: str) -> None:
        self.waiting.append(watch)

    async def read(self, name: str) -> None:
        """Until it can be handed over."""
        self.waiting.remove(name)
        async for batch in self.watches[name]:
            self.seen[name] += [event.kv.mod_revision for event in batch.events] or [-batch.revision]
            if self.watches[name].hand_to(self, name):
                return


async def test_handed_watches_miss_nothing_and_keep_the_order(store: EmbeddedStore) -> None:
    chance, reader, keys = random.Random(1), Reader(), [b""] * 2
    for number in range(12):
        key = (b"k", b"l") if number % 3 else (b"k7", b"")
        reader.add(f"{number:02}", store.watch(*key, start_revision=number // 4 * 300))
    assert len(reader.waiting) == 8  # those from revisions 300 and 600 on have not begun
    for number in range(900):
        keys.append(b"k%d" % chance.randrange(10))
        await store.put(Put(keys[-1], b"v" * chance.choice([10, 30_000])))
        if not number % 50:
            reader.room = chance.choice([0, 5, 100, 1000])
        begun = [name for name in reader.waiting if int(name) < 4 or number > 600]
        if begun and chance.random() < 0.05:
            await reader.read(chance.choice(begun))
    assert reader.taken > 500
    for name in reader.waiting[:]:
        await reader.read(name)
    for name, seen in reader.seen.items():
        first, all_keys = max(2, int(name) // 4 * 300), int(name) % 3 > 0
        assert seen == [at for at in range(first, len(keys)) if all_keys or keys[at] == b"k7"]


async def test_what_a_handed_watch_is_told_besides(store: EmbeddedStore) -> None:
    reader = Reader()
    reader.add("quiet", store.watch(b"quiet"))
    reader.add("gone", store.watch(b"quiet"))
    await reader.watches["gone"].cancel()
    assert not reader.waiting
    reader.room = 1
    reader.watches["quiet"].request_progress()
    assert reader.seen["quiet"] == [-1] and not reader.waiting
    await store.put(Put(b"k", b""))
    reader.watches["quiet"].request_progress()  # there is no room
    assert reader.waiting == ["quiet"]
    await reader.read("quiet")
    assert reader.seen == {"quiet": [-1, -2], "gone": []} and not reader.waiting
    store._hub.end(Unavailable("over"))
    with pytest.raises(Unavailable):
        await reader.read("quiet")
    assert not store._hub._watches and not store._hub._groups


async def test_one_that_fails_to_take_ends_its_watches_alone(
    store: EmbeddedStore, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Reader):
        def take(self, watches: Sequence[str], batch: WatchBatch) -> int:
            raise ZeroDivisionError

    failing, other = Failing(), store.watch(*ALL)
    failing.add("one", store.watch(*ALL))
    assert (await store.put(Put(b"k", b""))).revision == 2
    assert [event.kv.key for event in (await anext(other)).events] == [b"k"]
    with pytest.raises(Unavailable):
        await failing.read("one")
    assert "ZeroDivisionError" in caplog.text
