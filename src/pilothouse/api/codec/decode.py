"""Typed decoding: any JSON value becomes an object of its type, as Go's decoder makes one and its encoder writes it back.

So what comes out has upstream's order of fields, no unknown ones, no nulls where upstream has none, canonical quantities and
times, and the empty structs that upstream always writes. Each type is compiled to a closure when first decoded. The closures
only say that something is wrong: `explain` goes over the value again and finds upstream's words for it.

Source: sigs.k8s.io/json (case-sensitive, strict errors) and encoding/json's rules of null, omitempty and omitzero.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from pilothouse.api.codec import gotime, repeats
from pilothouse.api.codec.explain import DecodeError, explain
from pilothouse.api.objects import EmptyMap, copy
from pilothouse.api.quantity import Quantity
from pilothouse.api.raw import RawArray, RawObject, raw
from pilothouse.api.types import Field, Shape, Type

__all__ = ["DecodeError", "Held", "decode", "hold", "zero"]

Notes: TypeAlias = list[str]  # unknown fields; only whether there are any is looked at
Decode: TypeAlias = Callable[[Any, Notes], Any]
_UNION_PREFIX: Final = "apiextensions/v1.JSONSchemaPropsOr"
# What upstream stores as JSON, which can tell an empty list from none.
_STORED_AS_JSON: Final = ("apiextensions/", "apiregistration/")
_GO_STRUCTS: Final = frozenset({"time", "microtime", "duration", "quantity", "intOrString", "rawExtension"})


class _Form(Enum):
    """What becomes of empty lists and maps."""

    HELD = "held"  # they stay: Go's checks of nil tell them from none
    WRITTEN = "written"  # they go, save where their field is always written
    STORED = "stored"  # and are null there: upstream's stored protobuf cannot tell the two apart


class Held(NamedTuple):
    value: Any
    faults: list[str]  # strict errors
    empties: bool  # it holds empty lists or maps that are not written


_KEPT: Final = "\0empty"  # among the notes


class _Mismatch(Exception):
    """The value is not of the type."""


def decode(
    type_: Type, value: Any, *, strict: bool = False, raw: bytes | None = None, stored: bool = False
) -> tuple[Any, list[str]]:
    """(the value as one of the type, strict errors). The result shares nothing with `value` that could be changed.

    `raw`: the JSON that `value` was read from: for fields that it names twice, and for the text of numbers in messages.
    `stored`: in the form that comes back from the store, where an empty list that is always written has become null.
    Raises DecodeError.
    """
    notes: Notes = []
    twice, value = _with_repeats(type_, value, raw)
    found = _decoded(type_, value, _Form.STORED if stored else _Form.WRITTEN, notes, raw)
    return found, _faults(type_, value, strict, notes, raw, twice)


def hold(type_: Type, value: Any, *, strict: bool = False, raw: bytes | None = None, direct: bool = False) -> Held:
    """The same, as Go holds it between reading and storing it. `direct`: see `explain`."""
    notes: Notes = []
    twice, value = _with_repeats(type_, value, raw)
    found = _decoded(type_, value, _Form.HELD, notes, raw, direct)
    empties = _KEPT in notes
    if empties:
        notes = [n for n in notes if n != _KEPT]
    return Held(found, _faults(type_, value, strict, notes, raw, twice, direct), empties)


def _decoded(type_: Type, value: Any, form: _Form, notes: Notes, raw: bytes | None, direct: bool = False) -> Any:
    try:
        return _compiled(type_, form)(value, notes)
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    except _Mismatch:
        explain(type_, value, raw, strict=False, direct=direct)
        raise DecodeError(f"the object is no {type_.name.rpartition('.')[2]}") from None


def _with_repeats(type_: Type, value: Any, raw: bytes | None) -> tuple[bool, Any]:
    """(whether a text gives fields twice, its value). Raises DecodeError where any of them is not of its type."""
    if raw is None or not repeats.any_in(raw, value):
        return False, value
    explain(type_, value, raw, strict=False)
    return True, repeats.merged(type_, raw)


def _faults(
    type_: Type, value: Any, strict: bool, notes: Notes, raw: bytes | None, twice: bool, direct: bool = False
) -> list[str]:
    if strict and (notes or twice):
        return explain(type_, value, raw, strict=True, direct=direct)
    return []


def zero(type_: Type) -> Any:
    """What the encoder writes for a value that was never set."""
    if type_.shape is Shape.STRUCT:
        return _compiled(type_, _Form.STORED)({}, [])
    return _ZEROS.get(type_.name)


_ZEROS: Final[dict[str, Any]] = {
    "string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0, "quantity": "0", "intOrString": 0,
    "duration": "0s", "bytes": "",
}  # fmt: skip


@cache
def _compiled(type_: Type, form: _Form) -> Decode:
    match type_.shape:
        case Shape.STRUCT:
            return _union(type_, form) if type_.name.startswith(_UNION_PREFIX) else _struct(type_, form)
        case Shape.LIST:
            return _list(type_, form)
        case Shape.MAP:
            return _map(type_, form)
        case Shape.ANY:
            return _field_set if type_.name == "fieldsV1" else _raw if type_.name == "rawExtension" else _any
    return _SCALARS[type_.name]


def _struct(type_: Type, form: _Form) -> Decode:
    held = form is _Form.HELD
    # name → (place, decoder; None for a string, whether empty values are kept, whether an empty one is null)
    steps: dict[str, tuple[int, Decode | None, bool, bool]] = {}
    always: list[tuple[str, Callable[[], Any]]] = []
    places: dict[str, int] = {}
    keep_unknown = type_.preserve_unknown
    keep_empty = form is not _Form.STORED or type_.name.startswith(_STORED_AS_JSON)

    def prepare() -> None:
        for place, (name, field) in enumerate(type_.fields.items()):
            text = field.type.shape is Shape.SCALAR and field.type.name == "string"
            keep = field.pointer or not field.omitempty or _is_go_struct(field.type)
            null = keep and not keep_empty and _is_go_slice(field.type) and not field.pointer
            steps[name] = (place, None if text else _compiled(field.type, form), keep and not field.omitzero, null)
            places[name] = place
            if _always(field):
                always.append((name, _maker(field)))

    def struct(value: Any, notes: Notes) -> Any:
        if not steps:
            prepare()
        if type(value) is not dict and not isinstance(value, dict):
            raise _Mismatch
        out: dict[str, Any] = {}
        last = -1
        ordered = True
        for key, found in value.items():
            step = steps.get(key)
            if step is None:
                if keep_unknown:
                    out[key] = copy(found)
                    places.setdefault(key, len(places))
                else:
                    notes.append(key)
                continue
            if found is None:
                continue
            place, inner, keep, null = step
            if inner is None:
                if type(found) is not str:
                    found = _string(found, notes)
            else:
                found = inner(found, notes)
            if not found:
                if not keep:
                    if not held or not isinstance(found, (list, dict)):
                        continue
                    notes.append(_KEPT)
                if null:
                    found = None
            if place < last:
                ordered = False
            last = place
            out[key] = found
        for key, make in always:
            if key not in out:
                out[key] = make()
                ordered = False
        if ordered:
            return out
        return {k: out[k] for k in sorted(out, key=places.__getitem__)}

    return struct


def _is_go_struct(type_: Type) -> bool:
    """omitempty does nothing for structs, and times and their like are structs to Go."""
    return type_.shape is Shape.STRUCT or type_.name in (
        "time",
        "microtime",
        "duration",
        "quantity",
        "intOrString",
        "rawExtension",
    )


def _is_go_slice(type_: Type) -> bool:
    return type_.shape in (Shape.LIST, Shape.MAP) or type_.name == "bytes"


def _always(field: Field) -> bool:
    """Written although it was not set."""
    if field.omitzero:
        return False
    return not field.omitempty or (not field.pointer and _is_go_struct(field.type))


def _maker(field: Field) -> Callable[[], Any]:
    type_ = field.type
    if field.pointer:
        return lambda: None
    return lambda: None if _is_go_slice(type_) else zero(type_)


def _list(type_: Type, form: _Form) -> Decode:
    assert type_.element is not None
    inner = type_.element
    if inner.name == "string":
        return _strings
    element = _compiled(inner, form)

    def items(value: Any, notes: Notes) -> list[Any]:
        if not isinstance(value, list):
            raise _Mismatch
        return [zero(inner) if v is None else element(v, notes) for v in value]

    return items


def _strings(value: Any, notes: Notes) -> list[str]:
    if not isinstance(value, list):
        raise _Mismatch
    return [v if type(v) is str else "" if v is None else _string(v, notes) for v in value]


def _map(type_: Type, form: _Form) -> Decode:
    assert type_.element is not None
    inner = type_.element
    element = _string if inner.name == "string" else _compiled(inner, form)
    empty: type[dict[str, Any]] = EmptyMap if form is _Form.HELD else dict

    def entries(value: Any, notes: Notes) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _Mismatch
        if not value:
            return empty()
        try:
            keys = sorted(value)
        except TypeError:
            raise _Mismatch from None
        out = {}
        for key in keys:
            found = value[key]
            out[_string(key, notes)] = zero(inner) if found is None else element(found, notes)
        return out

    return entries


def _union(type_: Type, form: _Form) -> Decode:
    """The three types of a schema's fields that may be a schema or something else."""
    schema_type = type_.fields["Schema"].type
    name = type_.name.removeprefix(_UNION_PREFIX)
    listed = (
        _compiled(Type(f"[]{schema_type.name}", Shape.LIST, element=schema_type), form) if name == "Array" else _strings
    )

    def union(value: Any, notes: Notes) -> Any:
        if isinstance(value, dict):
            return _compiled(schema_type, form)(value, [])  # upstream looks at these without strictness
        if name == "Bool":
            if not isinstance(value, bool):
                raise _Mismatch
            return value
        return (listed(value, []) or None) if isinstance(value, list) else None

    return union


