"""`History`: the events of each revision that was not compacted. Values that were replaced a while ago are packed: what remains
of them is for watches that resume and for reads of the past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from pilothouse.store.interface import Event, KeyValue
from pilothouse.store.packing import LEAST_BYTES, Packed, Packer

_FRESH: Final = 500  # revisions that are kept as they are: watches may be about to get them
_AT_ONCE: Final = 2
_MOST: Final = 250  # some milliseconds' worth
_BITS: Final = 10
_MASK: Final = (1 << _BITS) - 1

_Held = Event | list[Event] | None  # one that is alone stands for itself


class History:
    """A packed value stands in `KeyValue.value` here, and nowhere outside."""

    def __init__(self) -> None:
        self._chunks: dict[int, list[_Held]] = {}  # of 1,024 revisions: a table of all would hold the loop as it grows
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
            chunk = self._chunks[revision >> _BITS] = []
        place = revision & _MASK
        if len(chunk) < place:  # nothing was put before, or not for long
            chunk += [None] * (place - len(chunk))
        chunk.append(events if len(events) > 1 else events[0])
        self._last = revision

    def pack(self, written: int) -> None:
        """After so many new revisions: what has become old, and a little of what was loaded."""
        first = self._packed + 1
        last = min(self._packed + min(_AT_ONCE * written, _MOST), self._last - _FRESH)
        while first <= last:
            place = first & _MASK
            count = min(last - first, _MASK - place) + 1
            held = self._chunks.get(first >> _BITS, ())[place : place + count]
            large = [  # of one event each, mostly, and mostly not
                at
                for at, one in enumerate(held, first)
                if type(one) is not Event or ((prev := one[2]) is not None and len(prev[1]) >= LEAST_BYTES)
            ]
            for revision in large:
                self._pack(revision)
            first += count
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
            self._chunks[revision >> _BITS][place] = None
        return events

    def _held(self, revision: int) -> Sequence[Event]:
        chunk, place = self._chunks.get(revision >> _BITS), revision & _MASK
        events = chunk[place] if chunk is not None and place < len(chunk) else None
        return (events,) if isinstance(events, Event) else events or ()

    def _pack(self, revision: int) -> None:
        for event in self._held(revision):
            prev = event.prev_kv
            packed = None if prev is None else self._packer.pack(prev.key[: prev.key.rfind(b"/") + 1], prev.value)
            if prev is None or packed is None:
                continue
            past = prev._replace(value=cast(Any, packed))
            self._exchange(revision, event, event._replace(prev_kv=past))
            for made in self._held(prev.mod_revision):
                if made.kv is prev:
                    self._exchange(prev.mod_revision, made, made._replace(kv=past))

    def _exchange(self, revision: int, old: Event, new: Event) -> None:
        chunk, place = self._chunks[revision >> _BITS], revision & _MASK
        events = chunk[place]
        if isinstance(events, list):
            events[next(at for at, event in enumerate(events) if event is old)] = new
        else:
            chunk[place] = new


def _whole(kv: KeyValue) -> KeyValue:
    value: bytes | Packed = kv.value
    return kv._replace(value=value.unpack()) if isinstance(value, Packed) else kv
