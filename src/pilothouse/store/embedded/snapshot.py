"""What a snapshot holds, a slice at a time, while the state goes on changing: the keys as they were before the oldest revision
that is held, then each revision since, so that history survives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice

from pilothouse.clock import Clock
from pilothouse.store.embedded import records
from pilothouse.store.embedded.state import Changed, State

_SLICE = 500


async def slices(state: State, last: int, clock: Clock) -> AsyncIterator[bytes]:
    """Payloads of records, up to revision `last`. Nothing may be pruned meanwhile."""
    base = state.floor - 1
    changed = Changed()
    seen = base
    names = iter(list(state.live))
    while True:
        # A key that changes after it was written is written again from `changed`, the same: that does no harm.
        stop = min(seen + _SLICE, state.applied)
        state.add_changes(changed, seen, stop, b"\0", b"\0")
        seen = stop
        if seen < state.applied:
            await clock.sleep(0)
            continue
        keys = list(islice(names, _SLICE))
        if not keys:
            break
        # A key that is gone by now is among the changed.
        found = (state.live.get(key) for key in keys if key not in changed)
        yield records.encode_keys(kv for kv in found if kv is not None)
    earlier = iter(list(changed.values()))
    while kvs := list(islice(earlier, _SLICE)):
        yield records.encode_keys(kv for kv in kvs if kv is not None)
    yield records.encode_compact(state.compacted)
    parts: list[bytes] = []
    size = 0
    for revision in range(base + 1, last + 1):
        events = state.history[revision]
        parts.append(records.encode_changes(revision, events))
        size += len(events)
        if size >= _SLICE:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)
