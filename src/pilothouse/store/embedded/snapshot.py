"""What a snapshot holds, a slice at a time, while the state goes on changing: the keys as they were before the oldest revision
that is held, then each revision since, so that history survives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from pilothouse.clock import Clock
from pilothouse.store.embedded import records
from pilothouse.store.embedded.state import State
from pilothouse.store.embedded.view import View

_SLICE = 500


async def slices(state: State, last: int, clock: Clock) -> AsyncIterator[bytes]:
    """Payloads of records, up to revision `last`. The caller pins the base, `state.floor - 1`."""
    base = state.floor - 1
    with View(state, base) as view:
        while not view.ended:
            while not view.follow(_SLICE):
                await clock.sleep(0)
            yield records.encode_keys((kv, state.old_sub_of(kv)) for kv in view.take(_SLICE))
    yield records.encode_compact(state.compacted)
    parts: list[bytes] = []
    size = 0
    for revision in range(base + 1, last + 1):
        events = state.history.get(revision)
        if not events:
            continue  # a restored store has not all
        parts += records.changes(revision, events)
        size += len(events)
        if size >= _SLICE:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)
