"""Sets of field paths, as nested dicts: path element → the set below it; `.` in a node says that the node itself is in the set.

The elements are those of FieldsV1: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`. A set is never changed once it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

Set: TypeAlias = dict[str, Any]
SELF: Final = "."
LEAF: Final[Set] = {SELF: {}}
_RANK: Final = {".": 0, "f": 1, "k": 2, "v": 3, "i": 4}


@lru_cache(maxsize=4096)
def _rank(element: str) -> tuple[int, Any]:
    """The place of an element among its siblings: fields by name, then items by their keys, by value and by index."""
    kind, text = element[0], element[2:]
    if kind == "k":
        return 2, tuple((name, _comparable(value)) for name, value in sorted(orjson.loads(text).items()))
    if kind == "v":
        return 3, _comparable(orjson.loads(text))
    if kind == "i":
        return 4, int(text)
    return _RANK.get(kind, 5), text


def _comparable(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, (int, float)):
        return 0, value
    return (1, value) if isinstance(value, str) else (3, orjson.dumps(value))


def union(a: Set, b: Set) -> Set:
    if not a:
        return b
    if not b:
        return a
    out = dict(a)
    for element, below in b.items():
        mine = out.get(element)
        out[element] = below if mine is None else (mine if element == SELF else union(mine, below))
    return out


def difference(a: Set, b: Set) -> Set:
    if not b:
        return a
    out: Set = {}
    for element, below in a.items():
        other = b.get(element)
        if other is None:
            out[element] = below
        elif element != SELF:
            rest = difference(below, other)
            if rest:
                out[element] = rest
    return out


def intersection(a: Set, b: Set) -> Set:
    out: Set = {}
    for element, below in a.items():
        other = b.get(element)
        if other is None:
            continue
        if element == SELF:
            out[element] = below
        else:
            both = intersection(below, other)
            if both:
                out[element] = both
    return out


def of_path(*elements: str) -> Set:
    found = LEAF
    for element in reversed(elements):
        found = {element: found}
    return found


def without_below(a: Set, paths: Set) -> Set:
    """`a` without the paths' members and all that is below them."""
    out: Set = {}
    for element, below in a.items():
        other = paths.get(element)
        if other is None:
            out[element] = below
        elif element != SELF and SELF not in other:
            rest = without_below(below, other)
            if rest:
                out[element] = rest
    return out


def to_fields(a: Set) -> dict[str, Any]:
    """FieldsV1, its keys in upstream's order."""
    out: dict[str, Any] = {}
    for element in _ordered(a):
        below = a[element]
        out[element] = {} if element == SELF or (len(below) == 1 and SELF in below) else to_fields(below)
    return out


def _ordered(a: Set) -> list[str]:
    """Upstream's order. Fields, and the node itself before them, stand in the order of their texts."""
    if len(a) < 2:
        return list(a)
    for element in a:
        if element[0] != "f" and element != SELF:
            return sorted(a, key=_rank)
    return sorted(a)


def of_fields(fields: Any) -> Set:
    """Elements of no known kind are left out. Raises ValueError for what is no FieldsV1."""
    if not isinstance(fields, dict):
        raise ValueError("fieldsV1 is no object")
    out: Set = {}
    for element, below in fields.items():
        if element == SELF:
            out[SELF] = {}
        elif element[:2] in ("f:", "k:", "v:", "i:"):
            out[element] = of_fields(below) or LEAF
    return out


def members(a: Set, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths in the set, in upstream's order: of each node its own members first, then those further down."""
    elements = sorted((e for e in a if e != SELF), key=_rank)
    for element in elements:
        if SELF in a[element]:
            yield (*path, element)
    for element in elements:
        yield from members(a[element], (*path, element))


def show(path: tuple[str, ...]) -> str:
    """`.spec.containers[name="a"].image`."""
    out = []
    for element in path:
        kind, text = element[0], element[2:]
        if kind == "f":
            out.append(f".{text}")
        elif kind == "k":
            pairs = orjson.loads(text)
            out.append("[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in sorted(pairs.items())) + "]")
        elif kind == "v":
            out.append(f"[={text}]")
        else:
            out.append(f"[{text}]")
    return "".join(out)
