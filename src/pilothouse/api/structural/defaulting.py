"""Defaults of a schema, filled into values.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/defaulting. What has no default below it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pilothouse.api.objects import Obj, copy

Default: TypeAlias = Callable[[Any], None]


def compiled(schema: Obj) -> Default | None:
    """A function that changes a value; None where the schema has nothing to fill in."""
    given = {k: s["default"] for k, s in (schema.get("properties") or {}).items() if s.get("default") is not None}
    nullable = frozenset(k for k, s in (schema.get("properties") or {}).items() if s.get("nullable"))
    properties = frozenset(schema.get("properties") or ())
    below = {k: d for k, s in (schema.get("properties") or {}).items() if (d := compiled(s)) is not None}
    rest, items = schema.get("additionalProperties"), schema.get("items")
    others = compiled(rest) if isinstance(rest, dict) else None
    element = compiled(items) if isinstance(items, dict) else None
    fills_others = isinstance(rest, dict) and rest.get("default") is not None and not rest.get("nullable")
    fills_items = isinstance(items, dict) and items.get("default") is not None and not items.get("nullable")
    if not (given or below or others or element or fills_others or fills_items):
        return None

    def default(value: Any) -> None:
        if isinstance(value, dict):
            for name, filled in given.items():
                if name not in value or (value[name] is None and name not in nullable):
                    value[name] = copy(filled)
            for name, inner in below.items():
                if name in value:
                    inner(value[name])
            if others is not None or fills_others:
                for name in value:
                    if name in properties:
                        continue
                    if fills_others and value[name] is None:
                        value[name] = copy(rest["default"])  # type: ignore[index]
                    if others is not None:
                        others(value[name])
        elif isinstance(value, list) and (element is not None or fills_items):
            for i, item in enumerate(value):
                if fills_items and item is None:
                    item = value[i] = copy(items["default"])  # type: ignore[index]
                if element is not None:
                    element(item)

    return default
