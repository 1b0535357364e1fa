"""Values of the past: packed, they are what they were, wherever they are read."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store
from pilothouse.store.embedded.engine import EmbeddedStore
from pilothouse.store.interface import Delete, Put, Range
from pilothouse.store.packing import Packer

_REVISIONS = 1_200


@given(
    st.binary(min_size=400, max_size=2_000),
    st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=700)), max_size=40),
)
def test_what_is_packed_is_unpacked(first: bytes, edits: list[tuple[int, bytes]]) -> None:
    packer, value = Packer(), first
    for at, put in edits:
        packed = packer.pack(b"", value)
        assert packed is None or (packed.unpack(), len(packed)) == (value, len(value))
        value = value[:at] + put + value[at:]


def test_sizes() -> None:
    chance = random.Random(1)
    packer = Packer()
    base = chance.randbytes(7_900)
    assert packer.pack("large", base) is None, "the first is the sample"
    packed = packer.pack("large", base[:4_000] + b"other" + base[4_000:])
    assert packed is not None and len(packed._data) < 200, "the window reaches back to the sample"
    assert packer.pack("other", base) is None
    assert packer.pack("large", chance.randbytes(7_900)) is None, "nothing is gained"
    for size in (0, 511, 40_000):
        assert packer.pack("large", bytes(size)) is None
    others = [chance.randbytes(2_000) for _ in range(40)]
    for other in others:
        packer.pack("large", other)
    packed = packer.pack("large", others[15])
    assert packed is None or packed.unpack() == others[15]
    assert packer._samples["large"].value != base, "a sample that serves badly is replaced"


async def _write(store: EmbeddedStore) -> dict[int, dict[bytes, bytes]]:
    """What there was at each revision."""
    chance = random.Random(7)
    states: dict[int, dict[bytes, bytes]] = {}
    present: dict[bytes, bytes] = {}
    text = bytes(chance.choices(b"abcdefgh", k=3_000))
    for number in range(_REVISIONS):
        key = b"/registry/pods/%d/%d" % (number % 3, chance.randrange(20))
        if key in present and chance.random() < 0.1:
            revision = (await store.delete(Delete(key))).revision
            del present[key]
        else:
            at = chance.randrange(len(text))
            present[key] = text[:at] + b"%d" % number + text[at:]
            revision = (await store.put(Put(key, present[key]))).revision
        states[revision] = dict(present)
    return states


async def _check(store: EmbeddedStore, states: dict[int, dict[bytes, bytes]]) -> None:
    for revision in list(states)[::97]:
        result = await store.range(Range(b"/", b"0", revision=revision))
        assert {kv.key: kv.value for kv in result.kvs} == states[revision]
    seen: dict[bytes, bytes] = {}
    watch = store.watch(b"/", b"0", start_revision=min(states), prev_kv=True)
    async for events, revision in watch:
        for type_, kv, prev in events:
            assert (prev.value if prev is not None else None) == seen.get(kv.key)
            if type_ == "PUT":
                seen[kv.key] = kv.value
            else:
                del seen[kv.key]
        if revision in states:
            assert seen == states[revision]
        if revision == max(states):
            break
    await watch.cancel()


async def test_the_past_reads_as_it_was(tmp_path: Path) -> None:
    store = await open_store(tmp_path, RealClock())
    states = await _write(store)
    packed = [e for e in store._state.history._held(min(states) + 100) if not isinstance(e.kv.value, bytes)]
    assert packed, "a value that was replaced a thousand revisions ago is packed"
    await _check(store, states)
    size = store._state.size
    await store.defragment()
    await _check(store, states)
    await store.close()
    store = await open_store(tmp_path, RealClock())
    assert store._state.size == size
    await _check(store, states)
    middle = sorted(states)[_REVISIONS // 2]
    await store.compact(middle, physical=True)
    result = await store.range(Range(b"/", b"0", revision=middle))
    assert {kv.key: kv.value for kv in result.kvs} == states[middle]
    assert store._state.size < size
    await store.close()
