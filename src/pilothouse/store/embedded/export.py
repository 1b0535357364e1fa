"""What etcd's database would hold: every version in order of revision, for copies of the store and for hashes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from heapq import merge
from itertools import islice

from pilothouse.clock import Clock
from pilothouse.store.embedded.state import State
from pilothouse.store.embedded.view import View, drained
from pilothouse.store.interface import Event, KeyValue, Version

_SLICE = 300  # about two milliseconds' worth
_RUN = 2_000


async def _base(state: State, at: int, upto: int, clock: Clock) -> list[list[KeyValue]]:
    """The keys of revision `at` that have not changed since `upto`, in runs that are in order of revision."""
    runs: list[list[KeyValue]] = []
    with View(state, at) as view:
        while not view.ended:
            while not view.follow(_SLICE):
                await clock.sleep(0)
            run = [kv for kv in view.take(_RUN) if kv.mod_revision <= upto]
            run.sort(key=lambda kv: (kv.mod_revision, state.sub_of(kv)))
            runs.append(run)
            await clock.sleep(0)
    return runs


async def _merged(state: State, runs: list[list[KeyValue]], clock: Clock) -> AsyncIterator[list[Version]]:
    draining = [drained(run) for run in runs]
    runs.clear()
    rest = merge(*draining, key=lambda kv: (kv.mod_revision, state.sub_of(kv)))
    while some := [Version(kv, state.sub_of(kv), not kv.version) for kv in islice(rest, _SLICE)]:
        yield some
        await clock.sleep(0)


def _of(revision: int, events: Iterable[Event]) -> list[Version]:
    return [Version(kv, sub, type_ == "DELETE") for sub, (type_, kv, _) in enumerate(events)]


@contextmanager
def exporting(state: State, revision: int, clock: Clock) -> Iterator[AsyncIterator[list[Version]]]:
    """All that is held of revisions up to `revision`, slice by slice."""
    oldest = state.floor - 1
    state.pin(oldest)
    try:
        yield _held(state, revision, state.compacted, oldest, clock)
    finally:
        state.unpin(oldest)


async def _held(state: State, revision: int, compacted: int, oldest: int, clock: Clock) -> AsyncIterator[list[Version]]:
    runs = await _base(state, max(compacted, oldest), compacted, clock)
    runs.append([kv for type_, kv, _ in state.history.get(compacted) if type_ == "DELETE"])
    async for some in _merged(state, runs, clock):
        yield some
    async for some in _since(state, max(compacted, oldest) + 1, revision, clock):
        yield some


async def _since(state: State, first: int, last: int, clock: Clock) -> AsyncIterator[list[Version]]:
    found: list[Version] = []
    for number in range(first, last + 1):
        found += _of(number, state.history.get(number))
        if len(found) >= _SLICE:
            yield found
            found = []
            await clock.sleep(0)
    if found:
        yield found


async def _hashed(
    state: State, revision: int, compacted: int, oldest: int, clock: Clock, compacting: bool
) -> AsyncIterator[list[Version]]:
    """What etcd's hash covers, which leaves out of the compacted past what no longer is."""
    runs = await _base(state, revision, compacted, clock)
    if not compacting:
        with View(state, revision) as view:
            while not view.follow(_SLICE):
                await clock.sleep(0)
            nothing_left = not view.count()
        if nothing_left:
            runs = await _base(state, max(compacted, oldest), compacted, clock)
    async for some in _merged(state, runs, clock):
        yield some
    async for some in _since(state, max(compacted, oldest) + 1, revision, clock):
        yield some


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def database_entry(version: Version) -> tuple[bytes, bytes]:
    """Key and value of a version in etcd's database: the revision, and an `mvccpb.KeyValue`."""
    kv = version.kv
    name = kv.mod_revision.to_bytes(8, "big") + b"_" + version.sub.to_bytes(8, "big")
    if version.deleted:
        return name + b"t", b"\x0a" + _varint(len(kv.key)) + kv.key
    parts = [b"\x0a", _varint(len(kv.key)), kv.key]
    for tag, number in ((b"\x10", kv.create_revision), (b"\x18", kv.mod_revision), (b"\x20", kv.version)):
        if number:
            parts += (tag, _varint(number))
    if kv.value:
        parts += (b"\x2a", _varint(len(kv.value)), kv.value)
    if kv.lease:
        parts += (b"\x30", _varint(kv.lease))
    return name, b"".join(parts)


async def hash_versions(state: State, revision: int, compacted: int, clock: Clock, *, compacting: bool = False) -> int:
    """CRC-32C over the bucket's name and its entries up to `revision`, where what was before `compacted` is compacted.
    `compacting`: as etcd computes it while it compacts at `revision`."""
    import google_crc32c

    found: int = google_crc32c.value(b"key")
    if revision < 0:  # nothing, as etcd has it
        return found
    oldest = state.floor - 1
    state.pin(oldest)
    try:
        async for some in _hashed(state, revision, compacted, oldest, clock, compacting):
            entries = [database_entry(v) for v in some if not (v.deleted and v.kv.mod_revision == compacted)]
            found = google_crc32c.extend(found, b"".join(part for entry in entries for part in entry))
    finally:
        state.unpin(oldest)
    return found
