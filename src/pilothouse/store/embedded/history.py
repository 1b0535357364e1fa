"""`History`: the events of each revision that was not compacted. Values that were replaced a while ago are packed: what remains
of them is for watches that resume and for reads of the past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from pilothouse.store.interface import Event, KeyValue
from pilothouse.store.packing import Packed, Packer

_FRESH: Final = 500  # revisions that are kept as they are: watches may be about to get them
_AT_ONCE: Final = 2


class History:
    """A packed value stands in `KeyValue.value` here, and nowhere outside."""

    def __init__(self) -> None:
        self._events: dict[int, list[Event]] = {}
        self._packer = Packer()
        self._newest = 0
        self._packed = 0  # what revisions up to this one replaced is packed

    def __len__(self) -> int:
        return len(self._events)

    def first(self) -> int | None:
        """The oldest revision."""
        return next(iter(self._events), None)

    def put(self, revision: int, events: list[Event]) -> None:
        """The newest."""
        if not self._events:
            self._packed = revision - 1
        self._events[revision] = events
        self._newest = revision

    def pack(self) -> None:
        """With each write: what has become old, and a little of what was loaded."""
        for revision in range(self._packed + 1, min(self._packed + _AT_ONCE, self._newest - _FRESH) + 1):
            self._pack(revision)
            self._packed = revision

    def get(self, revision: int) -> Sequence[Event]:
        """What the revision did; nothing where that is not held."""
        events = self._events.get(revision, ())
        if revision > self._packed:
            return events
        return [Event(type_, _whole(kv), None if prev is None else _whole(prev)) for type_, kv, prev in events]

    def pop(self, revision: int) -> Sequence[Event]:
        """Forgets the revision. The values of what is returned are good for their length only."""
        self._packed = max(self._packed, revision)
        return self._events.pop(revision, ())

    def _pack(self, revision: int) -> None:
        for at, (type_, kv, prev) in enumerate(self._events.get(revision, ())):
            packed = None if prev is None else self._packer.pack(prev.key[: prev.key.rfind(b"/") + 1], prev.value)
            if prev is None or packed is None:
                continue
            past = prev._replace(value=cast(Any, packed))
            self._events[revision][at] = Event(type_, kv, past)
            made_by = self._events.get(prev.mod_revision, ())
            for place, event in enumerate(made_by):
                if event.kv is prev:
                    self._events[prev.mod_revision][place] = Event(event.type, past, event.prev_kv)


def _whole(kv: KeyValue) -> KeyValue:
    value: bytes | Packed = kv.value
    return kv._replace(value=value.unpack()) if isinstance(value, Packed) else kv
