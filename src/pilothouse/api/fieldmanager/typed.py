"""Objects seen by their types: the fields they set, what differs between two, the merge of one into another, and removal.

Source: structured-merge-diff's `typed` package: structs and granular maps are taken apart field by field, lists of type map or
set item by item; everything else is one leaf.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from pilothouse.api.fieldmanager import sets
from pilothouse.api.fieldmanager.sets import LEAF, SELF, Set
from pilothouse.api.raw import RawArray, RawObject, plain
from pilothouse.api.types import Field, Shape, Type

_ABSENT: Final = object()


class Unidentified(ValueError):
    """An item of a list that is taken apart has none of the keys that would tell it from the others."""


@dataclass(slots=True)
class Comparison:
    added: Set = field(default_factory=dict)
    modified: Set = field(default_factory=dict)
    removed: Set = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Place:
    """How a value is taken apart. kind: leaf, struct, map, keyed (list of type map) or set. Never changed but for what it
    remembers: the places below it."""

    kind: str
    type: Type | None = None
    keys: tuple[str, ...] = ()
    defaults: tuple[tuple[str, Any], ...] = ()
    _below: dict[str, Place] = field(default_factory=dict, repr=False)
    _items: Place | None = field(default=None, repr=False)

    def below(self, element: str) -> Place:
        """The place of a field of a struct or map."""
        if self.kind != "struct" or self.type is None:
            return self.items
        found = self._below.get(element)
        if found is None:
            of = self.type.fields.get(element)
            if of is None:
                return _FREE if self.type.preserve_unknown else _LEAF
            found = self._below[element] = place_of(of.type, of)
        return found

    @property
    def items(self) -> Place:
        """The place of a value of a map, or of an item of a list."""
        if self._items is None:
            self._items = _LEAF if self.kind == "set" else place_of(self.type)
        return self._items


_ZEROS: Final[dict[str, Any]] = {"string": "", "int32": 0, "int64": 0, "bool": False}
_LEAF: Final = Place("leaf")
_FREE: Final = Place("map")  # a value without a type: maps are granular, lists atomic


@lru_cache(maxsize=4096)
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
                keys = [(k, element.fields.get(k)) for k in as_field.list_map_keys]
                defaults = tuple((k, d) for k, f in keys if f is not None and (d := _default(f)) is not None)
                return Place("keyed", element, as_field.list_map_keys, defaults)
            if list_type == "set":
                return Place("set", element)
    return _LEAF


def _default(of: Field) -> Any:
    """What the schema takes a key field for that is left out: its default, or its zero where Go always writes it."""
    if of.default is not None or of.omitempty or of.pointer:
        return of.default
    return _ZEROS.get(of.type.name)


def _items(place: Place, value: Any) -> dict[str, list[Any]]:
    """Path element → its items, of a list that is taken apart. More than one have the same identity by mistake only."""
    found: dict[str, list[Any]] = {}
    for item in value or ():
        found.setdefault(element_of(place, item), []).append(item)
    return found


def element_of(place: Place, item: Any) -> str:
    if place.kind == "set":
        return "v:" + orjson.dumps(item).decode()
    given = item if isinstance(item, dict) else {}
    identity: dict[str, Any] = {key: given[key] for key in place.keys if key in given}
    for key, value in place.defaults:
        identity.setdefault(key, value)
    if not identity:
        keys = "[" + " ".join(orjson.dumps(k).decode() for k in place.keys) + "]"
        raise Unidentified(
            f"associative list with keys has an element that omits all key fields {keys} "
            "(and doesn't have default values for any key fields)"
        )
    return "k:" + orjson.dumps(identity, option=orjson.OPT_SORT_KEYS).decode()


def fields_of(place: Place, value: Any) -> Set:
    """The set of fields that a configuration sets."""
    out: Set = {}
    if place.kind in ("struct", "map") and isinstance(value, dict):
        for name, inner in value.items():
            at = place.below(name)
            found = fields_of(at, inner)
            free = place.kind == "map" or (place.type is not None and name not in place.type.fields)
            if inner is None or inner == {} or (free and SELF not in found):
                found = sets.union(found, LEAF)
            if found:
                out[f"f:{name}"] = found
        return out
    if place.kind in ("keyed", "set") and isinstance(value, list):
        inner_place = place.items
        for element, items in _items(place, value).items():
            apart = place.kind == "keyed" and len(items) == 1
            out[element] = sets.union(LEAF, fields_of(inner_place, items[0])) if apart else LEAF
        return out
    return LEAF


def compare(place: Place, old: Any, new: Any) -> Comparison:
    out = Comparison()
    _compare(place, old, new, (out.added, out.modified, out.removed))
    return out


def _compare(place: Place, old: Any, new: Any, into: tuple[Set, Set, Set]) -> None:
    """Puts into (added, modified, removed) what differs. `_ABSENT` is not there; null is a value."""
    if type(old) is type(new) and old == new:
        return
    if isinstance(old, (RawObject, RawArray)) and plain(old) == plain(new):  # within atomic lists alone as texts
        return
    if not _is_granular(place, old, new):
        into[1][SELF] = {}
        return
    if place.kind in ("keyed", "set"):
        _compare_items(place, old or (), new or (), into)
    else:
        a, b = old or {}, new or {}
        for name, value in a.items():
            _put(into, f"f:{name}", place.below(name), value, b.get(name, _ABSENT))
        for name, value in b.items():
            if name not in a:
                _put(into, f"f:{name}", place.below(name), _ABSENT, value)


def _is_granular(place: Place, old: Any, new: Any) -> bool:
    """Whether two values are compared part by part; else they are leaves."""
    if place.kind == "leaf" or not (old or new):
        return False
    wanted = dict if place.kind in ("struct", "map") else list
    return (old is None or isinstance(old, wanted)) and (new is None or isinstance(new, wanted))


def _put(into: tuple[Set, Set, Set], element: str, place: Place, old: Any, new: Any) -> None:
    if old is _ABSENT or new is _ABSENT:
        whole, part = (into[0], _whole(place, new)) if old is _ABSENT else (into[2], _whole(place, old))
        there = whole.get(element)
        whole[element] = part if there is None else sets.union(there, part)
        return
    found: tuple[Set, Set, Set] = ({}, {}, {})
    _compare(place, old, new, found)
    for whole, part in zip(into, found, strict=True):
        if part:
            whole[element] = sets.union(whole.get(element, {}), part)


def _whole(place: Place, value: Any) -> Set:
    """The fields of a value that comes or goes."""
    kind = place.kind
    if kind == "leaf" or not value:
        return LEAF
    out: Set
    if kind in ("struct", "map"):
        if not isinstance(value, dict):
            return LEAF
        out = {f"f:{name}": _whole(place.below(name), inner) for name, inner in value.items()}
    else:
        if not isinstance(value, list):
            return LEAF
        at = place.items
        out = {e: LEAF if len(i) > 1 else _whole(at, i[0]) for e, i in _items(place, value).items()}
    out[SELF] = {}
    return out


def _compare_items(place: Place, old: Any, new: Any, into: tuple[Set, Set, Set]) -> None:
    """Items that share an identity are one leaf together: it comes, changes or goes as they do."""
    added, modified, removed = into
    first, second = _items(place, old), _items(place, new)
    at = place.items
    for element in {**first, **second}:
        before, after = first.get(element, []), second.get(element, [])
        match len(before) > 1, len(after) > 1:
            case False, False:
                _put(into, element, at, before[0] if before else _ABSENT, after[0] if after else _ABSENT)
            case True, True:
                if before != after:
                    modified[element] = LEAF
            case True, False:
                removed[element] = LEAF
                if after:
                    _put(into, element, at, _ABSENT, after[0])
            case False, True:
                added[element] = LEAF
                if before:
                    _put(into, element, at, before[0], _ABSENT)


def merge(place: Place, live: Any, applied: Any) -> Any:
    """`live` with the applied configuration in it; neither is changed. Null in the configuration removes nothing."""
    if (
        place.kind in ("struct", "map")
        and isinstance(live, dict)
        and live
        and (applied is None or isinstance(applied, dict))
    ):
        out = dict(live)
        for name, value in (applied or {}).items():
            out[name] = merge(place.below(name), live[name], value) if name in live else value
        return out
    if (
        place.kind in ("keyed", "set")
        and isinstance(live, list)
        and live
        and (applied is None or isinstance(applied, list))
    ):
        return _merge_lists(place, live, applied or [])
    return applied


def _merge_lists(place: Place, live: list[Any], applied: list[Any]) -> list[Any]:
    """Applied items in their order, live ones in theirs: each stands before the next one that both lists have.

    Items that live has twice are not merged with the applied one, which takes their place."""
    at = place.items
    mine, theirs = [element_of(place, v) for v in applied], [element_of(place, v) for v in live]
    given, there = dict(zip(mine, applied, strict=True)), _items(place, live)

    def merged(element: str) -> Any:
        before = there.get(element, [])
        return merge(at, before[0], given[element]) if len(before) == 1 else given[element]

    shared = [e for e in mine if e in there]
    out: list[Any] = []
    done: set[str] = set()
    left, right, next_shared = 0, 0, 0
    while left < len(theirs) or right < len(mine):
        if left < len(theirs):
            element = theirs[left]
            if right < len(mine):
                if element == mine[right]:
                    out.append(merged(element))
                    done.add(element)
                    left, right, next_shared = left + 1, right + 1, next_shared + 1
                    continue
                if element in given and next_shared < len(shared) and shared[next_shared] != element:
                    left += 1  # shared, but its turn comes later
                    continue
            if element not in given:
                out.append(live[left])
                left += 1
                continue
            if element in done:
                left += 1
        if right < len(mine):
            element = mine[right]
            out.append(merged(element))
            done.add(element)
            right += 1
            if next_shared < len(shared) and shared[next_shared] == element:
                next_shared += 1
    return out


def without(place: Place, value: Any, gone: Set) -> Any:
    """`value` without the members of `gone`; a struct, map or list that loses all that it had stays, empty."""
    if not value or place.kind == "leaf":
        return None if isinstance(value, (dict, list)) else value
    if place.kind in ("struct", "map"):
        if not isinstance(value, dict):
            return value
        pairs = [(f"f:{name}", name, inner) for name, inner in value.items()]
        return {n: _left(place.below(n), inner, gone[e]) if e in gone else inner for e, n, inner in _kept(pairs, gone)}
    if not isinstance(value, list):
        return value
    items = [(element_of(place, item), "", item) for item in value]
    return [_left(place.items, item, gone[e]) if e in gone else item for e, _, item in _kept(items, gone)]


def _kept(parts: list[tuple[str, str, Any]], gone: Set) -> list[tuple[str, str, Any]]:
    return [part for part in parts if SELF not in gone.get(part[0], ())]


def _left(place: Place, value: Any, gone: Set) -> Any:
    found = without(place, value, gone)
    if found is None:
        return {} if isinstance(value, dict) else [] if isinstance(value, list) else None
    return found


def named(place: Place, members: Set) -> Set:
    """The set with the fields of structs in it that have members below them (upstream's EnsureNamedFieldsAreMembers)."""
    out: Set = {}
    for element, inner in members.items():
        if element == SELF:
            out[SELF] = inner
        elif element.startswith("f:"):
            found = named(place.below(element[2:]), inner)
            declared = place.kind == "struct" and place.type is not None and element[2:] in place.type.fields
            out[element] = sets.union(found, LEAF) if declared else found
        else:
            out[element] = named(place.items, inner)
    return out
