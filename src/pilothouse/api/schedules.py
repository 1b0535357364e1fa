"""Cron schedules, read and reckoned exactly as upstream does (github.com/robfig/cron/v3), its treatment of summer time too.

The general cron libraries accept other dialects (`L`, `#`, seconds) and not `@every`; when a CronJob runs must not differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from pilothouse.api.codec import gotime

_YEARS_AHEAD: Final = 5
_STAR: Final = 1 << 63


class ScheduleError(ValueError):
    """A schedule or time zone that cannot be read; the message is upstream's."""


class Schedule(Protocol):
    def next(self, after_s: float) -> float | None:
        """The first time after `after_s` (seconds since 1970); None where there is none within five years."""
        ...


class _Bounds(NamedTuple):
    least: int
    most: int
    names: dict[str, int]


_MONTHS: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DAYS: Final = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_FIELDS: Final = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, _MONTHS),
    _Bounds(0, 6, _DAYS),
)
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name; an empty one is UTC."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ScheduleError(f"unknown time zone {name}") from error


@lru_cache(maxsize=1024)
def parse(text: str, time_zone: str = "") -> Schedule:
    """The schedule of five fields or a descriptor. `TZ=…` or `CRON_TZ=…` in front wins over `time_zone`."""
    if not text:
        raise ScheduleError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        setting, space, text = text.partition(" ")
        if not space:
            raise ScheduleError("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        time_zone = setting.partition("=")[2]
        try:
            zone(time_zone)
        except ScheduleError as error:
            raise ScheduleError(f"provided bad location {time_zone}: {error}") from error
        text = text.strip()
    if text.startswith("@every "):
        return _Every(_every(text))
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (_bits(f, bounds) for f, bounds in zip(fields, _FIELDS, strict=True))
    return _Cron(minutes, hours, days, months, weekdays, zone(time_zone))


def _every(text: str) -> float:
    try:
        nanoseconds = gotime.parse_duration(text.removeprefix("@every "))
    except gotime.GoError as error:
        raise ScheduleError(f"failed to parse duration {text}: {error}") from None
    return float(max(1, nanoseconds // 10**9))


def _bits(field: str, bounds: _Bounds) -> int:
    """The values of one field as bits; the star's bit where it leaves all open."""
    found = 0
    for part in field.split(","):
        if part:
            found |= _range(part, bounds)
    return found


def _range(text: str, bounds: _Bounds) -> int:
    values, *steps = text.split("/")
    low, *high = values.split("-")
    star = 0
    if low in ("*", "?"):
        start, end, star = bounds.least, bounds.most, _STAR
    else:
        start = _value(low, bounds)
        if len(high) > 1:
            raise ScheduleError(f"too many hyphens: {text}")
        end = _value(high[0], bounds) if high else start
    step = 1
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0])
        if not high:
            end = bounds.most  # `5/10` is `5-59/10`
        if step > 1:
            star = 0
    if start < bounds.least:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({bounds.least}): {text}")
    if end > bounds.most:
        raise ScheduleError(f"end of range ({end}) above maximum ({bounds.most}): {text}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {text}")
    return sum(1 << value for value in range(start, end + 1, step)) | star


def _value(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return named if named is not None else _number(text)


def _number(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        why = "value out of range" if digits.isascii() and digits.isdigit() else "invalid syntax"
        raise ScheduleError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": {why}')
    if int(text) < 0:
        raise ScheduleError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Every:
    delay_s: float

    def next(self, after_s: float) -> float | None:
        return float(after_s // 1) + self.delay_s


@dataclass(frozen=True, slots=True)
class _Cron:
    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    zone: tzinfo

    def _day_fits(self, at: datetime) -> bool:
        day = bool(1 << at.day & self.days)
        weekday = bool(1 << at.isoweekday() % 7 & self.weekdays)
        if self.days & _STAR or self.weekdays & _STAR:
            return day and weekday
        return day or weekday  # both are restricted: either will do

    def next(self, after_s: float) -> float | None:
        at = self._local(after_s // 1 + 1)
        last_year = at.year + _YEARS_AHEAD
        reset = False  # what is finer than the field that does not fit begins anew, once
        while at.year <= last_year:
            if not 1 << at.month & self.months:
                at = self._date(at.year + at.month // 12, at.month % 12 + 1, 1)
            elif not self._day_fits(at):
                day = at.replace(tzinfo=None) + timedelta(days=1)
                at = self._date(day.year, day.month, day.day, at.hour if reset else 0)
                if at.hour:  # midnight does not exist on this day
                    at = self._plus(at, 3600 * (24 - at.hour if at.hour > 12 else -at.hour))
            elif not 1 << at.hour & self.hours:
                start = at if reset else self._date(at.year, at.month, at.day, at.hour)
                at = self._plus(start, 3600)
            elif not 1 << at.minute & self.minutes or at.second:
                at = self._plus(at, 60 - at.second)
            else:
                return at.timestamp()
            reset = True
        return None

    def _local(self, epoch_s: float) -> datetime:
        return datetime.fromtimestamp(epoch_s, self.zone)

    def _date(self, year: int, month: int, day: int, hour: int = 0) -> datetime:
        return self._local(datetime(year, month, day, hour, tzinfo=self.zone).timestamp())

    def _plus(self, at: datetime, seconds: float) -> datetime:
        return self._local(at.timestamp() + seconds)
