"""What the standard functions do: operators, conversions, sizes, times (specification: "List of Standard Definitions").

`FUNCTIONS` maps a function's name to its implementations by the kinds of the arguments ("any" takes every kind). The extensions
and Kubernetes' libraries add theirs in their own files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeVar

from pilothouse.api.cel.values import (
    INT_MAX,
    INT_MIN,
    CelError,
    Duration,
    NoOverload,
    Timestamp,
    Uint,
    as_duration,
    as_int,
    as_timestamp,
    as_uint,
    equal,
    go_float,
    kind_of,
    type_of,
)
from pilothouse.api.codec import gotime
from pilothouse.api.structural.regexp import searcher

Implementation = Callable[..., Any]
F = TypeVar("F", bound=Implementation)
FUNCTIONS: Final[dict[str, list[tuple[tuple[str, ...], Implementation]]]] = {}


def implements(name: str, *kinds: str) -> Callable[[F], F]:
    """Adds a function's implementation for arguments of these kinds; `a|b` takes either."""

    def add(implementation: F) -> F:
        FUNCTIONS.setdefault(name, []).append((kinds, implementation))
        return implementation

    return add


def call(name: str, args: list[Any]) -> Any:
    """Raises CelError."""
    return _chosen(name, tuple([kind_of(a) for a in args]))(*args)


@lru_cache(maxsize=4096)
def _chosen(name: str, given: tuple[str, ...]) -> Implementation:
    for kinds, implementation in FUNCTIONS.get(name, ()):
        if len(kinds) == len(given) and all(k == "any" or g in k.split("|") for k, g in zip(kinds, given, strict=True)):
            return implementation
    return _no_overload


def _no_overload(*_: Any) -> Any:
    raise NoOverload


def _number(value: int, like: int) -> int:
    return as_uint(value) if isinstance(like, Uint) else as_int(value)


@implements("!_", "bool")
def _not(value: bool) -> bool:
    return not value


@implements("_==_", "any", "any")
def _equals(a: Any, b: Any) -> bool:
    return equal(a, b)


@implements("_!=_", "any", "any")
def _not_equals(a: Any, b: Any) -> bool:
    return not equal(a, b)


@implements("_+_", "int", "int")
@implements("_+_", "uint", "uint")
def _add(a: int, b: int) -> int:
    return _number(int(a) + int(b), a)


@implements("_+_", "double", "double")
@implements("_+_", "string", "string")
@implements("_+_", "bytes", "bytes")
def _concatenate(a: Any, b: Any) -> Any:
    return a + b


@implements("_+_", "list", "list")
def _add_lists(a: list[Any], b: list[Any]) -> list[Any]:
    own = getattr(a, "cel_add", None)
    return own(b) if own is not None else [*a, *b]


@implements("_+_", "map", "map")
def _add_maps(a: Any, b: Any) -> Any:
    own = getattr(a, "cel_add", None)
    if own is None:
        raise NoOverload
    return own(b)


@implements("_+_", "duration", "duration")
def _add_durations(a: Duration, b: Duration) -> Duration:
    return as_duration(a.ns + b.ns)


@implements("_+_", "timestamp", "duration")
@implements("_+_", "duration", "timestamp")
def _later(a: Any, b: Any) -> Timestamp:
    return as_timestamp(a.ns + b.ns)


@implements("_-_", "int", "int")
@implements("_-_", "uint", "uint")
def _subtract(a: int, b: int) -> int:
    return _number(int(a) - int(b), a)


@implements("_-_", "double", "double")
def _subtract_doubles(a: float, b: float) -> float:
    return a - b


@implements("_-_", "duration", "duration")
@implements("_-_", "timestamp", "timestamp")
def _between(a: Any, b: Any) -> Duration:
    return as_duration(a.ns - b.ns)


@implements("_-_", "timestamp", "duration")
def _earlier(a: Timestamp, b: Duration) -> Timestamp:
    return as_timestamp(a.ns - b.ns)


@implements("_*_", "int", "int")
@implements("_*_", "uint", "uint")
def _multiply(a: int, b: int) -> int:
    return _number(int(a) * int(b), a)


