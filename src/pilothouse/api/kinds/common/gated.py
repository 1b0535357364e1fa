"""Fields behind feature gates: while the gate is closed they are dropped, unless the stored object uses them already.

Source: upstream's dropDisabledFields functions, in pkg/api/*/util.go and the strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from pilothouse.api import gates
from pilothouse.api.objects import Obj

Places: TypeAlias = Callable[[Obj], Iterator[tuple[Obj, str]]]
"""(object) → (holder, field) of every place where fields of one gate can stand."""


class Gated(NamedTuple):
    gate: str
    places: Places


def fields(*paths: str) -> Places:
    """The places that dotted paths lead to. Lists are gone through; `*` stands for all entries of a map."""
    ways = [(path.split(".")[:-1], path.rpartition(".")[2]) for path in paths]

    def places(obj: Obj) -> Iterator[tuple[Obj, str]]:
        for way, name in ways:
            holders = [obj]
            for step in way:
                holders = [one for holder in holders for one in _inner(holder, step)]
            for holder in holders:
                yield holder, name

    return places


def _inner(holder: Obj, step: str) -> Iterator[Obj]:
    for value in holder.values() if step == "*" else (holder.get(step),):
        found: Iterable[Any] = value if isinstance(value, list) else (value,)
        yield from (one for one in found if isinstance(one, dict))


def drop(table: tuple[Gated, ...], new: Obj | None, old: Obj | None) -> None:
    """Changes new. `old` is the same part of the stored object; None on create."""
    if not new:
        return
    is_open = gates.opened()
    for gate, places in table:
        if gate in is_open:
            continue
        used = [(holder, name) for holder, name in places(new) if holder.get(name) is not None]
        if used and not in_use(places, old):
            for holder, name in used:
                del holder[name]


def in_use(places: Places, obj: Obj | None) -> bool:
    return obj is not None and any(holder.get(name) is not None for holder, name in places(obj))
