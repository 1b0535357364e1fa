"""A disk that loses power, refuses or fills up at any operation: after it the store opens, holds a prefix of history that
includes all that was acknowledged, and nothing that a watch or reader saw was lost.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simdisk import PowerLoss, SimDisk

from pilothouse.clock import VirtualClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.interface import Compacted, Corrupt, Delete, NoSpace, Put, Range, StoreError, Unavailable

PATH = Path("/simulated")


class History:
    """What was asked of the store, and what anyone was told."""

    def __init__(self) -> None:
        self.asked: set[tuple[bytes, bytes]] = set()
        self.told: dict[int, tuple[bytes, bytes]] = {}  # revision: what it put, as acknowledged, read or watched
        self.newest = 1

    def fresh(self) -> Put:
        n = len(self.asked)
        put = Put(b"k/%d" % (n % 5), b"%d-" % n + b"v" * (n * 37 % 900))
        self.asked.add((put.key, put.value))
        return put

    def tell(self, revision: int, key: bytes, value: bytes) -> None:
        assert self.told.setdefault(revision, (key, value)) == (key, value), "history was written anew"
        self.newest = max(self.newest, revision)

    async def check(self, store: EmbeddedStore, compacted: int) -> None:
        revision = await store.revision()
        assert revision >= self.newest, "an acknowledged write is gone, or something was seen that is"
        watch = store.watch(b"\0", b"\0", start_revision=max(2, compacted))
        watch.request_progress()
        at = max(2, compacted)
        async for batch in watch:
            for event in batch.events:
                assert event.kv.mod_revision == at
                assert (event.kv.key, event.kv.value) in self.asked
                self.tell(at, event.kv.key, event.kv.value)
                at += 1
            if not batch.events:
                break
        await watch.cancel()
        assert at == revision + 1
        assert len(set(self.told.values())) == len(self.told), "something was done twice"


async def _put(store: EmbeddedStore, history: History) -> None:
    put = history.fresh()
    result = await store.put(put)
    history.tell(result.revision, put.key, put.value)


async def _see(store: EmbeddedStore, history: History) -> None:
    async for batch in store.watch(b"\0", b"\0"):
        for event in batch.events:
            history.tell(event.kv.mod_revision, event.kv.key, event.kv.value)


async def _session(
    disk: SimDisk, clock: VirtualClock, history: History, steps: list[int], compacted: list[int]
) -> None:
    """Until the steps are done or the disk fails."""
    store = await open_store(PATH, clock, files=disk)
    seeing = asyncio.create_task(_see(store, history))
    try:
        await history.check(store, compacted[-1])
        for step in steps:
            if step > 0:
                results = await asyncio.gather(*(_put(store, history) for _ in range(step)), return_exceptions=True)
                for result in results:
                    if isinstance(result, BaseException):
                        raise result
                for kv in (await store.range(Range(b"\0", b"\0"))).kvs:
                    history.tell(kv.mod_revision, kv.key, kv.value)
            elif step == 0:
                await store.defragment()
            elif await store.revision() > compacted[-1]:
                compacted.append(await store.revision())
                await store.compact(compacted[-1], physical=True)
    finally:
        seeing.cancel()
        await asyncio.gather(seeing, return_exceptions=True)
        await store.close()


STEPS = st.lists(st.sampled_from([-1, 0, 1, 1, 2, 9]), min_size=1, max_size=12)


@settings(max_examples=250, deadline=None)
@example(0, [([9], 13, "EIO"), ([-1], 14, "power")])
@given(
    st.integers(0, 1000),
    st.lists(
        st.tuples(STEPS, st.integers(1, 90), st.sampled_from(["power", "EIO", "EIO for ever", "end"])),
        min_size=1,
        max_size=4,
    ),
)
def test_whatever_the_disk_does(seed: int, sessions: list[tuple[list[int], int, str]]) -> None:
    clock, disk, history, compacted = VirtualClock(seed), SimDisk(seed), History(), [-1]

    async def main() -> None:
        for steps, fail_after, kind in sessions:
            if kind != "end":
                disk.fail_at = disk.operations + fail_after
                disk.power_loss, disk.lasting = kind == "power", kind == "EIO for ever"
            try:
                await _session(disk, clock, history, steps, compacted)
            except PowerLoss:
                pass
            except Unavailable as error:
                assert kind != "end", error
            if kind == "EIO" and disk.random.random() < 0.5:
                disk.fail_at = 0  # the process starts again, the machine did not
                continue
            disk.crash()
        disk.fail_at = 0
        store = await open_store(PATH, clock, files=disk)
        # Whether the last compaction got through is unknown where nobody was told.
        at = compacted[-1]
        try:
            await store.range(Range(b"a", revision=max(1, compacted[-2] if len(compacted) > 1 else 1)))
            at = compacted[-2] if len(compacted) > 1 else -1
        except Compacted:
            pass
        await history.check(store, at)
        await store.close()

    clock.run(main())


def test_a_full_disk_refuses_writes_and_loses_nothing() -> None:
    clock, disk = VirtualClock(), SimDisk(capacity=20 << 20)

    async def main() -> None:
        store = await open_store(PATH, clock, files=disk)
        big, n = b"x" * 1_000_000, 0
        with pytest.raises(
            NoSpace, match="no space left on the disk of /simulated: No space left on device; free some"
        ):
            while True:
                await store.put(Put(b"big/%d" % n, big))
                n += 1
        assert 10 < n <= 20
        assert await store.revision() == n + 1 and (await store.range(Range(b"\0", b"\0"))).count == n
        await store.put(Put(b"small", b""))  # what fits in the room still goes
        await store.delete(Delete(b"big/0"))
        disk.crash()
        with pytest.raises(StoreError):
            while True:
                await store.put(Put(b"x", big))
        await store.close()
        store = await open_store(PATH, clock, files=disk)
        assert (await store.range(Range(b"\0", b"\0"))).count == n
        disk.capacity <<= 1
        await store.put(Put(b"big/0", big))
        await store.compact(await store.revision(), physical=True)
        await store.defragment()
        assert disk.used < 30 << 20
        await store.close()
        store = await open_store(PATH, clock, files=disk)
        assert (await store.range(Range(b"\0", b"\0"))).count == n + 1
        await store.close()

    clock.run(main())


def test_a_failed_sync_stops_the_store_and_says_so() -> None:
    clock, disk = VirtualClock(), SimDisk()

    async def main() -> None:
        store = await open_store(PATH, clock, files=disk)
        await store.put(Put(b"a", b"1"))
        watch = store.watch(b"a")
        disk.fail_at, disk.lasting = disk.operations + 2, False
        for _ in range(2):  # the second, too: what the disk holds is unknown until it is read again
            with pytest.raises(Unavailable, match="cannot write to /simulated: Input/output error; repair and restart"):
                await store.put(Put(b"a", b"2"))
        with pytest.raises(Unavailable):
            await store.range(Range(b"a"))
        with pytest.raises(Unavailable):
            await anext(aiter(watch))
        await store.close()

    clock.run(main())


@pytest.mark.parametrize("operation", [1, 2])  # the write, which may go through in part, and the sync
@pytest.mark.parametrize("seed", range(6))
def test_what_is_read_again_after_a_failure_stays(operation: int, seed: int) -> None:
    """What the failed write left in the file system's memory is served only once it is on the disk."""
    clock, disk = VirtualClock(), SimDisk(seed)

    async def main() -> None:
        store = await open_store(PATH, clock, files=disk)
        await store.put(Put(b"a", b"1" * 2000))
        disk.fail_at = disk.operations + operation
        with pytest.raises(Unavailable):
            await store.put(Put(b"b", b"2" * 2000))
        await store.close()
        store = await open_store(PATH, clock, files=disk)
        seen = (await store.range(Range(b"\0", b"\0"))).kvs
        await store.close()
        assert seen and (operation == 1 or len(seen) == 2)
        disk.crash()
        store = await open_store(PATH, clock, files=disk)
        assert (await store.range(Range(b"\0", b"\0"))).kvs == seen
        await store.close()

    clock.run(main())


