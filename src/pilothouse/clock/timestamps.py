"""RFC 3339 timestamps as Kubernetes writes them (metav1.Time and metav1.MicroTime)."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))")


@lru_cache(maxsize=64)
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_time(epoch_s: float) -> str:
    """`epoch_s` seconds since 1970 as metav1.Time: whole seconds, UTC, `2026-01-02T03:04:05Z`."""
    return _format_second(int(epoch_s // 1))


def format_micro_time(epoch_s: float) -> str:
    """`epoch_s` seconds since 1970 as metav1.MicroTime: six decimals, UTC, `2026-01-02T03:04:05.000000Z`."""
    return (_EPOCH + timedelta(seconds=epoch_s)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 timestamp, any offset, any fraction.

    Raises ValueError where `text` is not one.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second = (int(g) for g in match.groups()[:6])
    datetime(year, month, day, hour, minute, second)  # refuses the 30th of February
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    fraction, sign, off_hours, off_minutes = match.groups()[6:]
    offset = 0 if sign is None else (int(off_hours) * 3600 + int(off_minutes) * 60) * (1 if sign == "+" else -1)
    return seconds - offset + (float(f"0.{fraction}") if fraction else 0.0)
