"""JSON patch (RFC 6902), as the library reads it that upstream uses (evanphx/json-patch v4), liberties and all: a key that is
missing may be replaced, an index may be negative, and what stands before the first slash of a path is not looked at.
"""

from __future__ import annotations

import re
from types import NoneType
from typing import Any, Final

import orjson

from pilothouse.api.codec.explain import DecodeError, explain, go_kind
from pilothouse.api.codec.text import Malformed, check_depth, duplicates
from pilothouse.api.patch import PatchError, in_go_order, refused
from pilothouse.api.types import Field, Shape, Type, type_named

OPERATIONS_MAX: Final = 10_000
_COPIED_BYTES_MAX: Final = 3 << 20  # upstream's JSONPatchMaxCopyBytes: a patch of copies grows exponentially
_INDEX: Final = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_MARKUP: Final = frozenset("<>&")
_NULL: Final = object()  # Go cannot tell a null from nothing


def _operations() -> Type:
    text = type_named("string")
    fields = [Field(name, text) for name in ("op", "path", "from")] + [Field("value", type_named("any"))]
    return Type("list", Shape.LIST, element=Type("handlers.jsonPatchOp", Shape.STRUCT, build=lambda: fields))


_OPERATIONS: Final = _operations()


def read(patch: Any, raw: bytes | None, *, judge: bool = True) -> list[str]:
    """Whether a patch is one, before it is applied; returns its strict errors where they are asked for, and then looks into
    its operations too. Raises PatchError (400)."""
    if not judge:
        if patch is not None and not isinstance(patch, list):
            raise PatchError(f"json: cannot unmarshal {go_kind(patch)} into Go value of type jsonpatch.Patch")
        wrong = next((one for one in patch or () if not isinstance(one, (dict, NoneType))), None)
        if wrong is not None:
            raise PatchError(f"json: cannot unmarshal {go_kind(wrong)} into Go value of type jsonpatch.Operation")
        return []
    try:
        faults = explain(_OPERATIONS, patch, raw, strict=True)
    except DecodeError as error:
        raise PatchError(f"error decoding patch: {error}") from None
    return [f"json patch {fault}" for fault in dict.fromkeys([*faults, *(duplicates(raw) if raw else ())])]


def json_patch(document: dict[str, Any], patch: Any, *, literal: bool = False) -> Any:
    """The patched document, in which what the patch went through has the order that Go's maps are written in; the one
    given is not changed. `literal`: the patch has characters that Go escapes, as they are: a test compares texts, and finds none
    equal that has them. Raises PatchError (413 or 422)."""
    if len(patch or ()) > OPERATIONS_MAX:
        raise PatchError(f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}", 413)
    work = _Work(document, literal)
    for operation in patch or ():
        work.do(operation if isinstance(operation, dict) else {})
    found = work.finished(work.root)
    try:
        check_depth(found)
    except Malformed as error:
        raise PatchError(str(error), 422) from None
    return found


class _Work:
    """A document under way: containers are copied when a path first leads into them."""

    def __init__(self, document: dict[str, Any], literal: bool) -> None:
        self._literal = literal
        self._opened: dict[int, Any] = {}
        self.root: Any = self._open(document)
        self._copied_bytes = 0

    def do(self, operation: dict[str, Any]) -> None:
        kind, path, value = operation.get("op"), operation.get("path"), operation.get("value")
        source = operation.get("from")
        if not isinstance(path, str) or (kind in ("move", "copy") and not isinstance(source, str)):
            raise refused()
        match kind:
            case "add":
                _add(*self._find(path), value)
            case "remove":
                _remove(*self._find(path))
            case "replace":
                if path == "":
                    if not isinstance(value, (dict, list)):
                        raise refused()
                    self.root = self._open(value)
                else:
                    holder, key = self._find(path)
                    _get(holder, key)
                    _set(holder, key, value)
            case "move":
                holder, key = self._find(str(source))
                found = _get(holder, key)
                _remove(holder, key)
                _add(*self._find(path), None if found is _NULL else found)
            case "copy":
                found = self.finished(_get(*self._find(str(source))))
                target = self._find(path)
                found = None if found is _NULL else found
                self._copied_bytes += len(orjson.dumps(found))
                if self._copied_bytes > _COPIED_BYTES_MAX:
                    raise refused()
                _add(*target, found)
            case "test":
                found = self.root if path == "" else _get(*self._find(path))
                if not _equal(None if found is _NULL else found, value, self._literal):
                    raise refused()
            case _:
                raise refused()

    def finished(self, value: Any) -> Any:
        if id(value) not in self._opened:
            return value
        if isinstance(value, dict):
            return in_go_order({k: self.finished(v) for k, v in value.items()})
        return [self.finished(v) for v in value]

    def _open(self, value: Any) -> Any:
        if id(value) in self._opened:
            return value
        own = dict(value) if isinstance(value, dict) else list(value)
        self._opened[id(own)] = own
        return own

    def _find(self, path: str) -> tuple[Any, str]:
        """What holds the value at `path`, and under which key."""
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]
        if len(steps) < 2:
            raise refused()
        found = self.root
        for step in steps[1:-1]:
            inner = _get(found, step)
            if not isinstance(inner, (dict, list)):
                raise refused()
            opened = self._open(inner)
            if opened is not inner:
                _set(found, step, opened)
            found = opened
        return found, steps[-1]


def _index(key: str, size: int) -> int:
    if not _INDEX.fullmatch(key):
        raise refused()
    index = int(key)
    if index < 0:
        index += size
    if index < 0:
        raise refused()
    return index


def _get(holder: Any, key: str) -> Any:
    if isinstance(holder, dict):
        found = holder.get(key)
    else:
        index = _index(key, len(holder))
        if index >= len(holder):
            raise refused()
        found = holder[index]
    return _NULL if found is None else found


def _set(holder: Any, key: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    else:
        holder[_index(key, len(holder))] = value


def _add(holder: Any, key: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    elif key == "-":
        holder.append(value)
    else:
        index = _index(key, len(holder) + 1)
        if index > len(holder):
            raise refused()
        holder.insert(index, value)


def _remove(holder: Any, key: str) -> None:
    if isinstance(holder, dict):
        if key not in holder:
            raise refused()
        del holder[key]
    else:
        index = _index(key, len(holder))
        if index >= len(holder):
            raise refused()
        del holder[index]


def _equal(a: Any, b: Any, literal: bool) -> bool:
    """Numbers are compared as they are written."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(v, b[k], literal) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y, literal) for x, y in zip(a, b, strict=True))
    if literal and isinstance(a, str) and not _MARKUP.isdisjoint(a):
        return False
    return type(a) is type(b) and bool(a == b)
