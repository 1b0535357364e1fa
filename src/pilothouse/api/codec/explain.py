"""What is wrong with a value that is to be of a type, in upstream's words: the slow way, taken only where something is.

It goes through the value as Go's decoder does, in the order of the text. A type that does not fit is remembered, and the first
such is told in the end; a type with a reader of its own (quantities, times) fails at once. Strict errors, fields that are
unknown or given twice, count only where there is no other.

Source: sigs.k8s.io/json and the UnmarshalJSON methods of apimachinery's types.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, NamedTuple

from pilothouse.api import scheme
from pilothouse.api.codec import gotime
from pilothouse.api.field import quote
from pilothouse.api.quantity import Quantity
from pilothouse.api.types import Field, Shape, Type

_STRICT_MAX: Final = 100
_RANGES: Final = {"int32": 1 << 31, "int64": 1 << 63}
_ALPHABET: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_GO_NAMES: Final = {
    "bytes": "[]uint8", "quantity": "resource.Quantity", "time": "v1.Time", "microtime": "v1.MicroTime",
    "intOrString": "intstr.IntOrString", "rawExtension": "runtime.RawExtension", "duration": "v1.Duration",
    "fieldsV1": "v1.FieldsV1", "json": "v1.JSON",
}  # fmt: skip


_MOMENTS: Final[dict[str, Callable[[str], object]]] = {
    "time": gotime.time,
    "microtime": gotime.micro_time,
    "duration": gotime.parse_duration,
}


class DecodeError(ValueError):
    """The value is none of the type; str() is upstream's message."""


class Number(str):
    """A number as the text has it."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object as the text has it: a field may come twice."""


def tree(raw: bytes) -> Any:
    """JSON with objects as pairs and numbers as they stand. Raises ValueError or RecursionError."""
    return json.loads(raw.decode("utf-8", "replace"), object_pairs_hook=_Pairs, parse_int=Number, parse_float=Number)


def explain(type_: Type, value: Any, raw: bytes | None = None, *, strict: bool, direct: bool = False) -> list[str]:
    """The strict errors of a value. Raises DecodeError for one that is not of the type. `direct`: as Go makes objects of maps,
    without JSON between: a path leaves out the keys of maps, and what reads itself knows of no path to it."""
    if raw is not None:
        try:
            value = tree(raw)
        except (ValueError, RecursionError):
            pass
    walk = _Walk(strict, direct)
    try:
        walk.value(type_, value, go_levels(type_))
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    if walk.wrong:
        raise DecodeError(walk.wrong)
    return list(walk.strict)


class _Step(NamedTuple):
    """How a struct comes by a field: the embedded structs on the way, and the Go types of it and what is in it."""

    field: Field
    embedded: tuple[str, ...]
    levels: tuple[str, ...]


@cache
def _go_types() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = scheme.load_facts("gotypes")
    return found


@cache
def steps(type_: Type) -> dict[str, _Step]:
    """The fields of a struct by JSON name, in Go's order."""
    own = _go_types().get(type_.name, {})
    found: dict[str, _Step] = {}
    for field in type_.wire:
        if field.inline:
            at = _short(field.type)
            for name, step in steps(field.type).items():
                found.setdefault(name, _Step(step.field, (at, *step.embedded), step.levels))
        else:
            levels = tuple(own[field.name].split(" ")) if field.name in own else go_levels(field.type)
            found[field.name] = _Step(field, (), levels)
    return found


def _short(type_: Type) -> str:
    return type_.name.rpartition(".")[2]


@cache
def go_levels(type_: Type) -> tuple[str, ...]:
    """What Go calls the type, then what is in it, and so on."""
    if type_.element is not None:
        inner = go_levels(type_.element)
        return (("[]" if type_.shape is Shape.LIST else "map[string]") + inner[0], *inner)
    if type_.shape is Shape.STRUCT:
        return (type_.name.rpartition("/")[2],)
    return (_GO_NAMES.get(type_.name, type_.name),)


