"""Times and durations as Go's time package reads and writes them, with its words for what it cannot read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from pilothouse.api.field import quote

RFC3339: Final = "2006-01-02T15:04:05Z07:00"
RFC3339_MICRO: Final = "2006-01-02T15:04:05.000000Z07:00"

# What a layout is made of: (text in the layout, digits at least, digits at most, lowest, highest, its name in messages).
_PARTS: Final = (
    ("2006", 4, 4, 0, 9999, "year"),
    ("-", 0, 0, 0, 0, ""),
    ("01", 2, 2, 1, 12, "month"),
    ("-", 0, 0, 0, 0, ""),
    ("02", 2, 2, 0, 31, "day"),
    ("T", 0, 0, 0, 0, ""),
    ("15", 1, 2, 0, 23, "hour"),
    (":", 0, 0, 0, 0, ""),
    ("04", 2, 2, 0, 59, "minute"),
    (":", 0, 0, 0, 0, ""),
    ("05", 2, 2, 0, 59, "second"),
)
_ZONE: Final = re.compile(r"([+-])(\d\d):(\d\d)")
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class GoError(ValueError):
    """str() is Go's message."""


def _cannot(text: str, layout: str, rest: str, part: str) -> GoError:
    return GoError(f"parsing time {quote(text)} as {quote(layout)}: cannot parse {quote(rest)} as {quote(part)}")


def _range(text: str, what: str) -> GoError:
    return GoError(f"parsing time {quote(text)}: {what} out of range")


def _read(text: str, layout: str) -> tuple[list[int], str, int]:
    """(year, month, day, hour, minute, second), the digits of the fraction, and the zone's offset in seconds."""
    rest, found = text, []
    for part, least, most, low, high, name in _PARTS:
        if not most:
            if not rest.startswith(part):
                raise _cannot(text, layout, rest, part)
            rest = rest[1:]
            continue
        digits = 0
        while digits < most and digits < len(rest) and "0" <= rest[digits] <= "9":
            digits += 1
        if digits < least:
            raise _cannot(text, layout, rest, part)
        number = int(rest[:digits])
        if not low <= number <= high:
            raise _range(text, name)
        found.append(number)
        rest = rest[digits:]
    fraction = ""
    if layout is RFC3339_MICRO:
        match = re.match(r"[.,](\d{6})", rest, re.ASCII)
        if match is None:
            raise _cannot(text, layout, rest, ".000000")
        fraction, rest = match[1], rest[7:]
    else:
        match = re.match(r"[.,](\d+)", rest, re.ASCII)
        if match is not None:
            fraction, rest = match[1], rest[match.end() :]
    offset, rest = _zone(text, layout, rest)
    if rest:
        raise GoError(f"parsing time {quote(text)}: extra text: {quote(rest)}")
    year, month, day = found[:3]
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS[month - 1] + leap:
        raise _range(text, "day")
    return found, fraction, offset


def parts(text: str) -> tuple[list[int], str, int]:
    """(year, month, day, hour, minute, second), the digits of the fraction, the zone's offset in seconds. Raises GoError."""
    return _read(text, RFC3339)


def _zone(text: str, layout: str, rest: str) -> tuple[int, str]:
    if rest.startswith("Z"):
        return 0, rest[1:]
    match = _ZONE.match(rest)
    if match is None or not rest.isascii():
        raise _cannot(text, layout, rest, "Z07:00")
    hours, minutes = int(match[2]), int(match[3])
    if hours > 24:
        raise _range(text, "time zone offset hour")
    if minutes > 60:
        raise _range(text, "time zone offset minute")
    return (hours * 3600 + minutes * 60) * (1 if match[1] == "+" else -1), rest[6:]


def _utc(found: list[int], offset: int) -> str:
    """In UTC, without a fraction or the Z; empty for Go's zero time."""
    if offset:
        try:
            year, month, day, hour, minute, second = found
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - timedelta(seconds=offset)
        except (ValueError, OverflowError):
            raise GoError("Time.MarshalJSON: year outside of range [0,9999]") from None
        found = [moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second]
    text = "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}".format(*found)
    return "" if text == "0001-01-01T00:00:00" else text


@lru_cache(maxsize=4096)
def time(text: str) -> str | None:
    """A metav1.Time as it is written again: whole seconds, UTC; None for the zero time. Raises GoError."""
    found, _, offset = _read(text, RFC3339)
    utc = _utc(found, offset)
    return f"{utc}Z" if utc else None


@lru_cache(maxsize=4096)
def micro_time(text: str) -> str | None:
    """The same for a metav1.MicroTime, which has six decimals."""
    found, fraction, offset = _read(text, RFC3339_MICRO)
    utc = _utc(found, offset)
    return f"{utc or '0001-01-01T00:00:00'}.{fraction}Z" if utc or fraction.strip("0") else None


_UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_STEP: Final = re.compile(r"(\d*)(?:\.(\d*))?([^.\d]*)", re.ASCII)


def parse_duration(text: str) -> int:
    """Nanoseconds. Raises GoError."""
    invalid = GoError(f"time: invalid duration {quote(text)}")
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0
    while rest:
        match = _STEP.match(rest)
        if match is None or not (match[1] or match[2]):
            raise invalid
        unit = match[3]
        if not unit:
            raise GoError(f"time: missing unit in duration {quote(text)}")
        if unit not in _UNITS:
            raise GoError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        if len(match[1]) > 20:
            raise invalid
        scale = _UNITS[unit]
        total += int(match[1] or "0") * scale
        if match[2]:
            digits = match[2][:18]
            total += int(digits) * scale // 10 ** len(digits)
        if total > 1 << 63:
            raise invalid
        rest = rest[match.end() :]
    negative = text.startswith("-")
    if total > (1 << 63) - (not negative):
        raise invalid
    return -total if negative else total


def format_duration(nanoseconds: int) -> str:
    """`1h0m5s`, `1.5s`, `10ms`, `0s`."""
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if not left:
        return "0s"
    if left < 10**9:
        for unit, scale in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if left >= scale:
                return f"{sign}{_decimal(left, scale)}{unit}"
    hours, left = divmod(left, 3600 * 10**9)
    minutes, left = divmod(left, 60 * 10**9)
    seconds = f"{_decimal(left, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(amount: int, scale: int) -> str:
    whole, part = divmod(amount, scale)
    if not part:
        return str(whole)
    digits = len(str(scale)) - 1
    return f"{whole}.{str(part).zfill(digits).rstrip('0')}"
