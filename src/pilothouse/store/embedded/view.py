"""`View`: a range of the state as it was at one revision, read in slices while the state goes on; and what a Range answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import attrgetter
from typing import TypeVar

from sortedcontainers import SortedList

from pilothouse.store.embedded.state import State, inside
from pilothouse.store.interface import Event, KeyValue, Range, RangeResult

_SORTS = {
    "version": attrgetter("version"),
    "create": attrgetter("create_revision"),
    "mod": attrgetter("mod_revision"),
    "value": attrgetter("value"),
}
_ALL = 1 << 62
Self = TypeVar("Self", bound="View")


class View:
    """Use as a context: it pins its revision. `follow` until it returns True before each `take` or `count`, with no pause
    in between."""

    def __init__(self, state: State, revision: int, start: bytes = b"\0", end: bytes = b"\0") -> None:
        self._state, self._revision = state, revision
        self._start, self._end = start, end
        self._cursor: bytes | None = start
        self._seen = revision
        self._net = 0  # how many more live keys the range has now
        self._changed: dict[bytes, KeyValue | None] = {}  # what was touched since: what it was
        self._were: SortedList | None = None  # of these, the ones that were there

    def __enter__(self: Self) -> Self:
        self._state.pin(self._revision)
        return self

    def __exit__(self, *_: object) -> None:
        self._state.unpin(self._revision)

    def follow(self, limit: int = _ALL) -> bool:
        """Takes in about `limit` events. Returns whether it has taken in all."""
        state = self._state
        while self._seen < state.applied and limit > 0:
            self._seen += 1
            events = state.history.get(self._seen)
            self.set_back(events)
            limit -= len(events) + 1
        return self._seen == state.applied

    def set_back(self, events: Sequence[Event]) -> None:
        changed, start, end = self._changed, self._start, self._end
        fresh = []
        for type_, kv, prev in events:
            key = kv.key
            if not inside(key, start, end):
                continue
            if type_ == "DELETE":
                self._net -= 1
            elif prev is None:
                self._net += 1
            if key not in changed:
                changed[key] = prev
                if prev is not None:
                    fresh.append(key)
        if fresh:
            if self._were is None:
                self._were = SortedList()
            self._were.update(fresh)

    def count(self) -> int:
        if not self._end:
            return (self._start in self._state.live) - self._net
        low, high = self._state.bounds(self._start, self._end)
        return high - low - self._net

    @property
    def ended(self) -> bool:
        """Whether all was taken."""
        return self._cursor is None

    def take(self, limit: int = _ALL) -> list[KeyValue]:
        """The next of them in order, `limit` at most; there may be none among those looked at."""
        cursor = self._cursor
        assert cursor is not None
        state, changed, end = self._state, self._changed, self._end
        if not end:
            self._cursor = None
            kv = changed[cursor] if cursor in changed else state.live.get(cursor)
            return [] if kv is None else [kv]
        low, high = state.bounds(cursor, end)
        whole = high - low <= limit
        high = min(high, low + limit)
        if not changed:
            found = state.slice(low, high)
            self._cursor = None if whole else found[-1].key + b"\0"
            return found
        names = [key for key in state.keys.islice(low, high) if key not in changed]
        upto = (None if end == b"\0" else end) if whole else state.keys[high]
        if self._were is not None:
            names += islice(self._were.irange(cursor, upto, inclusive=(True, False)), limit)
        names.sort()
        if len(names) > limit:
            upto, whole = names[limit], False
            del names[limit:]
        elif len(names) == limit:  # there may be more of those that were
            upto, whole = names[-1] + b"\0", False
        self._cursor = None if whole else upto
        live = state.live
        return [kv for key in names if (kv := changed[key] if key in changed else live[key]) is not None]


def needs_all(request: Range) -> bool:
    """Whether all keys must be seen before the limit applies."""
    return bool(
        request.sort_target != "key"
        or request.descending
        or request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def point(request: Range, kv: KeyValue | None, revision: int) -> RangeResult:
    """The answer to a request for one key."""
    return answer(request, [kv], 1, revision) if kv is not None else RangeResult([], 0, False, revision)


def answer(request: Range, kvs: list[KeyValue], count: int, revision: int) -> RangeResult:
    """`kvs`: those of the range in order, at least one more than the limit if there are."""
    if request.count_only:
        return RangeResult([], count, False, revision)
    if needs_all(request):
        kvs = [kv for kv in kvs if _passes(request, kv)]
        if request.sort_target != "key":
            kvs.sort(key=_SORTS[request.sort_target], reverse=request.descending)
        elif request.descending:
            kvs.reverse()
    more = 0 < request.limit < len(kvs)
    if more:
        kvs = kvs[: request.limit]
    if request.keys_only:
        kvs = [kv._replace(value=b"") for kv in kvs]
    return RangeResult(kvs, count, more, revision)


def _passes(request: Range, kv: KeyValue) -> bool:
    return not (
        (request.min_mod_revision and kv.mod_revision < request.min_mod_revision)
        or (request.max_mod_revision and kv.mod_revision > request.max_mod_revision)
        or (request.min_create_revision and kv.create_revision < request.min_create_revision)
        or (request.max_create_revision and kv.create_revision > request.max_create_revision)
    )
