"""Indexes of a watch cache: its entries by the value of a selectable field, made when a list first asks for one value, and kept
up to date from then on. A kind has few such fields, so their number is bounded.
Source: upstream's storage.Indexers (a node's pods), here for every field.
"""

from __future__ import annotations

from collections.abc import Mapping

from pilothouse.api.kinds.kind import Kind
from pilothouse.apiserver.pacing import Pace
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.watching import Trigger
from pilothouse.clock import Clock


class _Index:
    __slots__ = ("complete", "values")

    def __init__(self) -> None:
        self.complete = False
        self.values: dict[str, dict[str, Entry]] = {}  # value → key → entry

    def put(self, value: str, entry: Entry) -> None:
        self.values.setdefault(value, {})[entry.key] = entry

    def remove(self, value: str, key: str) -> None:
        there = self.values.get(value)
        if there is not None:
            there.pop(key, None)
            if not there:
                del self.values[value]


class Indexes:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[tuple[Kind, int], _Index] = {}

    def clear(self) -> None:
        self._of.clear()

    async def build(self, field: tuple[Kind, int], entries: Mapping[str, Entry]) -> None:
        """The index of one field, unless it is there or being made. `entries` may change meanwhile: `update` is told."""
        if field in self._of:
            return
        kind, at = field
        index = self._of[field] = _Index()
        try:
            pace = Pace(self._clock)
            for key in list(entries):
                entry = entries.get(key)
                if entry is not None:
                    index.put(entry.fields(kind)[at], entry)
                await pace.rest()
                if self._of.get(field) is not index:
                    return
            index.complete = True
        finally:
            if not index.complete and self._of.get(field) is index:
                del self._of[field]

    def find(self, trigger: Trigger) -> list[Entry] | None:
        """The entries that have the value, in order of their keys; None where there is no index."""
        index = self._of.get((trigger.kind, trigger.at))
        if index is None or not index.complete:
            return None
        there = index.values.get(trigger.value)
        return [there[key] for key in sorted(there)] if there else []

    def update(self, previous: Entry | None, entry: Entry | None) -> None:
        """An entry came, changed or went (None)."""
        for (kind, at), index in self._of.items():
            value = None if entry is None else entry.fields(kind)[at]
            if previous is not None:
                before = previous.fields(kind)[at]
                if before != value:
                    index.remove(before, previous.key)
            if entry is not None and value is not None:
                index.put(value, entry)
