"""What an applied configuration may look like: the fields that its type has, values of their kind, no item twice.

Source: structured-merge-diff's typed/validate.go. It knows no formats: a quantity or a time is any scalar.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.codec.protobuf import UNION
from pilothouse.api.fieldmanager import sets
from pilothouse.api.fieldmanager.typed import Place, Unidentified, element_of, place_of
from pilothouse.api.gotext import go_type, go_value
from pilothouse.api.types import UNTYPED, Field, Shape, Type

_NUMERIC: Final = frozenset({"int32", "int64", "float64"})
_TEXT: Final = frozenset({"string", "bytes", "duration"})


def faults(type_: Type, configuration: Any) -> list[str]:
    """`.spec.replicas: expected numeric (int or float), got string`, for every such fault."""
    found: list[str] = []
    _value(place_of(type_), type_, None, configuration, "", found)
    return found


def _value(place: Place, type_: Type | None, field: Field | None, value: Any, path: str, found: list[str]) -> None:
    def say(what: str) -> None:
        found.append(f"{path}: {what}" if path else what)

    if value is None or type_ is None or type_.name.startswith(UNION):
        return
    match type_.shape:
        case Shape.STRUCT:
            if not isinstance(value, dict):
                if type_.name != UNTYPED:
                    say(f"expected map, got &{{{go_value(value)}}}")
                return
            for name, inner in value.items():
                own = type_.fields.get(name)
                if own is None:
                    if not type_.preserve_unknown:
                        found.append(f"{path}.{name}: field not declared in schema")
                    continue
                _value(place_of(own.type, own), own.type, own, inner, f"{path}.{name}", found)
        case Shape.MAP:
            if not isinstance(value, dict):
                say(f"expected map, got &{{{go_value(value)}}}")
                return
            for name, inner in value.items():
                _value(place.below(name), type_.element, None, inner, f"{path}.{name}", found)
        case Shape.LIST:
            if not isinstance(value, list):
                say(f"expected list, got &{{{go_value(value)}}}")
                return
            _items(place, type_, value, path, found, say)
        case Shape.SCALAR:
            fault = _scalar(type_.name, value)
            if fault:
                say(fault)


def _items(place: Place, type_: Type, values: list[Any], path: str, found: list[str], say: Any) -> None:
    assert type_.element is not None
    inner = place_of(type_.element)
    seen: set[str] = set()
    for i, item in enumerate(values):
        shown = f"[{i}]"
        if place.kind in ("keyed", "set"):
            fault = _identified(place, item)
            if fault:
                say(f"element {i}: {fault}")
                return
            element = element_of(place, item)
            shown = sets.show((element,))
            if element in seen:
                say(f"duplicate entries for key {shown}")
            seen.add(element)
        _value(inner, type_.element, None, item, f"{path}{shown}", found)


def _identified(place: Place, item: Any) -> str:
    """Why an item has no identity; empty where it has one."""
    if place.kind == "set":
        if isinstance(item, dict):
            return "associative list without keys has an element that's a map type"
        if isinstance(item, list):
            return "not supported: associative list with lists as elements"
        return "associative list without keys has an element that's an explicit null" if item is None else ""
    if item is None:
        return "associative list with keys may not have a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not have non-map elements"
    try:
        element_of(place, item)
    except Unidentified as error:
        return str(error)
    return ""


def _scalar(name: str, value: Any) -> str:
    if name in _NUMERIC:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        return "" if good else f"expected numeric (int or float), got {go_type(value)}"
    if name == "bool":
        return "" if isinstance(value, bool) else f"expected boolean, got &{{{go_value(value)}}}"
    if name in _TEXT:
        return (
            ""
            if isinstance(value, str)
            else f"expected string, got &value.valueUnstructured{{Value:{_literal(value)}}}"
        )
    return f"expected any scalar, got &{{{go_value(value)}}}" if isinstance(value, (dict, list)) else ""


def _literal(value: Any) -> str:
    """%#v, near enough."""
    if isinstance(value, (dict, list)):
        return f"{go_type(value)}{{{go_value(value)}}}"
    return "true" if value is True else "false" if value is False else str(value)
