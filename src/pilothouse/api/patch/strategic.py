"""Strategic merge patch: a merge patch that knows which lists are sets or maps, with its directives.

Source: upstream's apimachinery/pkg/util/strategicpatch/patch.go and the design document "strategic merge patch". Where upstream
answers 500 to a patch that makes no sense, it is refused here with the same words.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.gotext import go_type, go_value
from pilothouse.api.patch import PatchError, refused
from pilothouse.api.types import Field, Shape, Type

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE: Final = "$deleteFromPrimitiveList"
_ORDER: Final = "$setElementOrder"
_BAD_ORDER: Final = "invalid patch format of setElementOrder list"


def strategic_merge(original: dict[str, Any], patch: dict[str, Any], type_: Type) -> dict[str, Any]:
    """`original` with the patch in it; that one is not changed. The patch is used up: what is left of it is what upstream
    shows in messages. Raises PatchError."""
    return _map(original, patch, type_)


def _field(type_: Type | None, name: str) -> Field | None:
    if type_ is None or type_.shape is not Shape.STRUCT:
        return None
    return type_.fields.get(name)


def _below(type_: Type | None, name: str) -> Type | None:
    if type_ is not None and type_.shape is Shape.MAP:
        return type_.element
    field = _field(type_, name)
    return field.type if field is not None else None


def _strategy(field: Field | None) -> str:
    return next((s for s in field.patch_strategy if s != "retainKeys"), "") if field is not None else ""


def _map(original: dict[str, Any], patch: dict[str, Any], type_: Type | None) -> dict[str, Any]:
    if _DIRECTIVE in patch:
        directive = patch[_DIRECTIVE]
        if directive == "replace":
            del patch[_DIRECTIVE]
            return patch
        if directive == "delete":
            return {}
        raise PatchError(f"unknown patch type: {go_value(directive)} in map: {go_value(patch)}")
    out = dict(original)
    _retain(out, patch)
    for key in [k for k in patch if k.startswith(_ORDER)]:
        _in_order(out, patch, key, type_)
    for key, value in patch.items():
        name, deletes = key, key.startswith(_DELETE)
        if deletes:
            name = _name_of(key, _DELETE, "invalid patch format of primitive list")
        if value is None:
            out.pop(name, None)
        elif name not in out or _unlike(out[name], value):
            if not deletes:
                _put(out, name, _without_nulls(value))
        elif isinstance(value, dict):
            field = _field(type_, name)
            out[name] = value if _strategy(field) == "replace" else _map(out[name], value, _below(type_, name))
        elif isinstance(value, list):
            out[name] = _list(out[name], value, _field(type_, name), deletes)
        else:
            out[name] = value
    return out


def _unlike(a: Any, b: Any) -> bool:
    return go_type(a) != go_type(b)


def _put(out: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, dict) and _DIRECTIVE in value:
        out.pop(name, None)
    else:
        out[name] = _without_directives(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _without_directives(value: Any) -> Any:
    """Of a value that nothing is merged with: whatever has a directive goes."""

    def stays(v: Any) -> bool:
        return not (isinstance(v, dict) and _DIRECTIVE in v)

    if isinstance(value, dict):
        return {k: _without_directives(v) for k, v in value.items() if stays(v)}
    return [_without_directives(v) for v in value if stays(v)] if isinstance(value, list) else value


def _name_of(key: str, prefix: str, fault: str) -> str:
    head, slash, name = key.partition("/")
    if not slash or head != prefix:
        raise PatchError(fault)
    return name


def _retain(out: dict[str, Any], patch: dict[str, Any]) -> None:
    if _RETAIN not in patch:
        return
    retained = patch.pop(_RETAIN)
    named = {v for v in retained if isinstance(v, str)} if isinstance(retained, list) else None
    if named is None or any(
        v is not None and k not in named and not k.startswith((_DELETE, _ORDER)) for k, v in patch.items()
    ):
        raise PatchError("invalid patch format of retainKeys")
    for key in [k for k in out if k not in named]:
        del out[key]


def _in_order(out: dict[str, Any], patch: dict[str, Any], key: str, type_: Type | None) -> None:
    """$setElementOrder: merges the list that it names, if the patch has it, and sorts it."""
    order = patch.pop(key)
    name = _name_of(key, _ORDER, _BAD_ORDER)
    present: Any = out.get(name)
    given: Any = patch.get(name)
    for one in (order, *([present] if name in out else []), *([given] if name in patch else [])):
        if not isinstance(one, list):
            raise PatchError(f"expected a []interface {{}}, but received a {go_type(one)}")
    field = _field(type_, name)
    if field is None or field.type.shape is not Shape.LIST:
        raise PatchError(f'unable to find api field in struct for the json field "{name}"')
    merge_key = field.patch_merge_key
    _check_order(given or [], order, merge_key)
    if name in out:
        merged = _list(present, given, field, False) if name in patch else present
    elif name in patch:
        merged = _without_directives(given)
    else:
        return
    _element_type(present or [], given or [])
    out[name] = _interleaved(merged, order, present or [], merge_key)
    patch.pop(name, None)


def _check_order(given: list[Any], order: list[Any], merge_key: str) -> None:
    """The patch's items come in the order that it asks for."""
    if not given or not order:
        return
    kept = [v for v in given if not (isinstance(v, dict) and _DIRECTIVE in v)]
    at = 0
    for wanted in order:
        if at < len(kept) and _key_of(kept[at], merge_key) == _key_of(wanted, merge_key):
            at += 1
    if at < len(kept):
        raise PatchError(
            f"The order in patch list:\n{go_value(given)}\n doesn't match {_ORDER} list:\n{go_value(order)}\n"
        )


