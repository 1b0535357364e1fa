"""A load generator of its own for HTTP/1.1 over TLS with keep-alive: requests that are bytes already, sent one after the other on
each of a few connections, and answers of which only the length and the status are looked at."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_SENT = re.compile(rb'"bench/sent": ?"(\d+)"')
_EVENT = b'{"type":"MODIFIED"'


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Failed(Exception):
    """An answer that was not a 2xx."""


@dataclass(slots=True)
class Result:
    """What one load took."""

    seconds: float
    latencies_s: list[float] = field(default_factory=list)
    received: int = 0  # bytes of bodies
    events: int = 0


class _Body:
    """Finds the end of answers in a stream of bytes: `feed` says whether one is complete."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = -1  # of the body, or of the present chunk; -1: the head is awaited
        self._chunked = False
        self.status = 0
        self.head = b""
        self.size = 0

    def feed(self, data: bytes) -> bool:
        if self._left < 0:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.head, data, self._buffer = self._buffer[: end + 2], self._buffer[end + 4 :], b""
            self.status = int(self.head[9:12])
            self.size = 0
            length = _LENGTH.search(self.head)
            self._chunked = length is None and _CHUNKED.search(self.head) is not None
            self._left = int(length[1]) if length else 0
        if self._chunked:
            return self._chunk(data)
        self.size += len(data)
        self._left -= len(data)
        if self._left <= 0:
            self._left = -1
            return True
        return False

    def _chunk(self, data: bytes) -> bool:
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        at = 0
        while True:
            if self._left:
                step = min(self._left, len(data) - at)
                at += step
                self._left -= step
                self.size += step
                if self._left:
                    return False
            # between chunks: the line end of the last one, if any, and the length of the next
            start = at + 2 if data[at : at + 2] == b"\r\n" else at
            line = data.find(b"\r\n", start)
            if line < 0 or len(data) - at < 4:
                self._buffer = data[at:]
                return False
            self._left = int(data[start:line], 16)
            at = line + 2
            if not self._left:
                self._left = -1
                return True


class _Closed(asyncio.Protocol):
    """One connection with one request under way at a time."""

    def __init__(self, requests: Iterator[bytes], result: Result, done: Callable[[BaseException | None], None]) -> None:
        self._requests, self._result, self._done = requests, result, done
        self._body = _Body()
        self._transport: asyncio.Transport | None = None
        self._sent_s = 0.0
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def go(self) -> None:
        assert self._transport is not None
        data = next(self._requests, None)
        if data is None:
            self._over = True
            self._done(None)
            return
        self._sent_s = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._body.feed(data):
            self._result.latencies_s.append(time.perf_counter() - self._sent_s)
            self._result.received += self._body.size
            if not 200 <= self._body.status < 300:
                self._over = True
                self._done(Failed(f"{self._body.status}: {data[-500:]!r}"))
                return
            self.go()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._done(error or ConnectionError("the server closed a connection"))

    def close(self) -> None:
        self._over = True
        if self._transport is not None:
            self._transport.abort()


async def closed(port: int, tls: ssl.SSLContext, requests: Iterable[bytes], connections: int) -> Result:
    """Sends the requests over so many connections, each the next as soon as it has its answer. Raises Failed."""
    loop = asyncio.get_running_loop()
    result = Result(0.0)
    left = connections
    finished: asyncio.Future[None] = loop.create_future()

    def done(error: BaseException | None) -> None:
        nonlocal left
        left -= 1
        if finished.done():
            return
        if error is not None:
            finished.set_exception(error)
        elif not left:
            finished.set_result(None)

    source = iter(requests)
    made = [
        (await loop.create_connection(lambda: _Closed(source, result, done), "127.0.0.1", port, ssl=tls))[1]
        for _ in range(connections)
    ]
    begin = time.perf_counter()
    for one in made:
        one.go()
    try:
        await finished
    finally:
        for one in made:
            one.close()
    result.seconds = time.perf_counter() - begin
    return result


class _Watching(asyncio.Protocol):
    """One watch: counts its events; `timed` ones also find out how long each was under way."""

    def __init__(self, data: bytes, timed: bool, seen: Callable[[int, list[float]], None]) -> None:
        self._data, self._timed, self._seen = data, timed, seen
        self._tail = b""
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        if not self.started.done():
            if not data.startswith(b"HTTP/1.1 200"):
                self.started.set_exception(Failed(data[:500].decode(errors="replace")))
                return
            self.started.set_result(None)
        text = self._tail + data
        count = text.count(_EVENT)
        delays: list[float] = []
        if self._timed:
            now_s = time.perf_counter()
            delays = [now_s - int(found) / 1e9 for found in _SENT.findall(text)]
            keep = max(text.rfind(_EVENT) + len(_EVENT), text.rfind(b'"bench/sent"') + 1)
            self._tail = text[max(keep, len(text) - 64) :]
        else:
            self._tail = text[-(len(_EVENT) - 1) :] if not text.endswith(_EVENT) else b""
        if count:
            self._seen(count, delays)


async def watching(
    port: int,
    tls: ssl.SSLContext,
    watch: bytes,
    watchers: int,
    updates: Iterable[bytes],
    expected: int,
    timed: int = 10,
) -> Result:
    """`watchers` watches while the updates are written, until all of them have seen `expected` events."""
    loop = asyncio.get_running_loop()
    result = Result(0.0)
    finished = asyncio.Event()
    wanted = expected * watchers

    def seen(count: int, delays: list[float]) -> None:
        result.events += count
        result.latencies_s += delays
        if result.events >= wanted:
            finished.set()

    made: list[_Watching] = []
    try:
        for number in range(watchers):
            _, one = await loop.create_connection(
                lambda timed=number < timed: _Watching(watch, timed, seen), "127.0.0.1", port, ssl=tls
            )
            made.append(one)
        await asyncio.gather(*(one.started for one in made))
        await asyncio.sleep(0.2)
        begin = time.perf_counter()
        await closed(port, tls, updates, 4)
        async with asyncio.timeout(120):
            await finished.wait()
        result.seconds = time.perf_counter() - begin
    finally:
        for one in made:
            if one.transport is not None:
                one.transport.abort()
    return result
