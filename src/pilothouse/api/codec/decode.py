"""Typed decoding: any JSON value becomes an object of its type, as Go's decoder makes one and its encoder writes it back.

So what comes out has upstream's order of fields, no unknown ones, no nulls where upstream has none, canonical quantities and
times, and the empty structs that upstream always writes. Each type is compiled to a closure when first decoded.

Source: sigs.k8s.io/json (case-sensitive, strict errors), encoding/json's messages and its rules of omitempty and omitzero.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

from pilothouse.api.quantity import Quantity
from pilothouse.api.types import Field, Shape, Type
from pilothouse.clock.timestamps import format_micro_time, format_time, parse_time

_STRICT_MAX: Final = 100  # errors that are kept
_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


class DecodeError(ValueError):
    """The value is none of the type; str() is upstream's message."""


class Context:
    """One decoding: where it is, and what a strict decoder finds fault with."""

    __slots__ = ("fields", "places", "strict")

    def __init__(self, strict: bool) -> None:
        self.strict: list[str] | None = [] if strict else None
        self.fields: list[str] = []  # the names on the way, for Go's message
        self.places: list[str] = []  # the same with indexes, for strict errors

    def unknown(self, name: str) -> None:
        if self.strict is not None and len(self.strict) < _STRICT_MAX:
            self.strict.append(f'unknown field "{"".join([*self.places, "." if self.places else "", name])}"')


Decode: TypeAlias = Callable[[Any, Context, str], Any]  # (value, context, Go's name of the struct around it)


def decode(type_: Type, value: Any, *, strict: bool = False) -> tuple[Any, list[str]]:
    """(the value as one of the type, strict errors). The result shares nothing that its reader could change but free-form parts.

    Raises DecodeError.
    """
    context = Context(strict)
    try:
        found = _compiled(type_)(value, context, "")
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    return found, context.strict or []


def zero(type_: Type) -> Any:
    """What the encoder writes for a value that was never set."""
    return _zero(type_)


@cache
def _zero(type_: Type) -> Any:
    if type_.shape is Shape.STRUCT:
        return _compiled(type_)({}, Context(False), "")
    if type_.shape is Shape.SCALAR:
        return {
            "string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0, "quantity": "0", "intOrString": 0,
            "duration": "0s",
        }.get(type_.name)  # fmt: skip
    return None


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _go_name(type_: Type) -> str:
    """The type as Go's messages name it."""
    if type_.shape is Shape.LIST and type_.element is not None:
        return f"[]{_go_name(type_.element)}"
    if type_.shape is Shape.MAP and type_.element is not None:
        return f"map[string]{_go_name(type_.element)}"
    if type_.shape is Shape.STRUCT:
        package, _, name = type_.name.rpartition(".")
        return f"{package.rpartition('/')[2]}.{name}" if package else name
    return {"bytes": "[]uint8"}.get(type_.name, type_.name)


def _wrong(value: Any, context: Context, struct: str, wanted: str, literal: bool = False) -> DecodeError:
    what = _go_kind(value)
    if literal:
        what = f"number {value}"
    if not struct:
        return DecodeError(f"json: cannot unmarshal {what} into Go value of type {wanted}")
    path = ".".join(context.fields)
    return DecodeError(f"json: cannot unmarshal {what} into Go struct field {struct}.{path} of type {wanted}")


@cache
def _compiled(type_: Type) -> Decode:
    match type_.shape:
        case Shape.STRUCT:
            return _struct(type_)
        case Shape.LIST:
            return _list(type_)
        case Shape.MAP:
            return _map(type_)
        case Shape.ANY:
            return _anything
    return _SCALARS[type_.name]


def _anything(value: Any, context: Context, struct: str) -> Any:
    return value


def _struct(type_: Type) -> Decode:
    name = type_.name.rpartition(".")[2]
    go_name = _go_name(type_)
    # (name, how it is decoded, drops empty, what stands for an absent one, whether something does)
    plan: list[tuple[str, Decode, bool, bool, Field]] | None = None
    known: frozenset[str] = frozenset()
    keep = type_.preserve_unknown

    def prepare() -> list[tuple[str, Decode, bool, bool, Field]]:
        nonlocal plan, known
        plan = []
        for field in type_.fields.values():
            plan.append((field.name, _compiled(field.type), _drops_empty(field), _always(field), field))
        known = frozenset(type_.fields)
        return plan

    def struct(value: Any, context: Context, _: str) -> Any:
        steps = plan or prepare()
        if not isinstance(value, dict):
            raise _wrong(value, context, _, go_name)
        out: dict[str, Any] = {}
        left = len(value)
        fields, places = context.fields, context.places
        for key, step, drops_empty, always, field in steps:
            found = value.get(key)
            if found is None:
                if left and key in value:
                    left -= 1
                if always:
                    out[key] = _absent(field)
                continue
            left -= 1
            fields.append(key)
            places.append(f".{key}" if places else key)
            found = step(found, context, name)
            fields.pop()
            places.pop()
            if drops_empty and (found is None or found == "" or found == 0 or found == [] or found == {}):
                if always:
                    out[key] = found
                continue
            out[key] = found
        if left:
            for key, found in value.items():
                if key not in known:
                    if keep:
                        out[key] = found
                    else:
                        context.unknown(key)
        return out

    return struct