def _key_of(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    if not isinstance(item, dict):
        raise PatchError(f"expected a map[string]interface {{}}, but received a {go_type(item)}")
    if merge_key not in item:
        raise PatchError(f"map: {go_value(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _element_type(*lists: list[Any]) -> str:
    """What the elements of the lists all are. Raises PatchError where they differ or are lists themselves."""
    kinds = {go_type(v) for items in lists for v in items}
    if not kinds:
        raise PatchError("no elements in any of the given slices")
    if any(isinstance(v, list) for items in lists for v in items):
        raise refused()
    if len(kinds) > 1:
        raise PatchError(f"list element types are not identical: {go_value(list(lists))}")
    return kinds.pop()


def _list(original: list[Any], patch: list[Any], field: Field | None, deletes: bool) -> list[Any]:
    if not deletes and _strategy(field) != "merge":
        return patch
    if not original and not patch:
        return original
    if _element_type(original, patch) != "map[string]interface {}":
        if deletes:
            return [v for v in original if v not in patch]
        merged = list(dict.fromkeys([*original, *patch]))
        return _interleaved(merged, patch, original, "")
    assert field is not None
    key = field.patch_merge_key
    if not key:
        raise PatchError(f"cannot merge lists without merge key for {field.type.name}")
    left, given = _special(original, patch, key)
    merged = list(left)
    for item in given:
        identity = _key_of(item, key)
        at = next((i for i, v in enumerate(merged) if key in v and v[key] == identity), None)
        if at is None:
            merged.append(item)
        else:
            merged[at] = _map(merged[at], item, field.type.element)
    return _interleaved(merged, given, left, key)


def _special(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """(what is left of the original, the patch without its directives)."""
    plain: list[Any] = []
    replaces = False
    for item in patch:
        if _DIRECTIVE not in item:
            plain.append(item)
            continue
        match item[_DIRECTIVE]:
            case "delete":
                gone = _key_of(item, key)
                original = [v for v in original if key not in v or v[key] != gone]
            case "replace":
                replaces = True
            case "merge":
                raise PatchError("merging lists cannot yet be specified in the patch")
            case other:
                raise PatchError(f"unknown patch type: {go_value(other)} in map: {go_value(item)}")
    return (plain, []) if replaces else (original, plain)


def _interleaved(merged: list[Any], given: list[Any], server: list[Any], key: str) -> list[Any]:
    """The items that the patch names in its order, the others in the server's; one of those comes before one of the patch's
    only where the server has both, and in that order."""
    wanted = _places(given, key)
    present = _places(server, key)
    mine = [v for v in merged if _hashable(_key_of(v, key)) in wanted]
    theirs = [v for v in merged if _hashable(_key_of(v, key)) not in wanted]
    mine.sort(key=lambda v: wanted[_hashable(_key_of(v, key))])
    theirs.sort(key=lambda v: present.get(_hashable(_key_of(v, key)), len(present)))
    out: list[Any] = []
    at = 0
    for item in mine:
        place = present.get(_hashable(_key_of(item, key)), -1)
        while at < len(theirs) and present.get(_hashable(_key_of(theirs[at], key)), len(present)) < place:
            out.append(theirs[at])
            at += 1
        out.append(item)
    return out + theirs[at:]


def _places(items: list[Any], key: str) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for at, item in enumerate(items):
        found.setdefault(_hashable(_key_of(item, key)), at)
    return found


def _hashable(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise PatchError(f"a merge key may not be a {go_type(value)}")
    return type(value), value
