"""Fields and items of values, and what a comprehension goes through."""

from __future__ import annotations

from typing import Any

from pilothouse.api.cel.values import NOTHING, CelError, NoOverload, Optional, Record, kind_of, type_of


def has(value: Any, name: str) -> bool:
    kind = kind_of(value)
    if kind == "map":
        return name in value
    if isinstance(value, Record):
        return value.has(name)
    if kind == "optional":
        return bool(value.present) and has(value.value, name)
    if kind == "list":
        raise CelError("unsupported index type 'string' in list")
    raise NoOverload


def get(value: Any, name: str) -> Any:
    kind = kind_of(value)
    try:
        if kind == "map":
            return value[name]
        if isinstance(value, Record):
            return value.get(name)
    except KeyError:
        raise CelError(f"no such key: {name}") from None
    if kind == "optional":
        if not value.present or not has(value.value, name):
            return NOTHING
        return Optional(get(value.value, name))
    raise NoOverload


def _position(key: Any) -> int:
    kind = kind_of(key)
    if kind in ("int", "uint") or (kind == "double" and key == int(key)):
        return int(key)
    raise CelError(f"unsupported index type '{type_of(key).name}' in list")


def item(value: Any, key: Any) -> Any:
    kind = kind_of(value)
    if kind == "list":
        at = _position(key)
        if not 0 <= at < len(value):
            raise CelError(f"index out of bounds: {at}")
        return value[at]
    if kind == "optional":
        return optional_item(value, key)
    if kind == "map":
        if kind_of(key) not in ("string", "int", "uint", "double", "bool"):
            raise CelError(f"unsupported key type: {type_of(key).name}")
        if key not in value:
            raise CelError(f"no such key: {key}")
        return value[key]
    if isinstance(key, str):
        return get(value, key)
    raise NoOverload


def optional_item(value: Any, key: Any) -> Optional:
    if isinstance(value, Optional):
        if not value.present:
            return NOTHING
        value = value.value
    kind = kind_of(value)
    if kind == "list":
        at = _position(key)
        return Optional(value[at]) if 0 <= at < len(value) else NOTHING
    if kind == "map":
        return Optional(value[key]) if key in value else NOTHING
    if isinstance(value, Record) and isinstance(key, str):
        return Optional(value.get(key)) if value.has(key) else NOTHING
    raise NoOverload


def iterated(value: Any, pairs: bool) -> Any:
    kind = kind_of(value)
    if kind == "list":
        return list(enumerate(value)) if pairs else list(value)
    if kind == "map":
        return list(value.items()) if pairs else list(value)
    raise CelError(f"got 'types.{kind.capitalize()}', expected iterable type")