def _any(value: Any, notes: Notes) -> Any:
    return copy(value) if isinstance(value, (dict, list)) else value


def _raw(value: Any, notes: Notes) -> Any:
    return copy(value) if isinstance(value, (RawObject, RawArray)) else raw(copy(value))


def _field_set(value: Any, notes: Notes) -> Any:
    """The fields of a manager, which nobody changes: others take their place."""
    return value


def _string(value: Any, notes: Notes) -> str:
    if not isinstance(value, str):
        raise _Mismatch
    return str(value)


def _bool(value: Any, notes: Notes) -> bool:
    if value is True or value is False:
        return bool(value)
    raise _Mismatch


def _int32(value: Any, notes: Notes) -> int:
    if type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF:
        return value
    raise _Mismatch


def _int64(value: Any, notes: Notes) -> int:
    if type(value) is int and -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return value
    raise _Mismatch


def _float64(value: Any, notes: Notes) -> float:
    if type(value) is int:
        return value
    if type(value) is not float or value != value or value in (float("inf"), float("-inf")):
        raise _Mismatch
    return int(value) if value.is_integer() and abs(value) < 1 << 63 else value


def _bytes(value: Any, notes: Notes) -> str:
    if not isinstance(value, str):
        raise _Mismatch
    try:
        return base64.b64encode(base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)).decode()
    except (binascii.Error, ValueError):
        raise _Mismatch from None


