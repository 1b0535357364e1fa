"""`History`: the events of each revision that was not compacted. Values that were replaced a while ago are packed: what remains
of them is for watches that resume and for reads of the past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from pilothouse.store.embedded.records import new
from pilothouse.store.interface import Event, KeyValue
from pilothouse.store.packing import LEAST_BYTES, Packed, Packer

_FRESH: Final = 500  # revisions that are kept as they are: watches may be about to get them
_AT_ONCE: Final = 2
_MOST: Final = 250  # some milliseconds' worth
_BITS: Final = 10
_MASK: Final = (1 << _BITS) - 1


class _Chunk:
    """What 1,024 revisions did. Of one that changed one key, what the key became and what it was before: an Event for each would
    be as many objects again for the garbage collector to look at. Of another, its events."""

    __slots__ = ("made", "replaced")

    def __init__(self) -> None:
        self.made: list[KeyValue | list[Event] | None] = []
        self.replaced: list[KeyValue | None] = []


class History:
    """A packed value stands in `KeyValue.value` here, and nowhere outside."""

    def __init__(self) -> None:
        self._chunks: dict[int, _Chunk] = {}  # one table of all would hold the loop as it grows
        self._first, self._last = 1, 0
        self._packed = 0  # what revisions up to this one replaced is packed
        self._packer = Packer()

    def first(self) -> int | None:
        """The oldest revision."""
        return self._first if self._first <= self._last else None

    def put(self, revision: int, events: list[Event]) -> None:
        """The newest."""
        if self._first > self._last:
            self._first, self._packed = revision, revision - 1
        chunk = self._chunks.get(revision >> _BITS)
        if chunk is None:
            chunk = self._chunks[revision >> _BITS] = _Chunk()
        missing = (revision & _MASK) - len(chunk.made)
        if missing:  # nothing was put before, or not for long
            chunk.made += [None] * missing
            chunk.replaced += [None] * missing
        if len(events) == 1:
            _, made, replaced = events[0]
            chunk.made.append(made)
            chunk.replaced.append(replaced)
        else:
            chunk.made.append(events)
            chunk.replaced.append(None)
        self._last = revision

    def pack(self, written: int) -> None:
        """After so many new revisions: what has become old, and a little of what was loaded."""
        first = self._packed + 1
        last = min(self._packed + min(_AT_ONCE * written, _MOST), self._last - _FRESH)
        while first <= last:
            place = first & _MASK
            end = min(place + last - first, _MASK) + 1
            chunk = self._chunks.get(first >> _BITS)
            if chunk is not None:
                found = zip(chunk.made[place:end], chunk.replaced[place:end], strict=True)
                for at in [
                    at
                    for at, (made, replaced) in enumerate(found, place)
                    if (replaced is not None and len(replaced[1]) >= LEAST_BYTES) or type(made) is list
                ]:
                    self._pack(chunk, at)
            first += end - place
            self._packed = first - 1

    def get(self, revision: int) -> Sequence[Event]:
        """What the revision did; nothing where that is not held."""
        events = self._held(revision)
        if revision > self._packed:
            return events
        return [Event(type_, _whole(kv), None if prev is None else _whole(prev)) for type_, kv, prev in events]

    def pop(self, revision: int) -> Sequence[Event]:
        """Forgets the revision, the oldest. The values of what is returned are good for their length only."""
        self._packed = max(self._packed, revision)
        self._first = revision + 1
        events, place = self._held(revision), revision & _MASK
        if place == _MASK:
            self._chunks.pop(revision >> _BITS, None)
        elif events:
            chunk = self._chunks[revision >> _BITS]
            chunk.made[place] = chunk.replaced[place] = None
        return events

    def _held(self, revision: int) -> Sequence[Event]:
        chunk, place = self._chunks.get(revision >> _BITS), revision & _MASK
        if chunk is None or place >= len(chunk.made):
            return ()
        made = chunk.made[place]
        if type(made) is KeyValue:
            return (_event(made, chunk.replaced[place]),)
        return made or ()  # type: ignore[return-value]

    def _pack(self, chunk: _Chunk, place: int) -> None:
        """What the revision there replaced."""
        made = chunk.made[place]
        if isinstance(made, list):
            for at, event in enumerate(made):
                past = self._past(event.prev_kv)
                if past is not None:
                    made[at] = event._replace(prev_kv=past)
        else:
            chunk.replaced[place] = self._past(chunk.replaced[place]) or chunk.replaced[place]

    def _past(self, kv: KeyValue | None) -> KeyValue | None:
        """With its value packed, also where the revision that made it holds it; None where it is to stay as it is."""
        packed = self._packer.pack(kv.key[: kv.key.rfind(b"/") + 1], kv.value) if kv is not None else None
        if kv is None or packed is None:
            return None
        past = kv._replace(value=cast(Any, packed))
        chunk, place = self._chunks.get(kv.mod_revision >> _BITS), kv.mod_revision & _MASK
        if chunk is not None and place < len(chunk.made):
            made = chunk.made[place]
            if made is kv:
                chunk.made[place] = past
            elif isinstance(made, list):
                made[:] = [event._replace(kv=past) if event.kv is kv else event for event in made]
        return past


def _event(kv: KeyValue, replaced: KeyValue | None) -> Event:
    return new(Event, ("PUT" if kv.version else "DELETE", kv, replaced))


def _whole(kv: KeyValue) -> KeyValue:
    value: bytes | Packed = kv.value
    return kv._replace(value=value.unpack()) if isinstance(value, Packed) else kv
