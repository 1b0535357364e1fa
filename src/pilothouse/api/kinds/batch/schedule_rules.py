"""When a CronJob runs: its schedule and time zone. Source: upstream's pkg/apis/batch/validation; KEP-3140."""

from __future__ import annotations

import re

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.schedules import ScheduleError, parse, zone

_is_part = re.compile(r"(?!-)[A-Za-z.\-_0-9+]{1,14}", re.ASCII).fullmatch


def schedule(text: str, time_zone: str | None, path: str, *, zone_inside: bool) -> ErrorList:
    """`zone_inside`: the stored schedule has a zone in it, which has not been allowed since 1.25."""
    found: ErrorList = []
    try:
        parse(text)
    except ScheduleError as e:
        found.append(field.invalid(path, text, str(e)))
    if "TZ" in text:
        if not zone_inside:
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.append(field.invalid(path, text, detail))
        elif time_zone is not None:
            detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            found.append(field.invalid(path, text, detail))
    return found


def time_zone(name: str | None, path: str) -> ErrorList:
    if name is None:
        return []
    if not name:
        return [field.invalid(path, name, "timeZone must be nil or non-empty string")]
    if any(part in (".", "..") or not _is_part(part) for part in name.split("/")):
        return [field.invalid(path, name, f"unknown time zone {name}")]
    found: ErrorList = []
    if name.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        found.append(field.invalid(path, name, detail))
        if name == "Local":
            return found
    try:
        zone(name)
    except ScheduleError as e:
        found.append(field.invalid(path, name, str(e)))
    return found
