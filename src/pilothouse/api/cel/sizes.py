"""The sizes and costs that estimates reckon with: ranges, from the least to the most. All numbers stop at 2^64 - 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pilothouse.api.cel.ast import Node
from pilothouse.api.cel.types import Type

MAX: Final = (1 << 64) - 1
Path = tuple[str, ...]
"""From a variable on: fields, `@items`, `@keys`, `@values`, `@indices`."""


@dataclass(frozen=True, slots=True)
class Range:
    """From the least to the most, of sizes and of costs."""

    min: int
    max: int

    def __add__(self, other: Range) -> Range:
        return Range(min(MAX, self.min + other.min), min(MAX, self.max + other.max))

    def __mul__(self, other: Range) -> Range:
        return Range(min(MAX, self.min * other.min), min(MAX, self.max * other.max))

    def __or__(self, other: Range) -> Range:
        """Whatever is in either."""
        return Range(min(self.min, other.min), max(self.max, other.max))

    def times(self, factor: float) -> Range:
        return Range(_times(self.min, factor), _times(self.max, factor))


def _times(number: int, factor: float) -> int:
    wide = float(number)
    if wide > 0 and factor > 0 and wide > float(MAX) / factor:
        return MAX
    return min(MAX, math.ceil(wide * factor))


def fixed(number: int) -> Range:
    return Range(number, number)


ANY: Final = Range(0, MAX)
SizeOf = Callable[[Path, Type], Range | None]
"""The size that a caller's declarations allow what stands at the path; None where they say nothing. The path is empty for what
cannot be reached from a variable."""


@dataclass(frozen=True, slots=True)
class Entries:
    """The sizes of what a list or map holds."""

    is_list: bool
    key: Range
    value: Range

    def __or__(self, other: Entries) -> Entries:
        return Entries(self.is_list, self.key | other.key, self.value | other.value)


@dataclass(frozen=True, slots=True)
class Sized:
    """An argument of a call, as the costs of calls see it."""

    path: Path
    type: Type
    node: Node | None
    size: Range


class Items(Protocol):
    """Who knows how large the items of a list are."""

    def items(self, values: Sized) -> Sized | None: ...
