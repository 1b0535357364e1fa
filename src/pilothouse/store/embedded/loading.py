"""`Loading`: puts a state together from what the disk tells."""

from __future__ import annotations

from sortedcontainers import SortedList

from pilothouse.store.embedded.records import BadRecord
from pilothouse.store.embedded.state import KEY_OVERHEAD, State, size_of
from pilothouse.store.interface import Event, KeyValue


class Loading:
    """records.Loader. `finish` once all was told."""

    def __init__(self) -> None:
        self.state = State()
        self.leases: dict[int, tuple[int, float]] = {}  # id: time to live, seconds left
        self.meta: dict[str, bytes] = {}
        self.term = 0

    def load_key(self, kv: KeyValue, sub: int) -> None:
        state = self.state
        state.live[kv.key] = kv
        state.size += size_of(kv)
        if sub:
            state.subs[kv.key] = sub

    def load_put(self, revision: int, kv: KeyValue) -> None:
        state = self.state
        old = state.live.get(kv.key)
        state.live[kv.key] = kv
        state.size += size_of(kv)
        state.history.setdefault(revision, []).append(Event("PUT", kv, old))

    def load_delete(self, revision: int, key: bytes) -> None:
        state = self.state
        old = state.live.pop(key, None)
        state.size += len(key) + KEY_OVERHEAD
        state.history.setdefault(revision, []).append(Event("DELETE", KeyValue(key, b"", 0, revision, 0), old))

    def load_revision(self, revision: int) -> None:
        state = self.state
        if len(state.history) > 1 and revision != state.applied + 1:
            raise BadRecord(f"revision {revision} follows revision {state.applied}")
        state.applied = revision

    def load_lease(self, lease: int, ttl_s: int, left_s: float) -> None:
        self.leases[lease] = (ttl_s, left_s)

    def load_revoke(self, lease: int) -> None:
        self.leases.pop(lease, None)

    def load_compact(self, revision: int) -> None:
        self.state.compacted = max(self.state.compacted, revision)

    def load_term(self, term: int) -> None:
        self.term = max(self.term, term)

    def load_meta(self, name: str, value: bytes | None) -> None:
        if value is None:
            self.meta.pop(name, None)
        else:
            self.meta[name] = value

    def load_end(self, revision: int) -> None:
        self.state.applied = max(self.state.applied, revision)

    def finish(self) -> None:
        """Builds what is derived."""
        state = self.state
        state.keys = SortedList(state.live)
        state.floor = next(iter(state.history), state.applied + 1)
        for kv in state.live.values():
            if kv.lease:
                state.attached.setdefault(kv.lease, set()).add(kv.key)
