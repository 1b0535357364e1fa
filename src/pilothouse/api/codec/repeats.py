"""Fields that a JSON text gives twice: Go reads the second into what the first left, so that maps and structs are merged.

Source: encoding/json (Unmarshal) as sigs.k8s.io/json has it: a struct, a pointer's target and the elements of a list, by their
places, are read into; a map keeps its entries, whose values are replaced; null empties what can be nil and leaves the rest.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from pilothouse.api.codec import text
from pilothouse.api.types import Field, Shape, Type

_UNION_PREFIX: Final = "apiextensions/v1.JSONSchemaPropsOr"  # has a reader of its own
_ZERO_BY_NULL: Final = frozenset({"quantity", "time", "microtime", "bytes"})


class _Pairs(list[tuple[str, Any]]):
    """An object as the text has it."""


def any_in(raw: bytes, value: Any) -> bool:
    """Whether a field may stand twice in `raw`, which `value` was read from. What was written without escapes and comes out
    with as many colons has none."""
    if b"\\u00" not in raw and raw.count(b":") == orjson.dumps(value).count(b":"):
        return False
    repeats: list[bool] = []

    def pairs(found: list[tuple[str, Any]]) -> None:
        if len({k for k, _ in found}) != len(found):
            repeats.append(True)

    try:
        json.loads(raw.decode("utf-8", "replace"), object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return False
    return bool(repeats)


def merged(type_: Type, raw: bytes) -> Any:
    """The value of a text in which fields stand twice, each of which is of its type."""
    return text.mended(_read(type_, text.pairs(raw, _Pairs), None))


def _read(type_: Type, new: Any, old: Any) -> Any:
    """`new` read into `old`, an earlier result of the same type; None: there is none."""
    if isinstance(new, _Pairs):
        if type_.shape is Shape.STRUCT and not type_.name.startswith(_UNION_PREFIX):
            return _struct(type_, new, old)
        if type_.shape is Shape.MAP and type_.element is not None:
            entries = {k: _read(type_.element, v, None) for k, v in new}
            return {**old, **entries} if isinstance(old, dict) else entries
    elif isinstance(new, list) and type_.shape is Shape.LIST and type_.element is not None:
        return _list(type_.element, new, old if isinstance(old, list) else [])
    return _plain(new)


def _struct(type_: Type, new: _Pairs, old: Any) -> dict[str, Any]:
    out = dict(old) if isinstance(old, dict) else {}
    for key, value in new:
        field = type_.fields.get(key)
        if field is None:
            out[key] = _plain(value)
        elif value is not None:
            out[key] = _read(field.type, value, out.get(key))
        elif _nilable(field) or key not in out:
            out[key] = None
    return out


def _list(element: Type, new: list[Any], old: list[Any]) -> list[Any]:
    out = []
    for i, value in enumerate(new):
        before = old[i] if i < len(old) else None
        if value is None and not _nil_or_zero(element):
            out.append(before)
        else:
            out.append(_read(element, value, before))
    return out


def _nilable(field: Field) -> bool:
    return field.pointer or _nil_or_zero(field.type)


def _nil_or_zero(type_: Type) -> bool:
    return type_.shape in (Shape.LIST, Shape.MAP, Shape.ANY) or type_.name in _ZERO_BY_NULL


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {k: _plain(v) for k, v in value}
    return [_plain(v) for v in value] if isinstance(value, list) else value
