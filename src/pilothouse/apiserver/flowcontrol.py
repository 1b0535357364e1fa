"""A limit on the requests under way, reading and writing ones apart (upstream's --max-requests-inflight)."""

from __future__ import annotations

from types import TracebackType

from pilothouse.api import errors
from pilothouse.api.codec import gotime
from pilothouse.api.exchange import Request, Response

_READ = frozenset({"get", "list", "watch"})
_LONG_SUBRESOURCES = frozenset({"proxy", "attach", "exec", "log", "portforward"})


def is_reading(verb: str) -> bool:
    return verb in _READ


def is_long_running(verb: str, subresource: str, path: str) -> bool:
    return verb in ("watch", "proxy") or subresource in _LONG_SUBRESOURCES or path.startswith("/debug/pprof/")


def time_limit(request: Request, most_s: float) -> float:
    """The time that the query's `timeout` (a Go duration) leaves a request, `most_s` at the most. Raises 400."""
    text = request.first("timeout")
    if not text:
        return most_s
    try:
        seconds = gotime.parse_duration(text) / 1e9
    except gotime.GoError as error:
        raise errors.bad_request(f"invalid timeout specified in the request URL - {error}") from None
    return min(seconds, most_s) if seconds > 0 else most_s


class Limit:
    """`with limit.slot(verb) as admitted`: False where there is no room."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = _Slots(reading), _Slots(writing)

    def slot(self, verb: str) -> _Slots:
        return self._reading if is_reading(verb) else self._writing

    def used(self) -> dict[str, int]:
        return {"mutating": self._writing.used, "readOnly": self._reading.used}


class _Slots:
    __slots__ = ("_most", "used")

    def __init__(self, most: int) -> None:
        self._most, self.used = most, 0

    @property
    def full(self) -> bool:
        return 0 < self._most <= self.used

    def __enter__(self) -> None:
        self.used += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.used -= 1


def too_many() -> Response:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff", "Retry-After": "1"}
    return Response(429, headers, b"Too many requests, please try again later.\n")