def _drops_empty(field: Field) -> bool:
    """omitempty of a plain field leaves out its empty value; of a pointer only null."""
    if field.pointer:
        return False
    if field.omitempty:
        return field.type.shape is not Shape.STRUCT and field.type.name not in (
            "quantity",
            "intOrString",
            "time",
            "microtime",
        )
    return False


def _always(field: Field) -> bool:
    """Written although it was not set."""
    if field.omitzero:
        return False
    if not field.omitempty:
        return True
    # Go's omitempty does nothing for structs; times and the like are structs to it.
    return not field.pointer and (
        field.type.shape is Shape.STRUCT or field.type.name in ("time", "microtime", "intOrString")
    )


def _absent(field: Field) -> Any:
    if field.pointer:
        return None
    found = _zero(field.type)
    return dict(found) if isinstance(found, dict) else found


def _list(type_: Type) -> Decode:
    assert type_.element is not None
    element, inner = _compiled(type_.element), type_.element
    go_name = _go_name(type_)

    def items(value: Any, context: Context, struct: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(value, context, struct, go_name)
        places = context.places
        out = []
        for i, one in enumerate(value):
            if one is None:
                out.append(_zero(inner))
                continue
            places.append(f"[{i}]")
            out.append(element(one, context, struct))
            places.pop()
        return out

    return items


def _map(type_: Type) -> Decode:
    assert type_.element is not None
    element, inner = _compiled(type_.element), type_.element
    go_name = _go_name(type_)

    def entries(value: Any, context: Context, struct: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(value, context, struct, go_name)
        places = context.places
        out = {}
        for key in sorted(value):
            one = value[key]
            if one is None:
                out[key] = _zero(inner)
                continue
            places.append(f".{key}")
            out[key] = element(one, context, struct)
            places.pop()
        return out

    return entries


def _string(value: Any, context: Context, struct: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, context, struct, "string")
    return value


def _bool(value: Any, context: Context, struct: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, context, struct, "bool")
    return value


def _integer(name: str) -> Decode:
    low, high = _RANGES[name]

    def integer(value: Any, context: Context, struct: str) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(value, context, struct, name)
        if isinstance(value, float) or not low <= value <= high:
            raise _wrong(value, context, struct, name, literal=True)
        return value

    return integer


def _float(value: Any, context: Context, struct: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(value, context, struct, "float64")
    return value


def _bytes(value: Any, context: Context, struct: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, context, struct, "[]uint8")
    text = value.replace("\n", "").replace("\r", "")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        at = next((i for i, c in enumerate(value) if c not in alphabet and c not in "\r\n"), len(value))
        raise DecodeError(f"illegal base64 data at input byte {at}") from None
    return text


def _quantity(value: Any, context: Context, struct: str) -> str:
    if isinstance(value, (bool, dict, list)):
        value = "?"
    try:
        return str(Quantity.parse(str(value)))
    except ValueError as error:
        raise DecodeError(str(error)) from None


def _time(form: Callable[[float], str], layout: str) -> Decode:
    def time(value: Any, context: Context, struct: str) -> str:
        if not isinstance(value, str):
            raise DecodeError(f"json: cannot unmarshal {_go_kind(value)} into Go value of type string")
        try:
            return form(parse_time(value))
        except (ValueError, OverflowError):
            shown = value.replace("\\", "\\\\").replace('"', '\\"')
            year = layout.partition("-")[0]
            why = f'parsing time "{shown}" as "{layout}": cannot parse "{shown}" as "{year}"'
            raise DecodeError(why) from None

    return time


def _int_or_string(value: Any, context: Context, struct: str) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DecodeError(f"json: cannot unmarshal {_go_kind(value)} into Go value of type int32")
    if isinstance(value, float) or not -(2**31) <= value < 2**31:
        raise DecodeError(f"json: cannot unmarshal number {value} into Go value of type int32")
    return value


def _duration(value: Any, context: Context, struct: str) -> str:
    if not isinstance(value, str):
        raise DecodeError(f"json: cannot unmarshal {_go_kind(value)} into Go value of type string")
    return value


_SCALARS: Final[dict[str, Decode]] = {
    "string": _string,
    "bool": _bool,
    "int32": _integer("int32"),
    "int64": _integer("int64"),
    "float64": _float,
    "bytes": _bytes,
    "quantity": _quantity,
    "time": _time(format_time, "2006-01-02T15:04:05Z07:00"),
    "microtime": _time(format_micro_time, "2006-01-02T15:04:05.000000Z07:00"),
    "duration": _duration,
    "intOrString": _int_or_string,
}
