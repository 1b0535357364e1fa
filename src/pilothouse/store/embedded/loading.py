"""`Loading`: puts a state together from what the disk tells."""

from __future__ import annotations

from sortedcontainers import SortedList

from pilothouse.store.embedded.records import BadRecord, new
from pilothouse.store.embedded.state import KEY_OVERHEAD, State
from pilothouse.store.interface import Event, KeyValue


class Loading:
    """records.Loader. `finish` once all was told."""

    def __init__(self) -> None:
        self.state = State()
        self.leases: dict[int, tuple[int, float]] = {}  # id: time to live, seconds left
        self.meta: dict[str, bytes] = {}
        self.term = 0

    def load_keys(self, kvs: list[KeyValue], subs: list[int]) -> None:
        state = self.state
        state.live.update(zip([kv[0] for kv in kvs], kvs, strict=True))
        state.size += sum([len(kv[0]) + len(kv[1]) for kv in kvs]) + KEY_OVERHEAD * len(kvs)
        if any(subs):
            for kv, sub in zip(kvs, subs, strict=True):
                state.set_sub(kv, sub)

    def load_changes(self, revision: int, kvs: list[KeyValue]) -> None:
        state = self.state
        if state.history.first() is not None and revision != state.applied + 1:
            raise BadRecord(f"revision {revision} follows revision {state.applied}")
        live, events, size = state.live, [], 0
        for kv in kvs:
            key = kv[0]
            size += len(key) + len(kv[1])
            if kv[4]:
                events.append(new(Event, ("PUT", kv, live.get(key))))
                live[key] = kv
            else:
                events.append(Event("DELETE", kv, live.pop(key, None)))
        state.size += size + KEY_OVERHEAD * len(kvs)
        state.applied = revision - 1
        state.commit(events)

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
        state.floor = state.history.first() or state.applied + 1
        for kv in state.live.values():
            if kv.lease:
                state.attached.setdefault(kv.lease, set()).add(kv.key)
