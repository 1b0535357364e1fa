"""Fields behind feature gates: while the gate is closed they are dropped, unless the stored object uses them already.

Source: upstream's dropDisabledFields functions, in pkg/api/*/util.go and the strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from pilothouse.api import gates
from pilothouse.api.objects import Obj

Place: TypeAlias = tuple[Obj, str]
"""A holder and the name of its field."""

Places: TypeAlias = Callable[[Obj], Iterable[Place]]
"""(object) → every place where fields of one gate stand, or could."""

_Tree: TypeAlias = "dict[str, tuple[list[int], _Tree]]"
"""step → (the gates whose fields are here, by their places in the table; the steps that follow)"""


class Gated(NamedTuple):
    gate: str
    places: Places


class fields:
    """The places that dotted paths lead to. Lists are gone through; `*` stands for all entries of a map."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self._tree: _Tree = {}
        for path in paths:
            _grow(self._tree, path, 0)

    def __call__(self, obj: Obj) -> Iterator[Place]:
        found: list[tuple[int, Place]] = []
        _find(obj, self._tree, found)
        return (place for _, place in found)


def _grow(tree: _Tree, path: str, gate: int) -> None:
    *way, name = path.split(".")
    for step in way:
        tree = tree.setdefault(step, ([], {}))[1]
    tree.setdefault(name, ([], {}))[0].append(gate)


def _find(holder: Obj, tree: _Tree, found: list[tuple[int, Place]]) -> None:
    for step, (here, below) in tree.items():
        value: Any = list(holder.values()) if step == "*" else holder.get(step)
        if value is None:
            continue
        if here:
            found += [(gate, (holder, step)) for gate in here]
        if below:
            if isinstance(value, dict):
                _find(value, below, found)
            elif isinstance(value, list):
                for one in value:
                    if isinstance(one, dict):
                        _find(one, below, found)


@lru_cache(maxsize=256)
def _closed(table: tuple[Gated, ...], opened: frozenset[str]) -> tuple[_Tree, list[Gated]]:
    """The closed gates: the fields of those that say them by paths, for one walk, and the others."""
    tree: _Tree = {}
    others = []
    for i, gated in enumerate(table):
        if gated.gate in opened:
            continue
        if isinstance(gated.places, fields):
            for path in gated.places.paths:
                _grow(tree, path, i)
        else:
            others.append(gated)
    return tree, others


def drop(table: tuple[Gated, ...], new: Obj | None, old: Obj | None) -> None:
    """Changes new. `old` is the same part of the stored object; None on create."""
    if not new:
        return
    tree, others = _closed(table, gates.opened())
    found: list[tuple[int, Place]] = []
    _find(new, tree, found)
    by_gate: dict[int, list[Place]] = {}
    for i, place in found:
        by_gate.setdefault(i, []).append(place)
    used = [(table[i].places, places) for i, places in by_gate.items()]
    used += [(gated.places, [p for p in gated.places(new) if p[0].get(p[1]) is not None]) for gated in others]
    for places, stand in used:
        if stand and not in_use(places, old):
            for holder, name in stand:
                del holder[name]


def in_use(places: Places, obj: Obj | None) -> bool:
    return obj is not None and any(holder.get(name) is not None for holder, name in places(obj))