@pytest.mark.parametrize("seed", range(12))
def test_a_torn_write_leaves_nothing_behind(seed: int) -> None:
    clock, disk = VirtualClock(), SimDisk(seed)

    async def main() -> None:
        store = await open_store(PATH, clock, files=disk)
        await store.put(Put(b"first", b""))
        disk.fail_at, disk.power_loss = disk.operations + 2, True  # the sync
        with pytest.raises(Unavailable):
            await store.put(Put(b"big", b"x" * 5000))
        await store.close()
        disk.crash()
        for i in range(3):
            store = await open_store(PATH, clock, files=disk)
            await store.put(Put(b"small/%d" % i, b""))
            await store.close()
        store = await open_store(PATH, clock, files=disk)
        assert {kv.key for kv in (await store.range(Range(b"\0", b"\0"))).kvs} - {b"big"} == {
            b"first",
            b"small/0", b"small/1", b"small/2"
        }  # fmt: skip
        await store.close()

    clock.run(main())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 255))
def test_no_damaged_byte_is_served(where: int, value: int) -> None:
    """Any byte of any file changed: the store says so, or it was the last write's, or it holds the same."""
    clock, disk = VirtualClock(), SimDisk()

    async def main() -> None:
        store = await open_store(PATH, clock, files=disk)
        for i in range(20):
            await store.put(Put(b"k/%d" % i, b"%d" % i * 20))
            if i == 10:
                await store.compact(5, physical=True)
                await store.defragment()
        held = (await store.range(Range(b"\0", b"\0"))).kvs
        await store.close()
        contents = sorted(disk.names_now.items())
        sizes = [len(content.data.rstrip(b"\0")) for _, content in contents]
        at = where % sum(sizes)
        for (_, content), size in zip(contents, sizes, strict=True):
            if at < size:
                content.data[at] = value
                break
            at -= size
        try:
            store = await open_store(PATH, clock, files=disk)
        except Corrupt as error:
            assert "restore a snapshot with `pilothouse snapshot restore`" in str(error)
            return
        found = (await store.range(Range(b"\0", b"\0"))).kvs
        assert found in (held, held[:-1], [kv for kv in held if kv.key != b"k/19"])
        await store.close()

    clock.run(main())
