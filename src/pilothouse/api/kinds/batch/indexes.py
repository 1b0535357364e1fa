"""Lists of indexes as an indexed Job writes them: `0-2,5`. Source: the API reference of JobStatus.completedIndexes."""

from __future__ import annotations

import re
from typing import Final

from pilothouse.api.field import quote

_number = re.compile("[+-]?[0-9]{1,18}", re.ASCII)
_MAX: Final = 2**31 - 1


class IndexesError(ValueError):
    """The message is upstream's."""


def _index(text: str, completions: int) -> int:
    if not _number.fullmatch(text):
        raise IndexesError(f"cannot convert string to integer for index: {quote(text)}")
    if int(text) >= completions:
        raise IndexesError(f"too large index: {quote(text)}")
    return int(text)


def _interval(text: str, completions: int) -> tuple[int, int]:
    limits = text.split("-")
    if len(limits) > 2:
        why = "violates the requirement that an index interval can have at most two parts separated by '-'"
        raise IndexesError(f"the fragment {quote(text)} {why}")
    first = _index(limits[0], completions)
    if len(limits) == 1:
        return first, first
    last = _index(limits[1], completions)
    if first >= last:
        raise IndexesError(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def count(text: str, completions: int) -> int:
    """How many indexes a list names. Raises IndexesError."""
    total, previous = 0, None
    for part in text.split(",") if text else ():
        first, last = _interval(part, completions)
        if previous is not None and previous >= first:
            raise IndexesError(f"non-increasing order, previous: {previous}, current: {first}")
        total += last - first + 1
        previous = last
    return min(total, _MAX)


def overlap(completed: str, failed: str, completions: int) -> int | None:
    """The first index that is in both lists. What cannot be read is passed over: another rule tells of it."""
    left, right = _readable(completed, completions), _readable(failed, completions)
    i = j = 0
    while i < len(left) and j < len(right):
        (a, b), (c, d) = left[i], right[j]
        if a <= d and c <= b:
            return max(a, c)
        if a <= c:
            i += 1
        else:
            j += 1
    return None


def _readable(text: str, completions: int) -> list[tuple[int, int]]:
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(_interval(part, completions))
        except IndexesError:
            continue
    return found
