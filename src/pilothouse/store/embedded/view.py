"""`View`: a range of the state as it was at one revision, read in slices while the state goes on; and what a Range answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
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
_RUN = 10_000  # sorted in one go, some milliseconds' worth
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


def wanted(request: Range) -> int:
    """How many keys, in their order, must be looked at."""
    if request.count_only:
        return 0
    sorts = request.descending or (request.sort_target != "key" and not request.limit_first)
    return request.limit + 1 if request.limit > 0 and not sorts and not _filters(request) else _ALL


class Answer:
    """Puts together what a Range answers: `add` slices of the range in order of key, until there are as many as are
    `wanted`; then `order` until it returns True, then `result`."""

    def __init__(self, request: Range) -> None:
        self._request = request
        self._kvs: list[KeyValue] = []
        self._most = request.limit + 1 if request.limit > 0 else _ALL
        self._runs: list[list[KeyValue]] = [[]]  # each in the order asked for
        self._rest: Iterator[KeyValue] | None = None

    def add(self, kvs: list[KeyValue]) -> None:
        kvs = _passing(self._request, kvs)
        if self._request.sort_target == "key":
            self._kvs += _stripped(self._request, kvs)
            return
        self._runs[-1] += kvs
        if len(self._runs[-1]) >= _RUN:
            self._sort(self._runs[-1])
            self._runs.append([])

    def _sort(self, run: list[KeyValue]) -> None:
        run.sort(key=_SORTS[self._request.sort_target], reverse=self._request.descending)
        del run[self._most :]

    def order(self, limit: int = _ALL) -> bool:
        """Puts about `limit` more in order. Returns whether as many are as are wanted."""
        request = self._request
        if request.sort_target == "key":
            if request.descending:
                self._kvs.reverse()
            return True
        if self._rest is None:
            self._sort(self._runs[-1])
            runs = [drained(run) for run in self._runs if run]
            key, descending = _SORTS[request.sort_target], request.descending
            self._rest = runs[0] if len(runs) == 1 else merge(*runs, key=key, reverse=descending)
            self._runs.clear()
        wanted = min(limit, self._most - len(self._kvs))
        more = list(islice(self._rest, wanted))
        self._kvs += _stripped(request, more)
        return len(more) < wanted or len(self._kvs) == self._most

    def result(self, count: int, revision: int) -> RangeResult:
        """`count`: of all keys in the range."""
        kvs, limit = self._kvs, self._request.limit
        more = 0 < limit < len(kvs)
        return RangeResult(kvs[:limit] if more else kvs, count, more, revision)


def point(request: Range, kv: KeyValue | None, revision: int) -> RangeResult:
    """What a Range of one key answers."""
    if kv is None:
        return RangeResult([], 0, False, revision)
    kvs = _stripped(request, _passing(request, [kv])) if not request.count_only else []
    return RangeResult(kvs, 1, False, revision)


def drained(run: list[KeyValue]) -> Iterator[KeyValue]:
    """Lets go of each as it goes: to forget a million at once takes longer than the loop may be held."""
    run.reverse()
    while run:
        yield run.pop()


def _stripped(request: Range, kvs: list[KeyValue]) -> list[KeyValue]:
    if not request.keys_only:
        return kvs
    return [KeyValue(key, b"", create, mod, version, lease) for key, _, create, mod, version, lease in kvs]


def _filters(request: Range) -> bool:
    return bool(
        request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _passing(request: Range, kvs: list[KeyValue]) -> list[KeyValue]:
    if not _filters(request):
        return kvs
    low_mod, high_mod = request.min_mod_revision, request.max_mod_revision or _ALL
    low_create, high_create = request.min_create_revision, request.max_create_revision or _ALL
    return [
        kv for kv in kvs if low_mod <= kv.mod_revision <= high_mod and low_create <= kv.create_revision <= high_create
    ]
