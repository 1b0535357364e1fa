"""How tables show things: ages, durations and lists, as upstream's printers do (k8s.io/apimachinery's util/duration)."""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.api.objects import Obj, meta
from pilothouse.clock.timestamps import parse_time


class Now(float):
    """The time as rows are given it. What they show of a moment is how long ago it was; `until` is when that changes first."""

    __slots__ = ("until",)

    def __init__(self, _: float) -> None:
        self.until = float("inf")

    def __sub__(self, then: float) -> float:
        seconds = float(self) - then
        step = 1 if seconds < 600 else 60 if seconds < 8 * 3600 else 3600 if seconds < 8 * 86400 else 86400
        self.until = min(self.until, float(self) + step - seconds % step)
        return seconds


def human_duration(seconds: float) -> str:
    """Two or three significant figures: `119s`, `5m3s`, `3h20m`, `7d4h`, `2y30d`."""
    s = int(seconds)  # towards zero, as a Go conversion
    if s < -1:
        return "<invalid>"
    if s < 0:
        return "0s"
    if s < 120:
        return f"{s}s"
    minutes, hours = s // 60, s // 3600
    if minutes < 10:
        return f"{minutes}m{s % 60}s" if s % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        return f"{days // 365}y{days % 365}d" if days % 365 else f"{days // 365}y"
    return f"{days // 365}y"


def since(timestamp: str | None, now_s: float) -> str:
    """How long ago a timestamp was."""
    if not timestamp:
        return "<unknown>"
    try:
        return human_duration(now_s - parse_time(timestamp))
    except ValueError:
        return "<unknown>"


def age(obj: Obj, now_s: float) -> str:
    """The Age column."""
    return since(meta(obj).get("creationTimestamp"), now_s)


def some(values: Sequence[str], limit: int, nothing: str, count: int | None = None) -> str:
    """The first `limit` of a list joined by commas, and how many more there are: `a,b,c + 2 more...`."""
    total = len(values) if count is None else count
    text = ",".join(values[:limit])
    if len(values) > limit:
        return f"{text} + {total - limit} more..."
    return text or nothing
