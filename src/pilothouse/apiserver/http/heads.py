"""The heads of requests and answers, between bytes and what the pipeline knows.

Source: RFC 9112, and Go's net/http, whose limits and refusals clients of upstream know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

from pilothouse.api.exchange import Request, Response
from pilothouse.clock import Clock

# Headers that are lists: those of one name are one value. Other headers that come several times keep a line for each.
_LISTS: Final = frozenset({"accept", "accept-encoding", "if-none-match", "connection", "transfer-encoding"})
_broken: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_BODILESS: Final = frozenset({204, 304})
_LINES: Final = {s.value: f"{s.value} {s.phrase}\r\n" for s in HTTPStatus}


def add(headers: dict[str, str], name: str, value: str) -> None:
    """One header line of a request; `name` is in lower case."""
    found = headers.get(name)
    headers[name] = value if found is None else f"{found}{', ' if name in _LISTS else chr(10)}{value}"


def to_request(
    method: str, target: str, headers: Mapping[str, str], *, certificates: tuple[bytes, ...], remote: str
) -> Request:
    if not target.startswith("/"):
        scheme, sep, rest = target.partition("://")  # the absolute form, as sent to proxies
        target = "/" + rest.partition("/")[2] if sep and "/" not in scheme else target
    path, _, query = target.partition("?")
    if ";" in query or "%" in query:
        query = "&".join(pair for pair in query.split("&") if ";" not in pair and not is_broken(pair))
    return Request(
        method,
        unquote(path, errors="replace") if "%" in path else path,
        parse_qsl(query, keep_blank_values=True, errors="replace") if query else [],
        headers,
        peer_certificates=certificates,
        remote_address=remote,
    )


def is_broken(text: str) -> bool:
    """A percent sign in it does not begin the code of a byte: Go reads no such path, and leaves out such pairs of a query."""
    return "%" in text and _broken.search(text) is not None


class Heads:
    """Writes the heads of answers. The date is written once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._date = ""

    def pairs(self, response: Response) -> Iterable[tuple[str, str]]:
        """What every answer says of itself, then its own headers."""
        yield "Audit-Id", self._clock.uuid()
        if "Cache-Control" not in response.headers:
            yield "Cache-Control", "no-cache, private"
        yield from response.headers.items()
        for text in response.warnings:
            yield "Warning", f"299 - {quoted(text)}"

    def nothing(self) -> bytes:
        """The whole of an answer that says nothing."""
        return f"HTTP/1.1 200 OK\r\nDate: {formatdate(self._clock.now(), usegmt=True)}\r\nContent-Length: 0\r\n\r\n".encode()

    def head(self, response: Response, length: int | None, *, keep: bool, old: bool) -> bytes:
        """length None: chunked, or to the end of the connection. `old`: to a client of HTTP/1.0."""
        now = int(self._clock.now())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True)
        status = response.status
        lines = ["HTTP/1.0 " if old else "HTTP/1.1 ", _LINES.get(status) or f"{status} status code {status}\r\n"]
        for name, value in self.pairs(response):
            lines.append(f"{name}: {value}\r\n" if _is_line(value) else f"{name}: {_line(value)}\r\n")
        lines.append(f"Date: {self._date}\r\n")
        if length is not None:
            if status not in _BODILESS and status >= 200:
                lines.append(f"Content-Length: {length}\r\n")
        elif not old:
            lines.append("Transfer-Encoding: chunked\r\n")
        if keep and old:
            lines.append("Connection: keep-alive\r\n")
        elif not keep and not old:
            lines.append("Connection: close\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("utf-8", "replace")


def _is_line(value: str) -> bool:
    return value.isprintable() or not ("\r" in value or "\n" in value)


def _line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


@lru_cache(maxsize=256)
def quoted(text: str) -> str:
    """A quoted-string of RFC 7230: one line, nothing that would end it."""
    printable = "".join(c if c >= " " and c != "\x7f" else " " for c in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def refusal(status: int, why: str = "") -> bytes:
    """What Go answers to a request that cannot be read; the connection ends with it."""
    phrase = f"{status} {HTTPStatus(status).phrase}"
    if status == 417:
        return f"HTTP/1.1 {phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
    line = f"{phrase}: {why}" if why and status != 501 else phrase
    text = why if status == 501 else line
    return (
        f"HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(text)}\r\n"
        f"Connection: close\r\n\r\n{text}"
    ).encode()
