"""The values of a custom resource as rules see them: times and bytes instead of texts, lists that are sets or maps.

Most schemas have nothing of the kind: their values are taken as they are. Source: upstream's
apiserver/pkg/cel/common/valuesunstructured.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from pilothouse.api.cel.values import CelError, Duration, Timestamp, equal, kind_of
from pilothouse.api.objects import Obj
from pilothouse.api.structural import formats
from pilothouse.api.structural.declarations import escape, with_metadata

Convert: TypeAlias = Callable[[Any], Any]


class _Wrong:
    """What stands for a value that cannot be converted, until someone looks at it."""

    def __init__(self, error: CelError) -> None:
        self.error = error


def _seen(value: Any) -> Any:
    if type(value) is _Wrong:
        raise value.error
    return value


class _Fields(dict[str, Any]):
    """With something wrong in it."""

    def __getitem__(self, name: str) -> Any:
        return _seen(super().__getitem__(name))

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        return [self[name] for name in self]


class _Items(list[Any]):
    def __getitem__(self, at: Any) -> Any:
        return _seen(super().__getitem__(at))

    def __iter__(self) -> Iterator[Any]:
        return map(_seen, super().__iter__())


class SetList(list[Any]):
    """x-kubernetes-list-type: set. Has no order; + joins."""

    def cel_equal(self, other: Any) -> bool:
        if len(self) != len(other):
            return False
        own, others = {_identity(v) for v in self}, {_identity(v) for v in other}
        return own == others

    def cel_add(self, other: list[Any]) -> SetList:
        made, seen = SetList(self), {_identity(v) for v in self}
        for value in other:
            identity = _identity(value)
            if identity not in seen:
                seen.add(identity)
                made.append(value)
        return made


class MapList(list[Any]):
    """x-kubernetes-list-type: map. Has no order; items of + take the place of those with the same keys."""

    keys: tuple[str, ...] = ()

    def _keyed(self, items: list[Any]) -> dict[Any, Any]:
        return {self._key(item): item for item in items}

    def _key(self, item: Any) -> Any:
        return tuple(_identity(item.get(k)) if isinstance(item, dict) else None for k in self.keys)

    def cel_equal(self, other: Any) -> bool:
        if len(self) != len(other):
            return False
        own, others = self._keyed(self), self._keyed(other)
        return own.keys() == others.keys() and all(equal(value, others[key]) for key, value in own.items())

    def cel_add(self, other: list[Any]) -> MapList:
        made = map_list(self, self.keys)
        places = {self._key(item): i for i, item in enumerate(self)}
        for item in other:
            at = places.get(self._key(item))
            if at is None:
                made.append(item)
            else:
                made[at] = item
        return made


def map_list(items: list[Any], keys: tuple[str, ...]) -> MapList:
    made = MapList(items)
    made.keys = keys
    return made


def _identity(value: Any) -> Any:
    kind = kind_of(value)
    if kind in ("list", "map"):
        raise CelError("listSet operations are only supported on lists of scalar values")
    return kind, value


def converter(schema: Obj, *, resource: bool = False) -> Convert | None:
    """None: values are good as they are."""
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return None
    if kind == "object":
        if resource or schema.get("x-kubernetes-embedded-resource"):
            schema = with_metadata(schema)
        return _object(schema)
    if kind == "array":
        return _array(schema)
    if kind == "number":
        return _number
    form = schema.get("format") or ""
    return _text(_TEXTS.get(form)) if kind == "string" and form else None


def _text(change: Convert | None) -> Convert:
    """Where there is a format, validation lets lists in, as upstream's does; rules that look at one fail."""

    def convert(value: Any) -> Any:
        if not isinstance(value, str):
            raise CelError("invalid data, expected string")
        return value if change is None else change(value)

    return convert


def _below(convert: Convert, value: Any) -> Any:
    if value is None:
        return None
    try:
        return convert(value)
    except CelError as e:
        return _Wrong(e)


def _object(schema: Obj) -> Convert | None:
    properties, rest = schema.get("properties"), schema.get("additionalProperties")
    if properties is None and isinstance(rest, dict):
        return _map(rest)
    properties = properties or {}
    inner = {name: found for name, below in properties.items() if (found := converter(below)) is not None}
    names = {name: escaped for name in properties if (escaped := escape(name)) is not None and escaped != name}
    nullable = any(below.get("nullable") for below in properties.values())
    if not inner and not names and not nullable:
        return None

    def convert(value: Any) -> Any:
        made: dict[str, Any] = {}
        wrong = False
        for name, held in value.items():
            if held is None and name in properties:
                continue  # like an optional field that is not there
            change = inner.get(name)
            if change is not None:
                held = _below(change, held)
                wrong = wrong or type(held) is _Wrong
            made[names.get(name, name)] = held
        return _Fields(made) if wrong else made

    return convert


def _map(values: Obj) -> Convert | None:
    change = converter(values)
    if change is None:
        return None

    def convert(value: Any) -> Any:
        made = {name: _below(change, held) for name, held in value.items()}
        return _Fields(made) if any(type(v) is _Wrong for v in made.values()) else made

    return convert


def _array(schema: Obj) -> Convert | None:
    items, given = schema.get("items") or {}, schema.get("x-kubernetes-list-type")
    change = converter(items)
    keys = tuple(escape(k) or k for k in schema.get("x-kubernetes-list-map-keys") or ())
    if change is None and given not in ("set", "map"):
        return None

    def convert(value: Any) -> Any:
        made = value if change is None else [_below(change, held) for held in value]
        if change is not None and any(type(v) is _Wrong for v in made):
            return _Items(made)
        return SetList(made) if given == "set" else map_list(made, keys) if given == "map" else made

    return convert


def _number(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise CelError(f"Invalid byte formatted string {text}: {e}") from None


def _time(form: str) -> Convert:
    def convert(text: str) -> Timestamp:
        try:
            return Timestamp.parse(f"{text}T00:00:00Z" if form == "date" else text.upper())
        except ValueError as e:
            raise CelError(f"Invalid {form} formatted string {text}: {e}") from None

    return convert


def _duration(text: str) -> Duration:
    length = formats.duration(text)
    if length is None:
        raise CelError(f"Invalid duration {text}: unable to parse {text} as duration")
    return Duration(length)


_TEXTS: dict[str, Convert] = {
    "byte": _bytes, "date": _time("date"), "date-time": _time("date-time"), "duration": _duration,
}  # fmt: skip
