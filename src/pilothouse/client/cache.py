"""The objects of one resource in memory, by namespace and name and by any number of indexes; and `Lister`, its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeAlias

from pilothouse.api.objects import Obj

KeysOf: TypeAlias = Callable[[Obj], Iterable[str]]
Objs: TypeAlias = list[Obj]


class Selects(Protocol):
    """What `Lister.list` filters with: a selector of api.selectors."""

    def matches(self, labels: Mapping[str, str]) -> bool: ...


class Cache:
    """Writes cost one dict store and, for each index, one for each key. Iteration is in order of arrival."""

    __slots__ = ("_indexes", "_keys_of", "_size", "_spaces")

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, Obj]] = {}
        self._keys_of: dict[str, KeysOf] = {}
        self._indexes: dict[str, dict[str, dict[tuple[str, str], Obj]]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Obj]:
        for space in self._spaces.values():
            yield from space.values()

    def get(self, namespace: str, name: str) -> Obj | None:
        space = self._spaces.get(namespace)
        return None if space is None else space.get(name)

    def put(self, obj: Obj) -> Obj | None:
        """Stores the object and returns the one whose place it takes."""
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        space = self._spaces.setdefault(namespace, {})
        old = space.get(name)
        space[name] = obj
        if old is None:
            self._size += 1
        if self._keys_of:
            self._reindex((namespace, name), old, obj)
        return old

    def pop(self, namespace: str, name: str) -> Obj | None:
        space = self._spaces.get(namespace)
        old = space.pop(name, None) if space is not None else None
        if old is not None:
            self._size -= 1
            if not space:
                del self._spaces[namespace]
            if self._keys_of:
                self._reindex((namespace, name), old, None)
        return old

    def add_index(self, name: str, keys_of: KeysOf) -> None:
        """An index whose keys `keys_of` names. The same name may be given again with the same meaning: the first stays."""
        if name in self._keys_of:
            return
        self._keys_of[name] = keys_of
        index = self._indexes[name] = {}
        for obj in self:
            metadata = obj["metadata"]
            for key in keys_of(obj):
                index.setdefault(key, {})[metadata.get("namespace", ""), metadata["name"]] = obj

    def _reindex(self, at: tuple[str, str], old: Obj | None, new: Obj | None) -> None:
        for name, keys_of in self._keys_of.items():
            index = self._indexes[name]
            keep = set(keys_of(new)) if new is not None else set()
            if old is not None:
                for key in keys_of(old):
                    if key not in keep:
                        entries = index.get(key)
                        if entries is not None and entries.pop(at, None) is not None and not entries:
                            del index[key]
            if new is not None:
                for key in keep:
                    index.setdefault(key, {})[at] = new

    def values(self, namespace: str | None = None) -> Iterable[Obj]:
        if namespace is None:
            return self
        return self._spaces.get(namespace, {}).values()

    def indexed(self, index: str, key: str) -> Iterable[Obj]:
        return self._indexes[index].get(key, {}).values()

    def index_keys(self, index: str) -> Iterable[str]:
        return self._indexes[index].keys()


class Lister:
    """Reads a cache. Objects are shared, read-only; the lists are the caller's."""

    __slots__ = ("_cache",)

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def __len__(self) -> int:
        return len(self._cache)

    def get(self, namespace: str, name: str) -> Obj | None:
        """`namespace` is empty for a cluster-scoped object."""
        return self._cache.get(namespace, name)

    def by_key(self, key: str) -> Obj | None:
        """The object of a key as `api.objects.key_of` makes it."""
        namespace, _, name = key.rpartition("/")
        return self._cache.get(namespace, name)

    def list(self, namespace: str | None = None, selector: Selects | None = None) -> Objs:
        """All objects, or those of one namespace (not a copy each: read-only), whose labels the selector matches."""
        found = self._cache.values(namespace)
        if selector is None:
            return list(found)
        return [o for o in found if selector.matches(o["metadata"].get("labels") or {})]

    def by_index(self, index: str, key: str) -> Objs:
        return list(self._cache.indexed(index, key))

    def index_keys(self, index: str) -> Iterable[str]:
        """Every key under which the index has an object now."""
        return tuple(self._cache.index_keys(index))