@implements("_*_", "double", "double")
def _multiply_doubles(a: float, b: float) -> float:
    return a * b


@implements("_/_", "int", "int")
@implements("_/_", "uint", "uint")
def _divide(a: int, b: int) -> int:
    if b == 0:
        raise CelError("division by zero")
    whole = abs(int(a)) // abs(int(b))
    return _number(whole if (a < 0) == (b < 0) else -whole, a)


@implements("_/_", "double", "double")
def _divide_doubles(a: float, b: float) -> float:
    if b == 0:
        sign = math.copysign(1.0, a) * math.copysign(1.0, b)
        return math.nan if a == 0 or a != a else math.copysign(math.inf, sign)
    return a / b


@implements("_%_", "int", "int")
@implements("_%_", "uint", "uint")
def _modulo(a: int, b: int) -> int:
    if b == 0:
        raise CelError("modulus by zero")
    if a == INT_MIN and b == -1:
        raise CelError("integer overflow")
    rest = abs(int(a)) % abs(int(b))
    return _number(-rest if a < 0 else rest, a)


@implements("-_", "int")
def _negate(a: int) -> int:
    return as_int(-a)


@implements("-_", "double")
def _negate_double(a: float) -> float:
    return -a


def _order(name: str, compare: Callable[[Any, Any], bool]) -> None:
    def ordered(a: Any, b: Any) -> bool:
        if a != a or b != b:
            raise CelError("NaN values cannot be ordered")
        return compare(a, b)

    def ordered_bytes(a: Any, b: Any) -> bool:
        return compare(a.encode() if isinstance(a, str) else a, b.encode() if isinstance(b, str) else b)

    implements(name, "int|uint|double", "int|uint|double")(ordered)
    implements(name, "string", "string")(ordered_bytes)
    for kind in ("bool", "bytes", "timestamp", "duration"):
        implements(name, kind, kind)(compare)


_order("_<_", lambda a, b: a < b)
_order("_<=_", lambda a, b: a <= b)
_order("_>_", lambda a, b: a > b)
_order("_>=_", lambda a, b: a >= b)


@implements("@in", "any", "list")
def _in_list(value: Any, within: list[Any]) -> bool:
    return any(equal(value, item) for item in within)


@implements("@in", "any", "map")
def _in_map(key: Any, within: dict[Any, Any]) -> bool:
    return kind_of(key) in ("string", "int", "uint", "bool", "double") and key in within


@implements("@in", "string", "record")
def _in_record(key: str, within: Any) -> bool:
    return bool(within.has(key))


@implements("size", "string|bytes|list|map")
def _size(value: Any) -> int:
    return len(value)


@implements("type", "any")
def _type(value: Any) -> Any:
    return type_of(value)


@implements("dyn", "any")
def _dyn(value: Any) -> Any:
    return value


def _conversion_error(value: Any, target: str) -> CelError:
    return CelError(f"type conversion error from '{type_of(value).name}' to '{target}'")


@implements("bool", "bool|string")
def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise _conversion_error(value, "bool")


@implements("bytes", "bytes|string")
def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value


