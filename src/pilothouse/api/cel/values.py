"""The values that expressions work with.

Most are Python's own: None, bool, int, float, str, bytes, list, dict with string keys (JSON-shaped objects as they are stored).
Those that Python has no type for are here. A caller with objects of its own (typed by a schema, or computed when asked for)
derives from `Record`, `list` or `dict`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pilothouse.api.cel import types
from pilothouse.api.codec import gotime
from pilothouse.api.quantity import Quantity

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
UINT_MAX: Final = (1 << 64) - 1
_SECOND: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIMESTAMP_MIN: Final = -62135596800 * _SECOND
TIMESTAMP_MAX: Final = 253402300800 * _SECOND - 1


class CelError(Exception):
    """An expression's error value; str() is cel-go's message."""


class NoOverload(CelError):
    def __init__(self) -> None:
        super().__init__("no such overload")


class Uint(int):
    """An unsigned integer."""


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    ns: int  # since 1970, UTC

    def moment(self, offset_s: int = 0) -> datetime:
        """Without what is below a microsecond."""
        return _EPOCH + timedelta(seconds=offset_s, microseconds=self.ns // 1000)

    def __str__(self) -> str:
        seconds, part = divmod(self.ns, _SECOND)
        text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
        return f"{text}.{part:09d}".rstrip("0").rstrip(".") + "Z" if part else f"{text}Z"

    @staticmethod
    def parse(text: str) -> Timestamp:
        """RFC 3339. Raises ValueError."""
        found, fraction, offset = gotime.parts(text)
        year, month, day, hour, minute, second = found
        if year == 0:
            raise ValueError("timestamp out of range")
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
        seconds = moment.days * 86400 + moment.seconds - offset
        return Timestamp(seconds * _SECOND + int(fraction[:9].ljust(9, "0") or "0"))


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    ns: int


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be absent: `NOTHING` is none."""

    value: Any
    present: bool = True


NOTHING: Final = Optional(None, False)


class Record:
    """An object whose fields are asked for by name, one at a time. `kind` is the name of its type."""

    __slots__ = ()
    kind = "object"

    def get(self, name: str) -> Any:
        """The field's value; raises KeyError where it is absent."""
        raise NotImplementedError

    def has(self, name: str) -> bool:
        try:
            self.get(name)
        except KeyError:
            return False
        return True

    def size(self) -> int:
        return 1


class Made(Record):
    """An object that an expression wrote down: `Object.spec{replicas: 1}`."""

    __slots__ = ("fields", "kind")

    def __init__(self, kind: str, fields: dict[str, Any]) -> None:
        self.kind = kind
        self.fields = fields

    def get(self, name: str) -> Any:
        return self.fields[name]


@dataclass(frozen=True, slots=True)
class Url:
    text: str
    scheme: str
    host: str
    hostname: str
    port: str
    escaped_path: str
    query: str


@dataclass(frozen=True, slots=True)
class Semver:
    major: int
    minor: int
    patch: int
    pre: tuple[int | str, ...] = ()
    build: str = ""

    def precedence(self) -> tuple[Any, ...]:
        """Sorts as semver.org's 11th rule says: numbers before words, a release after its pre-releases."""
        pre = tuple((0, p, "") if isinstance(p, int) else (1, 0, p) for p in self.pre)
        return self.major, self.minor, self.patch, not pre, pre


@dataclass(frozen=True, slots=True)
class NamedFormat:
    name: str
    wrong: Callable[[str], list[str]]
    regex_size: int


_KINDS: Final[dict[type, str]] = {
    type(None): "null", bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes",
    list: "list", tuple: "list", dict: "map", Timestamp: "timestamp", Duration: "duration", Optional: "optional",
    types.Type: "type", Url: "URL", Semver: "Semver", NamedFormat: "Format", Quantity: "Quantity",
    ipaddress.IPv4Address: "IP", ipaddress.IPv6Address: "IP", ipaddress.IPv4Interface: "CIDR",
    ipaddress.IPv6Interface: "CIDR", Record: "record",
}  # fmt: skip


def kind_of(value: Any) -> str:
    """The kind by which functions choose their overload."""
    found = _KINDS.get(type(value))
    if found is None:
        found = next((_KINDS[base] for base in type(value).__mro__ if base in _KINDS), "record")
        found = getattr(type(value), "cel_kind", found)
        _KINDS[type(value)] = found
    return found


_TYPES: Final = {
    "null": types.NULL, "list": types.list_of(types.DYN), "map": types.map_of(types.DYN, types.DYN),
    "optional": types.optional_of(types.DYN),
}  # fmt: skip


def type_of(value: Any) -> types.Type:
    kind = kind_of(value)
    if kind in _TYPES:
        return _TYPES[kind]
    return types.NAMED[kind] if kind in types.NAMED else types.struct(getattr(value, "kind", "object"))


def type_name(value: Any) -> str:
    found = type_of(value)
    return found.name


def size_of(value: Any) -> int:
    """How large a value is where costs are counted: 1 for what has no size."""
    kind = kind_of(value)
    if kind in ("string", "bytes", "list", "map"):
        return len(value)
    if kind == "IP" or kind == "CIDR":
        bits: int = value.network.prefixlen if kind == "CIDR" else value.max_prefixlen
        return -(-bits // 8)
    if kind == "optional" and value.present:
        return size_of(value.value)
    return value.size() if isinstance(value, Record) else 1


_NUMBERS: Final = frozenset({"int", "uint", "double"})


def equal(a: Any, b: Any) -> bool:
    kind_a, kind_b = kind_of(a), kind_of(b)
    if kind_a != kind_b:
        return kind_a in _NUMBERS and kind_b in _NUMBERS and bool(a == b)
    if kind_a == "list":
        own = getattr(a, "cel_equal", None)
        if own is not None:
            return bool(own(b))
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if kind_a == "map":
        return len(a) == len(b) and all(k in b and equal(v, b[k]) for k, v in a.items())
    if kind_a == "optional":
        return a.present == b.present and (not a.present or equal(a.value, b.value))
    if kind_a == "type":
        return bool(a.name == b.name)
    if kind_a == "Quantity":
        return bool(a.amount == b.amount)
    if kind_a == "Semver":
        return bool(a.precedence() == b.precedence())
    return bool(a == b)


def as_int(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise CelError("integer overflow")
    return value


def as_uint(value: int) -> Uint:
    if not 0 <= value <= UINT_MAX:
        raise CelError("unsigned integer overflow")
    return Uint(value)


def as_timestamp(ns: int) -> Timestamp:
    if not TIMESTAMP_MIN <= ns <= TIMESTAMP_MAX:
        raise CelError("timestamp overflow")
    return Timestamp(ns)


def as_duration(ns: int) -> Duration:
    if not INT_MIN <= ns <= INT_MAX:
        raise CelError("duration overflow")
    return Duration(ns)


def go_float(value: float) -> str:
    """As Go's strconv writes with 'g' and the shortest precision."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    power = int(f"{value:e}".partition("e")[2]) if value else 0
    if -4 <= power < 6:
        return go_fixed(value)
    digits = repr(abs(value)).partition("e")[0].replace(".", "").strip("0") or "0"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02d}"


def go_fixed(value: float) -> str:
    """As Go's strconv writes with 'f' and the shortest precision."""
    from decimal import Decimal

    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{Decimal(repr(value)):f}".removesuffix(".0")
