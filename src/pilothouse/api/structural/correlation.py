"""`Correlated`: a value beside the one that it had before, wherever the schema lets the two be told to be the same place.

Source: KEP-4008 (ratcheting) and upstream's apiserver/pkg/cel/common/equality.go: fields by their names, items of a list of type
map by their keys; items of other lists have no past.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.objects import Obj

_UNKNOWN: Final = object()


class Correlated:
    __slots__ = ("_equal", "_fields", "_items", "_old_by_key", "old", "schema", "value")

    def __init__(self, value: Any, old: Any, schema: Obj) -> None:
        self.value, self.old, self.schema = value, old, schema
        self._equal: bool | None = None
        self._fields: dict[str, Correlated | None] = {}
        self._items: dict[int, Correlated | None] = {}
        self._old_by_key: dict[Any, Any] | None = None

    def field(self, name: str) -> Correlated | None:
        found = self._fields.get(name, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._fields[name] = self._field(name)
        return found  # type: ignore[return-value]

    def _field(self, name: str) -> Correlated | None:
        value, old = self.value, self.old
        if not isinstance(value, dict) or not isinstance(old, dict) or name not in value or name not in old:
            return None
        schema = (self.schema.get("properties") or {}).get(name)
        if schema is None:
            schema = self.schema.get("additionalProperties")
        return Correlated(value[name], old[name], schema) if isinstance(schema, dict) else None

    def item(self, index: int) -> Correlated | None:
        found = self._items.get(index, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._items[index] = self._item(index)
        return found  # type: ignore[return-value]

    def _item(self, index: int) -> Correlated | None:
        items, value, old = self.schema.get("items"), self.value, self.old
        if self.schema.get("x-kubernetes-list-type") != "map" or not isinstance(items, dict):
            return None
        if not isinstance(value, list) or not isinstance(old, list):
            return None
        keys = self.schema.get("x-kubernetes-list-map-keys") or ()
        if self._old_by_key is None:
            self._old_by_key = {}
            for item in old:
                key = key_of(item, keys)
                if key is not None:
                    self._old_by_key.setdefault(key, item)
        before = self._old_by_key.get(key_of(value[index], keys))
        return None if before is None else Correlated(value[index], before, items)

    def equal(self) -> bool:
        """Nothing changed; false where that cannot be told."""
        if self._equal is None:
            self._equal = self._compare()
        return self._equal

    def _compare(self) -> bool:
        value, old = self.value, self.old
        if isinstance(value, list) and isinstance(old, list):
            if len(value) != len(old):
                return False
            for i in range(len(value)):
                below = self.item(i)
                if below is None:
                    return self._old_by_key is None and same(value, old)
                if not below.equal():
                    return False
            return True
        if isinstance(value, dict) and isinstance(old, dict):
            if len(value) != len(old):
                return False
            return all((below := self.field(name)) is not None and below.equal() for name in value)
        return same(value, old)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types (to Go, 1, 1.0 and true are three things)."""
    if isinstance(a, dict) and isinstance(b, dict):
        return len(a) == len(b) and all(k in b and same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def key_of(item: Any, keys: tuple[str, ...] | list[str]) -> tuple[Any, ...] | None:
    """The identity of an item of a list of type map; None where a key is missing or no scalar."""
    if not isinstance(item, dict):
        return None
    found: list[Any] = []
    for key in keys:
        value = item.get(key)
        if not isinstance(value, (bool, int, float, str)):
            return None
        found.append((type(value), value))
    return tuple(found)
