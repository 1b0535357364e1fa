"""Lists of type set and map hold nothing twice.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/listtype/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj, in_order

Judge: TypeAlias = Callable[[Any, str], ErrorList]


def compiled(schema: Obj) -> Judge | None:
    """(value, path) → what is there twice; None where the schema has no such list."""
    properties = {n: j for n, s in (schema.get("properties") or {}).items() if (j := compiled(s)) is not None}
    rest, items = schema.get("additionalProperties"), schema.get("items")
    others = compiled(rest) if isinstance(rest, dict) else None
    element = compiled(items) if isinstance(items, dict) else None
    kind = schema.get("x-kubernetes-list-type")
    keys: list[str] = schema.get("x-kubernetes-list-map-keys") or []
    if kind not in ("set", "map"):
        kind = None
    if not (properties or others or element or kind):
        return None

    def judge(value: Any, path: str) -> ErrorList:
        found: ErrorList = []
        if isinstance(value, dict):
            if others is not None:
                for name, inner in value.items():
                    found += others(inner, f"{path}[{name}]")
            for name, below in properties.items():
                if name in value:
                    found += below(value[name], f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            if kind == "set":
                found += [field.duplicate(f"{path}[{i}]", in_order(value[i])) for i in _repeats(value)]
            elif kind == "map":
                found += _map(value, keys, path)
            if element is not None:
                for i, item in enumerate(value):
                    found += element(item, f"{path}[{i}]")
        return found

    return judge


def _map(value: list[Any], keys: list[str], path: str) -> ErrorList:
    for i, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            why = "must be an object for an array of list-type map"
            return [field.invalid(f"{path}[{i}]", item, why)]
    identities = [{k: item[k] for k in sorted(keys) if item and k in item} for item in value]
    return [field.duplicate(f"{path}[{i}]", identities[i]) for i in _repeats(identities)]


def _repeats(values: list[Any]) -> list[int]:
    """Where a value stands for the second time; the third says nothing more."""
    if len(values) <= 1:
        return []
    counts: dict[Any, int] = {}
    found = []
    for i, value in enumerate(values):
        key = _key(value)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] == 2:
            found.append(i)
    return found


def _key(value: Any) -> Any:
    if isinstance(value, dict):
        return (dict, tuple((k, _key(value[k])) for k in sorted(value)))
    if isinstance(value, list):
        return (list, tuple(_key(v) for v in value))
    return (type(value), value)
