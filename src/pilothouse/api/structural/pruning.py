"""Pruning: what a schema does not list is taken out of an object.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/pruning and defaulting/prunenulls.go. A schema is compiled once
into a closure that changes the value and tells what it took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from pilothouse.api.objects import Obj

Prune: TypeAlias = Callable[[Any, str, list[str]], None]
"""(value, its path, unknown): changes value; the paths of the fields taken out are appended to unknown."""

_OWN: Final = frozenset({"apiVersion", "kind", "metadata"})


def compiled(schema: Obj, *, root: bool = False) -> Prune:
    """`root`: apiVersion, kind and metadata stay, whatever the schema says of them."""
    properties: Obj = schema.get("properties") or {}
    rest, items = schema.get("additionalProperties"), schema.get("items")
    own = _OWN if root or schema.get("x-kubernetes-embedded-resource") else frozenset()
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    below = {name: compiled(inner) for name, inner in properties.items() if name not in own}
    open_ended = rest is not None
    others = compiled(rest) if isinstance(rest, dict) else _all
    if keep:
        element = _below_kept(items) if isinstance(items, dict) else _nothing
    else:
        element = compiled(items) if isinstance(items, dict) else _all

    def prune(value: Any, path: str, unknown: list[str]) -> None:
        if isinstance(value, dict):
            for name in list(value):
                if name in own:
                    continue
                inner = below.get(name)
                if inner is not None:
                    found = value[name]
                    if isinstance(found, (dict, list)):
                        inner(found, f"{path}.{name}" if path else name, unknown)
                elif open_ended:
                    found = value[name]
                    if isinstance(found, (dict, list)):
                        others(found, f"{path}.{name}" if path else name, unknown)
                elif not keep:
                    del value[name]
                    if path or name not in _OWN:
                        unknown.append(f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, (dict, list)):
                    element(item, f"{path}[{i}]", unknown)

    return prune


def _below_kept(schema: Obj) -> Prune:
    """Items of a list that is preserved: they are looked at as if they were preserved themselves."""
    return compiled({**schema, "x-kubernetes-preserve-unknown-fields": True})


def _nothing(value: Any, path: str, unknown: list[str]) -> None:
    pass


def _all(value: Any, path: str, unknown: list[str]) -> None:
    """Without a schema nothing stays in objects; lists keep their length."""
    if isinstance(value, dict):
        unknown += [f"{path}.{name}" if path else name for name in value]
        value.clear()
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _all(item, f"{path}[{i}]", unknown)


def drop_nulls(value: Any, schema: Obj) -> None:
    """Changes value: fields that are null, may not be, and have no default."""
    if isinstance(value, dict):
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else None
        if not properties and rest is None:
            return
        nulls = []
        for name, found in value.items():
            if found is None:
                inner = properties.get(name, rest)
                if inner is not None and not inner.get("nullable") and inner.get("default") is None:
                    nulls.append(name)
            elif type(found) is dict or type(found) is list:
                inner = properties.get(name, rest)
                if inner is not None:
                    drop_nulls(found, inner)
        for name in nulls:
            del value[name]
    elif isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for item in value:
                if type(item) is dict or type(item) is list:
                    drop_nulls(item, items)
