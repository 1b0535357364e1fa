"""Objects seen by their types: the fields they set, what differs between two, the merge of one into another, and removal.

Source: structured-merge-diff's `typed` package: structs and granular maps are taken apart field by field, lists of type map or
set item by item; everything else is one leaf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pilothouse.api.fieldmanager import sets
from pilothouse.api.fieldmanager.sets import LEAF, SELF, Set
from pilothouse.api.types import Field, Shape, Type

_ABSENT: Final = object()


@dataclass(slots=True)
class Comparison:
    added: Set = field(default_factory=dict)
    modified: Set = field(default_factory=dict)
    removed: Set = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """How a value is taken apart. kind: leaf, struct, map, keyed (list of type map) or set."""

    kind: str
    type: Type | None = None
    keys: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()


_LEAF: Final = Place("leaf")
_FREE: Final = Place("map")  # a value without a type: maps are granular, lists atomic


def place_of(type_: Type | None, as_field: Field | None = None) -> Place:
    """`as_field`: the field that has the value, whose marks say how lists and maps are merged."""
    if type_ is None:
        return _FREE
    map_type = (as_field.map_type if as_field is not None else "") or type_.map_type
    match type_.shape:
        case Shape.STRUCT:
            return _LEAF if map_type == "atomic" else Place("struct", type_)
        case Shape.MAP:
            return _LEAF if map_type == "atomic" else Place("map", type_.element)
        case Shape.LIST:
            list_type = as_field.list_type if as_field is not None else ""
            element = type_.element
            if list_type == "map" and as_field is not None and element is not None:
                defaults = tuple(
                    (k, f.default)
                    for k in as_field.list_map_keys
                    if (f := element.fields.get(k)) is not None and f.default is not None
                )
                return Place("keyed", element, as_field.list_map_keys, defaults)
            if list_type == "set":
                return Place("set", element)
    return _LEAF


def below(place: Place, element: str) -> Place:
    """The place of a field of a struct or map."""
    if place.kind == "struct" and place.type is not None:
        found = place.type.fields.get(element)
        if found is None:
            return _FREE if place.type.preserve_unknown else _LEAF
        return place_of(found.type, found)
    return place_of(place.type)


def _items(place: Place, value: Any) -> dict[str, Any]:
    """Path element → item, of a list that is taken apart. Of items with the same identity the last counts."""
    found: dict[str, Any] = {}
    for item in value or ():
        found[element_of(place, item)] = item
    return found


def element_of(place: Place, item: Any) -> str:
    if place.kind == "set":
        return "v:" + orjson.dumps(item).decode()
    identity: dict[str, Any] = {}
    defaults = dict(place.defaults)
    for key in place.keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            value = defaults.get(key)
        if value is not None:
            identity[key] = value
    return "k:" + orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()


def fields_of(place: Place, value: Any) -> Set:
    """The set of fields that a configuration sets."""
    out: Set = {}
    if place.kind in ("struct", "map") and isinstance(value, dict):
        for name, inner in value.items():
            at = below(place, name)
            found = fields_of(at, inner)
            if inner is None or inner == {} or (place.kind == "map" and SELF not in found):
                found = sets.union(found, LEAF)
            if found:
                out[f"f:{name}"] = found
        return out
    if place.kind in ("keyed", "set") and isinstance(value, list):
        for element, item in _items(place, value).items():
            inner_place = place_of(place.type)
            out[element] = sets.union(LEAF, fields_of(inner_place, item) if place.kind == "keyed" else {})
        return out
    return LEAF


def compare(place: Place, old: Any, new: Any) -> Comparison:
    out = Comparison()
    _compare(place, old, new, (out.added, out.modified, out.removed))
    return out


def _compare(place: Place, old: Any, new: Any, into: tuple[Set, Set, Set]) -> None:
    """Puts into (added, modified, removed) what differs. `_ABSENT` is not there; null is a value."""
    if old is new or (old is not _ABSENT and new is not _ABSENT and type(old) is type(new) and old == new):
        return
    added, modified, removed = into
    pairs = _pairs(place, old, new)
    if pairs is None:  # a leaf
        (added if old is _ABSENT else removed if new is _ABSENT else modified)[SELF] = {}
        return
    for element, at, before, after in pairs:
        deeper: tuple[Set, Set, Set] = ({}, {}, {})
        _compare(at, before, after, deeper)
        for whole, part in zip(into, deeper, strict=True):
            if part:
                whole[element] = part
    if old is _ABSENT:
        added[SELF] = {}
    elif new is _ABSENT:
        removed[SELF] = {}


def _pairs(place: Place, old: Any, new: Any) -> list[tuple[str, Place, Any, Any]] | None:
    """The parts of two values side by side; None where they are compared as one."""
    if place.kind == "leaf":
        return None
    nothing = (_ABSENT, None)
    wanted = dict if place.kind in ("struct", "map") else list
    if any(v is not _ABSENT and v is not None and not isinstance(v, wanted) for v in (old, new)):
        return None
    a = {} if old in nothing else old
    b = {} if new in nothing else new
    if not a and not b:
        return None
    if wanted is dict:
        return [(f"f:{name}", below(place, name), a.get(name, _ABSENT), b.get(name, _ABSENT)) for name in {**a, **b}]
    first, second = _items(place, a), _items(place, b)
    at = place_of(place.type) if place.kind == "keyed" else _LEAF
    return [(e, at, first.get(e, _ABSENT), second.get(e, _ABSENT)) for e in {**first, **second}]


def merge(place: Place, live: Any, applied: Any) -> Any:
    """`live` with the applied configuration in it; neither is changed. Null in the configuration removes nothing but its own."""
    if place.kind in ("struct", "map") and isinstance(applied, dict) and isinstance(live, dict):
        out = dict(live)
        for name, value in applied.items():
            out[name] = merge(below(place, name), live[name], value) if name in live else value
        return out
    if place.kind in ("keyed", "set") and isinstance(applied, list) and isinstance(live, list):
        before, after = _items(place, live), _items(place, applied)
        at = place_of(place.type)
        merged = {e: merge(at, before[e], v) if e in before and place.kind == "keyed" else v for e, v in after.items()}
        return _in_order(before, merged)
    return applied


def _in_order(before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    """The applied items in their order; those that are only live keep their place before the next one that both have."""
    position = {e: i for i, e in enumerate(before)}
    waiting = [e for e in before if e not in after]
    out = []
    for element, value in after.items():
        at = position.get(element)
        while at is not None and waiting and position[waiting[0]] < at:
            out.append(before[waiting.pop(0)])
        out.append(value)
    return out + [before[e] for e in waiting]


def remove(place: Place, value: Any, gone: Set, kept: Set) -> Any:
    """`value` without the fields in `gone` that are not in `kept`; containers that lose all that they had go too."""
    if place.kind in ("struct", "map") and isinstance(value, dict):
        out: Any = {}
        for name, inner in value.items():
            element = f"f:{name}"
            below_gone, below_kept = gone.get(element), kept.get(element)
            if below_gone is None:
                out[name] = inner
                continue
            left = _left(below(place, name), inner, below_gone, below_kept)
            if left is not _ABSENT:
                out[name] = left
        return out
    if place.kind in ("keyed", "set") and isinstance(value, list):
        at = place_of(place.type)
        out = []
        for item in value:
            element = element_of(place, item)
            below_gone = gone.get(element)
            if below_gone is None:
                out.append(item)
                continue
            left = _left(at if place.kind == "keyed" else _LEAF, item, below_gone, kept.get(element), place.keys)
            if left is not _ABSENT:
                out.append(left)
        return out
    return value


def _left(place: Place, value: Any, gone: Set, kept: Set | None, keys: tuple[str, ...] = ()) -> Any:
    """What stays of one field or item; `_ABSENT` for nothing. `keys` identify an item and stay as long as it does."""
    if place.kind == "leaf" or not isinstance(value, (dict, list)):
        return value if kept is not None else _ABSENT
    left = remove(place, value, gone, kept or {})
    if kept is not None:
        if keys and isinstance(value, dict):
            left = {k: v for k, v in value.items() if k in left or k in keys}
        return left
    rest = {k: v for k, v in left.items() if k not in keys} if isinstance(left, dict) else left
    if not rest and (value or SELF in gone):
        return _ABSENT
    if keys and isinstance(value, dict):
        return {k: v for k, v in value.items() if k in left or k in keys}
    return left
