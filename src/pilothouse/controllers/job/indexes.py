"""Sets of completion indexes as ordered intervals: `1,3-5,7`, as `status.completedIndexes` has them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from pilothouse.api.objects import Obj

INDEX: Final = "batch.kubernetes.io/job-completion-index"
FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES: Final = "batch.kubernetes.io/job-index-ignored-failure-count"


class Intervals:
    """Immutable. Its size is that of the gaps, not of the set: a Job may have a thousand million indexes."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[tuple[int, int]] = ()) -> None:
        """`parts`: (first, last), in order; those that touch or overlap are joined."""
        joined: list[tuple[int, int]] = []
        for first, last in parts:
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
            else:
                joined.append((first, last))
        self._parts = joined

    @classmethod
    def parse(cls, text: str, completions: int) -> Intervals:
        """What is not a number is left out, and so is what is beyond the completions."""
        parts = []
        for part in text.split(",") if text else ():
            first, dash, last = part.partition("-")
            if not _is_number(first) or (dash and not _is_number(last)):
                continue
            if int(first) >= completions:
                break
            parts.append((int(first), min(int(last), completions - 1) if dash else int(first)))
        return cls(parts)

    def __str__(self) -> str:
        texts = []
        for first, last in self._parts:
            if first == last:
                texts.append(str(first))
            else:
                texts.append(f"{first}{',' if last == first + 1 else '-'}{last}")
        return ",".join(texts)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._parts)

    def __contains__(self, index: int) -> bool:
        at = bisect_left(self._parts, index, key=lambda part: part[1])
        return at < len(self._parts) and self._parts[at][0] <= index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(tuple(self._parts))

    def __or__(self, other: Intervals) -> Intervals:
        return Intervals(sorted([*self._parts, *other._parts]))

    def with_indexes(self, indexes: Iterable[int]) -> Intervals:
        added = [(i, i) for i in indexes]
        return Intervals(sorted([*self._parts, *added])) if added else self

    def overlap(self, other: Intervals) -> int:
        """How many indexes both have."""
        count = a = b = 0
        while a < len(self._parts) and b < len(other._parts):
            (first_a, last_a), (first_b, last_b) = self._parts[a], other._parts[b]
            count += max(0, min(last_a, last_b) - max(first_a, first_b) + 1)
            if last_a <= last_b:
                a += 1
            if last_b <= last_a:
                b += 1
        return count

    def first_missing(self, count: int, completions: int) -> list[int]:
        """The lowest `count` indexes that are not in it."""
        found: list[int] = []
        candidate = 0
        for first, last in [*self._parts, (completions, completions)]:
            take = min(first, completions) - candidate
            if take > 0:
                found.extend(range(candidate, candidate + min(take, count - len(found))))
            if len(found) >= count:
                break
            candidate = max(candidate, last + 1)
        return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def index_of(pod: Obj) -> int | None:
    """The completion index of a pod; None where it has no valid one."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX)
    return int(text) if text is not None and _is_number(text) else None


def _count(pod: Obj, annotation: str) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "0")
    value = int(text) if _is_number(text) else 0
    return value if value < 1 << 31 else 0


def failures_of(pod: Obj) -> int:
    """How often its index had failed before it, ignored failures left out."""
    return _count(pod, FAILURES)


def all_failures_of(pod: Obj) -> int:
    return _count(pod, FAILURES) + _count(pod, IGNORED_FAILURES)
