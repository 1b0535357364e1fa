"""A value put into its type without going through JSON, as upstream does with what a strategic merge patch makes: its own
refusals, and its own leniency with numbers.

Source: upstream's apimachinery/pkg/runtime/converter.go (FromUnstructured).
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.codec.explain import DecodeError, explain, go_levels, steps
from pilothouse.api.gotext import go_type
from pilothouse.api.types import Shape, Type

_KINDS: Final = {"map[string]interface {}": "map", "[]interface {}": "slice"}
_BITS: Final = {"int32": 32, "int64": 64}
_OWN_READERS: Final = frozenset({"quantity", "time", "microtime", "duration", "intOrString"})


def restore(type_: Type, value: Any) -> Any:
    """The value with its numbers as Go would hold them; fields that the type does not have stay. Raises DecodeError."""
    return _restore(type_, value, go_levels(type_))


def _restore(type_: Type, value: Any, levels: tuple[str, ...]) -> Any:
    if value is None:
        return None
    match type_.shape:
        case Shape.STRUCT:
            return _struct(type_, value)
        case Shape.MAP:
            if not isinstance(value, dict):
                raise DecodeError(f"cannot restore map from {_kind(value)}")
            assert type_.element is not None
            inner = levels[1:] or go_levels(type_.element)
            return {k: _restore(type_.element, v, inner) for k, v in value.items()}
        case Shape.LIST:
            if not isinstance(value, list):
                raise DecodeError(f"cannot restore slice from {_kind(value)}")
            assert type_.element is not None
            inner = levels[1:] or go_levels(type_.element)
            return [_restore(type_.element, v, inner) for v in value]
        case Shape.SCALAR:
            return _scalar(type_, value, levels[0])
    return value


def _struct(type_: Type, value: Any) -> Any:
    if not isinstance(value, dict):
        raise DecodeError(f"cannot restore struct from: {_kind(value)}")
    out = dict(value)
    for name, step in steps(type_).items():
        if name in value:
            out[name] = _restore(step.field.type, value[name], step.levels)
    return out


def _scalar(type_: Type, value: Any, go_name: str) -> Any:
    name = type_.name
    if name in _OWN_READERS:
        explain(type_, value, strict=False)
        return value
    given = go_type(value)
    if name == "bytes":
        if not isinstance(value, str):
            raise DecodeError(f"cannot restore slice from {_kind(value)}")
        try:
            explain(type_, value, strict=False)
        except DecodeError as error:
            raise DecodeError(f"error decoding from json: {error}") from None
    elif name == "string":
        if given == "int64":
            raise DecodeError(f"cannot convert int64 to {go_name}")
        if given != "string":
            raise DecodeError("unrecognized type: string")
    elif name == "bool":
        if given != "bool":
            raise DecodeError("unrecognized type: bool")
    elif given not in ("int64", "float64"):
        raise DecodeError(f"unrecognized type: {name}")
    elif name in _BITS:
        if given == "float64" and not value.is_integer():
            raise DecodeError(f"cannot convert float64 to {go_name}")
        return wrapped(int(value), _BITS[name])
    return value


def wrapped(value: int, bits: int) -> int:
    """An integer as Go's conversion to one of `bits` bits leaves it."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def _kind(value: Any) -> str:
    given = go_type(value)
    return _KINDS.get(given, given)
