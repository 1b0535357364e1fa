"""JSON patch (RFC 6902), with the words of the library that upstream uses (evanphx/json-patch)."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.objects import copy
from pilothouse.api.patch import PatchError

OPERATIONS_MAX: Final = 10_000
_COPIED_MAX: Final = 1_000_000  # elements that copies may add: a patch of copies grows exponentially
_MISSING: Final = object()


def json_patch(document: Any, patch: Any) -> Any:
    """The patched document; the one given is not changed. Raises PatchError (400, 413 or 422)."""
    if not isinstance(patch, list) or not all(isinstance(op, dict) for op in patch):
        raise PatchError("json: cannot unmarshal into Go value of type jsonpatch.Patch")
    if len(patch) > OPERATIONS_MAX:
        raise PatchError(f"The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {len(patch)}", 413)
    root = {"": copy(document)}
    copied = 0
    for op in patch:
        kind, path = op.get("op"), op.get("path")
        if not isinstance(path, str):
            raise PatchError(f"{kind} operation does not apply: error in path: missing field", 422)
        match kind:
            case "add":
                _add(root, path, copy(_value(op)), "add")
            case "remove":
                _remove(root, path, "remove")
            case "replace":
                _replace(root, path, copy(_value(op)))
            case "move" | "copy":
                source = op.get("from")
                if not isinstance(source, str):
                    raise PatchError(f"{kind} operation does not apply: error in from: missing field", 422)
                found = _get(root, source, str(kind))
                if kind == "move":
                    _remove(root, source, "move")
                else:
                    copied += _weight(found)
                    if copied > _COPIED_MAX:
                        raise PatchError(
                            "Unable to complete the copy, the accumulated size increase of copy is too large", 422
                        )
                _add(root, path, copy(found), str(kind))
            case "test":
                _test(root, path, op.get("value"))
            case _:
                raise PatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}", 422)
    return root[""]


def _value(op: dict[str, Any]) -> Any:
    return op.get("value")


def _weight(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(_weight(v) for v in value.values())
    if isinstance(value, list):
        return 1 + sum(_weight(v) for v in value)
    return 1


def _steps(path: str) -> list[str]:
    """The keys from the root's holder on: an empty path is the root itself."""
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]


def _holder(root: dict[str, Any], path: str) -> tuple[Any, str]:
    """What holds the value at `path`, and under which key; (missing, key) where there is no such place."""
    *above, last = _steps(path)
    found: Any = root
    for step in above:
        found = _step(found, step)
        if found is _MISSING:
            break
    return (found if isinstance(found, (dict, list)) else _MISSING), last


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, _MISSING)
    if isinstance(value, list):
        index = _index(step, len(value))
        return value[index] if index is not None and -len(value) <= index < len(value) else _MISSING
    return _MISSING


def _index(step: str, size: int) -> int | None:
    if step.lstrip("-").isdigit() and len(step) < 10:
        index = int(step)
        return index + size if index < 0 else index
    return None


def _missing(kind: str, path: str) -> PatchError:
    return PatchError(f'{kind} operation does not apply: doc is missing path: "{path}": missing value', 422)


def _missing_key(kind: str, path: str, key: str) -> PatchError:
    return PatchError(f"{kind} operation does not apply: doc is missing key: {path}: missing value", 422)


def _out_of_bounds(what: str, path: str, step: str) -> PatchError:
    return PatchError(f"{what}: Unable to access invalid index: {step}: invalid index referenced", 422)


def _get(root: dict[str, Any], path: str, kind: str) -> Any:
    holder, key = _holder(root, path)
    if holder is _MISSING:
        raise PatchError(f'{kind} operation does not apply: doc is missing from path: "{path}": missing value', 422)
    found = _step(holder, key)
    if found is _MISSING:
        raise PatchError(f"{kind} operation does not apply: doc is missing key: {path}: missing value", 422)
    return found


def _add(root: dict[str, Any], path: str, value: Any, kind: str) -> None:
    holder, key = _holder(root, path)
    if holder is _MISSING:
        raise _missing(kind, path)
    if isinstance(holder, dict):
        holder[key] = value
        return
    if key == "-":
        holder.append(value)
        return
    index = _index(key, len(holder) + 1)
    if index is None:
        why = f"value was not a proper array index: '{key}': strconv.Atoi: parsing \"{key}\": invalid syntax"
        raise PatchError(f"error in add for path: '{path}': {why}", 422)
    if not 0 <= index <= len(holder):
        raise _out_of_bounds(f"error in {kind} for path: '{path}'", path, key)
    holder.insert(index, value)


def _remove(root: dict[str, Any], path: str, kind: str) -> None:
    holder, key = _holder(root, path)
    if holder is _MISSING:
        raise PatchError(f'{kind} operation does not apply: doc is missing path: "{path}": missing value', 422)
    if isinstance(holder, dict):
        if key not in holder:
            raise PatchError(
                f"error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value", 422
            )
        del holder[key]
        return
    index = _index(key, len(holder))
    if index is None or not 0 <= index < len(holder):
        raise _out_of_bounds(f"error in remove for path: '{path}'", path, key)
    del holder[index]


def _replace(root: dict[str, Any], path: str, value: Any) -> None:
    holder, key = _holder(root, path)
    if holder is _MISSING:
        raise _missing("replace", path)
    if _step(holder, key) is _MISSING:
        raise _missing_key("replace", path, key)
    if isinstance(holder, dict):
        holder[key] = value
    else:
        index = _index(key, len(holder))
        assert index is not None
        holder[index] = value


def _test(root: dict[str, Any], path: str, wanted: Any) -> None:
    holder, key = _holder(root, path)
    found = _MISSING if holder is _MISSING else _step(holder, key)
    if found is _MISSING:
        if wanted is None:
            return
        raise PatchError(
            f"error in test for path: '{path}': missing value"
            if holder is _MISSING
            else f"testing path {path} has failed: test failed",
            422,
        )
    if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
        raise PatchError(f"testing value {path} failed: test failed", 422)
