"""Is a recorded history of concurrent requests linearizable? The search is Wing and Gong's, with Lowe's memory of what was
tried, over the groups of keys that are used together (P-compositionality), as porcupine does it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

Values: TypeAlias = tuple[bytes | None, ...]  # of a group's keys


@dataclass(frozen=True, slots=True)
class Done:
    """A request. `ended` is inf, and the answer unknown, where none came. Keys are places in their group.

    get:  answer is the values of all keys of the group
    put:  all keys in `write` get their values (None: are deleted)
    swap: as put if the keys in `expect` have these values; answer is whether they had
    """

    kind: Literal["get", "put", "swap"]
    begun: float
    ended: float
    write: Mapping[int, bytes | None] | None = None
    expect: Mapping[int, bytes | None] | None = None
    answer: Values | bool | None = None

    def step(self, state: Values) -> Values | None:
        """The state after it, None where it cannot have been answered so in `state`."""
        if self.kind == "get":
            return state if self.ended == inf or self.answer == state else None
        if self.kind == "swap":
            assert self.expect is not None
            holds = all(state[place] == value for place, value in self.expect.items())
            if self.ended != inf and holds != self.answer:
                return None
            if not holds:
                return state
        assert self.write is not None
        return tuple(self.write.get(place, value) for place, value in enumerate(state))


def linearizable(history: Sequence[Done], keys: int) -> bool:
    """Of one group of keys, absent at first."""
    ops = sorted(history, key=lambda op: op.begun)
    answered = sum(1 << i for i, op in enumerate(ops) if op.ended != inf)
    start: tuple[int, int, Values] = (0, 0, (None,) * keys)
    stack, seen = [start], {(0, start[2])}
    while stack:
        first, done, state = stack.pop()
        if not answered & ~done:
            return True
        while done >> first & 1:
            first += 1
        least = inf  # when the first of those that are left had ended
        for i in range(first, len(ops)):
            if done >> i & 1:
                continue
            op = ops[i]
            if op.begun > least:
                break
            least = min(least, op.ended)
            after = op.step(state)
            if after is None:
                continue
            next_ = (done | 1 << i, after)
            if next_ not in seen:
                seen.add(next_)
                stack.append((first, *next_))
    return False


@dataclass(frozen=True, slots=True)
class Seen:
    """A request's revision: that of a write, or the newest that a read knew of."""

    begun: float
    ended: float
    revision: int
    wrote: bool


def revisions_in_order(seen: Sequence[Seen]) -> str:
    """What is wrong with the revisions: each write has its own, and no answer is older than one known when it was asked for."""
    by_revision: dict[int, int] = defaultdict(int)
    for one in seen:
        by_revision[one.revision] += one.wrote
    twice = [revision for revision, count in by_revision.items() if count > 1]
    if twice:
        return f"revision {twice[0]} was given twice"
    newest, ends = 0, sorted(seen, key=lambda one: one.ended)
    at = 0
    for one in sorted(seen, key=lambda one: one.begun):
        while at < len(ends) and ends[at].ended < one.begun:
            newest = max(newest, ends[at].revision)
            at += 1
        if one.revision < newest + one.wrote:
            return f"{one} was asked for after revision {newest} was known"
    return ""
