"""Strategic merge patch: a merge patch that knows which lists are sets or maps, with its directives.

Source: upstream's apimachinery/pkg/util/strategicpatch/patch.go and the design document "strategic merge patch".
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.objects import copy
from pilothouse.api.patch import PatchError
from pilothouse.api.types import Field, Shape, Type

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE: Final = "$deleteFromPrimitiveList"
_ORDER: Final = "$setElementOrder"


def strategic_merge(original: dict[str, Any], patch: Any, type_: Type) -> dict[str, Any]:
    """`original` with the patch in it; neither is changed. Raises PatchError."""
    if not isinstance(patch, dict):
        raise PatchError("invalid JSON document")
    return _map(original, patch, type_)


def _field(type_: Type | None, name: str) -> Field | None:
    if type_ is None or type_.shape is not Shape.STRUCT:
        return None
    return type_.fields.get(name)


def _type_below(type_: Type | None, name: str) -> Type | None:
    if type_ is None:
        return None
    if type_.shape is Shape.MAP:
        return type_.element
    field = _field(type_, name)
    return field.type if field is not None else None


def _map(original: dict[str, Any], patch: dict[str, Any], type_: Type | None) -> dict[str, Any]:
    directive = patch.get(_DIRECTIVE)
    if directive is not None:
        if directive == "replace":
            return {k: copy(v) for k, v in patch.items() if k != _DIRECTIVE}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise PatchError(f"unknown patch type: {directive}" if isinstance(directive, str) else "invalid patch type")
    out = dict(original)
    retained = patch.get(_RETAIN)
    if retained is not None:
        if not isinstance(retained, list):
            raise PatchError("invalid retainKeys directive")
        wanted = {k for k, v in patch.items() if v is not None and not k.startswith("$")}
        if not wanted <= {r for r in retained if isinstance(r, str)}:
            raise PatchError("the retainKeys list doesn't cover the fields present in the patch")
        out = {k: v for k, v in out.items() if k in retained}
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN):
            continue
        prefix, _, name = key.partition("/")
        if prefix == _ORDER and name:
            continue
        if prefix == _DELETE and name:
            _delete_primitives(out, name, value)
            continue
        if value is None:
            out.pop(key, None)
            continue
        below = _type_below(type_, key)
        present = out.get(key)
        if isinstance(value, dict):
            field = _field(type_, key)
            replaced = field is not None and "replace" in field.patch_strategy
            if isinstance(present, dict) and not replaced:
                out[key] = _map(present, value, below)
            else:
                out[key] = _map({}, value, below) if not replaced or _DIRECTIVE in value else copy(value)
        elif isinstance(value, list):
            out[key] = _list(present if isinstance(present, list) else [], value, _field(type_, key), key)
        else:
            out[key] = value
    for key, value in patch.items():
        prefix, _, name = key.partition("/")
        if prefix == _ORDER and name and isinstance(out.get(name), list):
            if not isinstance(value, list):
                raise PatchError(f"invalid setElementOrder list: {name}")
            field = _field(type_, name)
            out[name] = _ordered(out[name], value, field.patch_merge_key if field else "")
    return out


def _delete_primitives(out: dict[str, Any], name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise PatchError("invalid deleteFromPrimitiveList directive")
    if isinstance(out.get(name), list):
        out[name] = [v for v in out[name] if v not in values]


def _list(original: list[Any], patch: list[Any], field: Field | None, name: str) -> list[Any]:
    if field is None or "merge" not in field.patch_strategy:
        return [_plain(v) for v in patch if not _is_directive(v, "replace")]
    element = field.type.element
    if element is None or element.shape is not Shape.STRUCT:
        return _primitives(original, patch)
    if not field.patch_merge_key:
        return copy(patch)  # type: ignore[no-any-return]
    key = field.patch_merge_key
    if any(_is_directive(v, "replace") for v in patch):
        return [copy(v) for v in patch if not (isinstance(v, dict) and _DIRECTIVE in v)]
    out = [copy(v) if not isinstance(v, dict) else v for v in original]
    for item in patch:
        if not isinstance(item, dict):
            raise PatchError(f"expected map, but got {type(item).__name__} in list {name}")
        if key not in item:
            raise PatchError(f"map: {_go_map(item)} does not contain declared merge key: {key}")
        directive = item.get(_DIRECTIVE)
        at = next((i for i, v in enumerate(out) if isinstance(v, dict) and v.get(key) == item[key]), None)
        if directive == "delete":
            out = [v for v in out if not (isinstance(v, dict) and v.get(key) == item[key])]
        elif directive not in (None, "merge", "replace"):
            raise PatchError(f"unknown patch type: {directive}")
        elif at is None:
            out.append(_map({}, {k: v for k, v in item.items() if k != _DIRECTIVE}, element))
        else:
            out[at] = _map(out[at], item, element)
    return out


def _is_directive(value: Any, kind: str) -> bool:
    return isinstance(value, dict) and value.get(_DIRECTIVE) == kind


def _plain(value: Any) -> Any:
    """A value of a list that is replaced: directives within it have no meaning and go."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k != _DIRECTIVE}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def _primitives(original: list[Any], patch: list[Any]) -> list[Any]:
    out = list(original)
    for value in patch:
        if value not in out:
            out.append(copy(value))
    return out


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """The items that the order names in its order; the others keep their place relative to those before them."""

    def identity(value: Any) -> Any:
        return value.get(key) if key and isinstance(value, dict) else value

    wanted = [identity(v) for v in order]
    placed = [v for v in items if identity(v) in wanted]
    placed.sort(key=lambda v: wanted.index(identity(v)))
    others = [(at, v) for at, v in enumerate(items) if identity(v) not in wanted]
    position = {str(identity(v)): at for at, v in enumerate(items)}
    out: list[Any] = []
    for value in placed:
        while others and others[0][0] < position[str(identity(value))]:
            out.append(others.pop(0)[1])
        out.append(value)
    return out + [v for _, v in others]


def _go_map(value: dict[str, Any]) -> str:
    def show(v: Any) -> str:
        if isinstance(v, dict):
            return _go_map(v)
        if isinstance(v, list):
            return "[" + " ".join(show(x) for x in v) + "]"
        if isinstance(v, bool):
            return "true" if v else "false"
        return "<nil>" if v is None else str(v)

    return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