@implements("double", "double|int|uint|string")
def _double(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise _conversion_error(value, "double") from None


@implements("duration", "duration|string|int")
def _duration(value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    if isinstance(value, int):
        return as_duration(value)
    try:
        return Duration(gotime.parse_duration(value))
    except gotime.GoError:
        raise _conversion_error(value, "google.protobuf.Duration") from None


@implements("timestamp", "timestamp|string|int")
def _timestamp(value: Any) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    if isinstance(value, int):
        return as_timestamp(value * 10**9)
    try:
        return Timestamp.parse(value)
    except ValueError:
        raise _conversion_error(value, "google.protobuf.Timestamp") from None


def _parsed_int(value: str, target: str) -> int:
    digits = value[1:] if value[:1] in ("+", "-") else value
    if not (digits.isascii() and digits.isdecimal()):
        raise _conversion_error(value, target)
    return int(value)


@implements("int", "int|uint|double|string|timestamp|duration")
def _int(value: Any) -> int:
    if isinstance(value, Timestamp):
        return value.ns // 10**9
    if isinstance(value, Duration):
        return value.ns
    if isinstance(value, str):
        parsed = _parsed_int(value, "int")
        if not INT_MIN <= parsed <= INT_MAX:
            raise _conversion_error(value, "int")
        return parsed
    if isinstance(value, float) and not -(2.0**63) < value < 2.0**63:
        raise CelError("integer overflow")
    return as_int(int(value))


@implements("uint", "int|uint|double|string")
def _uint(value: Any) -> Uint:
    if isinstance(value, str):
        if value[:1] in ("+", "-"):
            raise _conversion_error(value, "uint")
        return as_uint(_parsed_int(value, "uint"))
    if isinstance(value, float) and not -1.0 < value < 2.0**64:
        raise CelError("unsigned integer overflow")
    return as_uint(int(value))


@implements("string", "string|bool|int|uint|double|bytes|timestamp|duration|IP|CIDR")
def text(value: Any) -> str:
    """A value converted to a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, Duration):
        return f"{go_float(value.ns / 10**9)}s"
    return str(int(value)) if isinstance(value, int) else str(value)


@implements("contains", "string", "string")
def _contains(value: str, part: str) -> bool:
    return part in value


@implements("startsWith", "string", "string")
def _starts(value: str, part: str) -> bool:
    return value.startswith(part)


@implements("endsWith", "string", "string")
def _ends(value: str, part: str) -> bool:
    return value.endswith(part)


@implements("matches", "string", "string")
def _matches(value: str, pattern: str) -> bool:
    try:
        return searcher(pattern)(value) is not None
    except ValueError as e:
        raise CelError(str(e)) from None


def _zone_offset(value: Timestamp, zone: str) -> int:
    """Seconds east of UTC, of `+01:00` or a name of the zone database."""
    if zone in ("", "UTC"):
        return 0
    sign = -1 if zone.startswith("-") else 1
    hours, colon, minutes = zone.lstrip("+-").partition(":")
    if colon and hours.isdecimal() and minutes.isdecimal():
        if int(minutes) > 59:
            raise CelError(f"timezone offset minutes out of range [0, 59]: {zone}")
        return sign * (int(hours) * 3600 + int(minutes) * 60)
    from zoneinfo import ZoneInfo

    try:
        offset = value.moment().astimezone(ZoneInfo(zone)).utcoffset()
    except (KeyError, ValueError, OSError):
        raise CelError(f"unknown time zone {zone}") from None
    return int(offset.total_seconds()) if offset is not None else 0


def _time_part(name: str, part: Callable[[datetime], int]) -> None:
    def of_utc(value: Timestamp) -> int:
        return part(value.moment())

    def of_zone(value: Timestamp, zone: str) -> int:
        return part(value.moment(_zone_offset(value, zone)))

    implements(name, "timestamp")(of_utc)
    implements(name, "timestamp", "string")(of_zone)


_time_part("getFullYear", lambda t: t.year)
_time_part("getMonth", lambda t: t.month - 1)
_time_part("getDayOfYear", lambda t: t.timetuple().tm_yday - 1)
_time_part("getDayOfMonth", lambda t: t.day - 1)
_time_part("getDate", lambda t: t.day)
_time_part("getDayOfWeek", lambda t: t.isoweekday() % 7)
_time_part("getHours", lambda t: t.hour)
_time_part("getMinutes", lambda t: t.minute)
_time_part("getSeconds", lambda t: t.second)
_time_part("getMilliseconds", lambda t: t.microsecond // 1000)


def _duration_part(name: str, unit: timedelta) -> None:
    nanoseconds = unit // timedelta(microseconds=1) * 1000

    def of(value: Duration) -> int:
        whole = abs(value.ns) // nanoseconds
        return -whole if value.ns < 0 else whole

    implements(name, "duration")(of)


_duration_part("getHours", timedelta(hours=1))
_duration_part("getMinutes", timedelta(minutes=1))
_duration_part("getSeconds", timedelta(seconds=1))
_duration_part("getMilliseconds", timedelta(milliseconds=1))