@lru_cache(maxsize=4096)
def _canonical_quantity(text: str) -> str:
    return str(Quantity.parse(text.strip()))


def _quantity(value: Any, notes: Notes) -> str:
    if type(value) is bool or not isinstance(value, (str, int, float)):
        raise _Mismatch
    try:
        return _canonical_quantity(str(value))
    except ValueError:
        raise _Mismatch from None


def _time(value: Any, notes: Notes) -> str | None:
    try:
        return gotime.time(value) if isinstance(value, str) else _no_time()
    except gotime.GoError:
        raise _Mismatch from None


def _micro_time(value: Any, notes: Notes) -> str | None:
    try:
        return gotime.micro_time(value) if isinstance(value, str) else _no_time()
    except gotime.GoError:
        raise _Mismatch from None


def _no_time() -> str | None:
    raise _Mismatch


def _duration(value: Any, notes: Notes) -> str:
    if not isinstance(value, str):
        raise _Mismatch
    try:
        return gotime.format_duration(gotime.parse_duration(value))
    except gotime.GoError:
        raise _Mismatch from None


def _int_or_string(value: Any, notes: Notes) -> int | str:
    return str(value) if isinstance(value, str) else _int32(value, notes)


_SCALARS: Final[dict[str, Decode]] = {
    "string": _string,
    "bool": _bool,
    "int32": _int32,
    "int64": _int64,
    "float64": _float64,
    "bytes": _bytes,
    "quantity": _quantity,
    "time": _time,
    "microtime": _micro_time,
    "duration": _duration,
    "intOrString": _int_or_string,
}