def go_kind(value: Any) -> str:
    """What Go's messages call a JSON value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (Number, int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (dict, _Pairs)):
        return "object"
    return "array" if isinstance(value, (list, tuple)) else "null" if value is None else type(value).__name__


class _Walk:
    def __init__(self, strict: bool, direct: bool) -> None:
        self._direct = direct
        self.wrong = ""
        self.strict: dict[str, None] = {}
        self._noting = strict
        self._struct = ""
        self._fields: list[str] = []
        self._places: list[str] = []

    # What is said

    def _mistyped(self, value: Any, wanted: str, literal: bool = False) -> str:
        what = go_kind(value)
        if literal:
            what += f" {value}"
        if not self._struct:
            return f"json: cannot unmarshal {what} into Go value of type {wanted}"
        path = ".".join(self._fields)
        return f"json: cannot unmarshal {what} into Go struct field {self._struct}.{path} of type {wanted}"

    def _remember(self, message: str) -> None:
        self.wrong = self.wrong or message

    def _note(self, what: str, key: str) -> None:
        if self._noting and len(self.strict) < _STRICT_MAX:
            path = "".join(self._places)
            self.strict[f"{what} field {quote(f'{path}.{key}' if path else key)}"] = None

    # The walk

    def value(self, type_: Type, value: Any, levels: tuple[str, ...]) -> None:
        if type_.shape is Shape.STRUCT:
            if type_.name.startswith("apiextensions/v1.JSONSchemaPropsOr"):
                self._union(type_, value)
            elif value is not None:
                self._object(type_, value, levels)
        elif type_.shape is Shape.LIST:
            self._list(type_, value, levels)
        elif type_.shape is Shape.MAP:
            self._map(type_, value, levels)
        elif type_.shape is Shape.SCALAR and value is not None:
            self._scalar(type_.name, value, levels[0])

    def _object(self, type_: Type, value: Any, levels: tuple[str, ...]) -> None:
        if not isinstance(value, (dict, _Pairs)):
            self._remember(self._mistyped(value, levels[0]))
            return
        known = steps(type_)
        seen: set[str] = set()
        struct = self._struct
        for key, inner in _items(value):
            step = known.get(key)
            if step is None:
                if not type_.preserve_unknown:
                    self._note("unknown", key)
                continue
            if key in seen:
                self._note("duplicate", key)
            seen.add(key)
            depth = len(self._fields)
            self._fields += (*step.embedded, key)
            self._struct = _short(type_)
            self._places.append(f".{key}" if self._places else key)
            self.value(step.field.type, inner, step.levels)
            self._places.pop()
            del self._fields[depth:]
            self._struct = struct

    def _list(self, type_: Type, value: Any, levels: tuple[str, ...]) -> None:
        if value is None:
            return
        if isinstance(value, _Pairs) or not isinstance(value, list):
            self._remember(self._mistyped(value, levels[0]))
            return
        assert type_.element is not None
        inner = levels[1:] or go_levels(type_.element)
        for i, one in enumerate(value):
            self._places.append(f"[{i}]")
            self.value(type_.element, one, inner)
            self._places.pop()

    def _map(self, type_: Type, value: Any, levels: tuple[str, ...]) -> None:
        if value is None:
            return
        if not isinstance(value, (dict, _Pairs)):
            self._remember(self._mistyped(value, levels[0]))
            return
        assert type_.element is not None
        inner = levels[1:] or go_levels(type_.element)
        seen: set[str] = set()
        for key, one in _items(value):
            if key in seen:
                self._note("duplicate", key)
            seen.add(key)
            self._places.append("" if self._direct else f".{key}" if self._places else key)
            self.value(type_.element, one, inner)
            self._places.pop()

    def _union(self, type_: Type, value: Any) -> None:
        """A schema, or something else: read by its own reader, which is not strict."""
        noting, self._noting = self._noting, False
        schema = type_.fields["Schema"].type
        if isinstance(value, (dict, _Pairs)):
            self._own(schema, value)
        elif type_.name.endswith("Bool"):
            if not isinstance(value, bool):
                raise DecodeError("boolean or JSON schema expected")
        elif isinstance(value, list):
            for name in ("JSONSchemas", "Property"):
                if name in type_.fields:
                    self._own(type_.fields[name].type, value)
        self._noting = noting

    def _own(self, type_: Type, value: Any) -> None:
        """By a reader of its own: what it remembers ends the whole."""
        before, context = self.wrong, (self._struct, self._fields)
        self.wrong = ""
        if self._direct:
            self._struct, self._fields = "", []
        self.value(type_, value, go_levels(type_))
        self._struct, self._fields = context
        if self.wrong:
            raise DecodeError(self.wrong)
        self.wrong = before

    def _scalar(self, name: str, value: Any, go_name: str) -> None:
        match name:
            case "string":
                if go_kind(value) != "string":
                    self._remember(self._mistyped(value, go_name))
            case "bool":
                if not isinstance(value, bool):
                    self._remember(self._mistyped(value, go_name))
            case "int32" | "int64":
                self._integer(name, value, go_name)
            case "float64":
                self._float(value, go_name)
            case "bytes":
                self._base64(value, go_name)
            case "quantity":
                self._quantity(value)
            case "intOrString":
                if go_kind(value) != "string":
                    self._integer("int32", value, "int32", at_once=True)
            case _:
                self._moment(name, value)

    def _integer(self, name: str, value: Any, go_name: str, *, at_once: bool = False) -> None:
        message = ""
        if go_kind(value) != "number":
            message = self._mistyped(value, go_name)
        else:
            text = str(value)
            digits = text.removeprefix("-")
            limit = _RANGES[name]
            if not (digits.isdecimal() and len(digits) < 24 and -limit <= int(text) < limit):
                message = self._mistyped(value, go_name, literal=True)
        if message and at_once:
            raise DecodeError(message)
        self._remember(message)

    def _float(self, value: Any, go_name: str) -> None:
        if go_kind(value) != "number":
            self._remember(self._mistyped(value, go_name))
        elif abs(float(value)) == float("inf"):
            self._remember(self._mistyped(value, go_name, literal=True))

    def _base64(self, value: Any, go_name: str) -> None:
        if go_kind(value) != "string":
            self._remember(self._mistyped(value, go_name))
            return
        at = _corrupt_base64(value)
        if at is not None:
            self._remember(f"illegal base64 data at input byte {at}")

    def _quantity(self, value: Any) -> None:
        kind = go_kind(value)
        text = str(value).strip() if kind in ("string", "number") else kind
        try:
            Quantity.parse(text)
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def _moment(self, name: str, value: Any) -> None:
        if go_kind(value) != "string":
            raise DecodeError(self._mistyped(value, "string"))
        try:
            _MOMENTS[name](value)
        except gotime.GoError as error:
            raise DecodeError(str(error)) from None


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value if isinstance(value, _Pairs) else ((str(k), v) for k, v in value.items())


def _corrupt_base64(text: str) -> int | None:
    """Where Go's decoder stumbles: a byte's place; None where it does not."""
    data = text.encode("utf-8", "surrogatepass")
    at, size = 0, len(data)
    while True:
        in_quantum = 0
        while in_quantum < 4:
            if at == size:
                return None if not in_quantum else at - in_quantum
            c = chr(data[at])
            at += 1
            if c in _ALPHABET:
                in_quantum += 1
            elif c in "\r\n":
                continue
            elif c != "=":
                return at - 1
            else:
                return _corrupt_padding(data, at, in_quantum)


def _corrupt_padding(data: bytes, at: int, in_quantum: int) -> int | None:
    """The same from behind the first `=`."""

    def skip(i: int) -> int:
        while i < len(data) and data[i] in b"\r\n":
            i += 1
        return i

    if in_quantum < 2:
        return at - 1
    if in_quantum == 2:
        at = skip(at)
        if at == len(data):
            return len(data)
        if data[at] != ord("="):
            return at - 1
        at += 1
    at = skip(at)
    return at if at < len(data) else None
