"""Objects are plain JSON-shaped dicts, read-only once stored and shared by everyone: whoever changes one copies it first."""

from __future__ import annotations

from typing import Any, TypeAlias, cast

Obj: TypeAlias = dict[str, Any]


class EmptyMap(dict[str, Any]):
    """A map without entries that a client sent: to Go's semantic equality the same as none, which an empty struct is not."""

    __slots__ = ()


class RawObject(dict[str, Any]):
    """Raw JSON that is not compact (`api.codec.rawjson`): equal only to what was sent as the same text. Nobody changes it."""

    __slots__ = ("text",)

    def __init__(self, value: Obj, text: bytes) -> None:
        super().__init__(value)
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawObject) and self.text == other.text

    __ne__ = object.__ne__
    __hash__ = None


def copy(value: Any) -> Any:
    """A deep copy of a JSON-shaped value; several times as fast as `copy.deepcopy`."""
    if isinstance(value, dict):
        if isinstance(value, RawObject):
            return value
        if not value:
            return type(value)()
        return {k: copy(v) if isinstance(v, (dict, list)) else v for k, v in value.items()}
    if isinstance(value, list):
        return [copy(v) if isinstance(v, (dict, list)) else v for v in value]
    return value


def in_order(value: Any) -> Any:
    """A copy with the keys of every object sorted: how Go writes maps."""
    if isinstance(value, dict):
        return {k: in_order(value[k]) for k in sorted(value)}
    return [in_order(v) for v in value] if isinstance(value, list) else value


def get(obj: Any, *path: str, default: Any = None) -> Any:
    """The value at `path` of nested dicts, or `default` where a step is absent, null or no dict."""
    for step in path:
        if not isinstance(obj, dict):
            return default
        obj = obj.get(step)
        if obj is None:
            return default
    return obj


def meta(obj: Obj) -> Obj:
    """The object's metadata (an empty dict, not attached, where it has none)."""
    return cast(Obj, obj.get("metadata") or {})


def key_of(obj: Obj) -> str:
    """`namespace/name`, or `name` for an object of no namespace: the key of caches and work queues."""
    m = meta(obj)
    return f"{m['namespace']}/{m['name']}" if m.get("namespace") else str(m.get("name", ""))


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference with `controller: true`, or None."""
    for ref in meta(obj).get("ownerReferences") or ():
        if ref.get("controller"):
            return cast(Obj, ref)
    return None
