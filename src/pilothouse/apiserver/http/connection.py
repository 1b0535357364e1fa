"""`Connection`: one client's connection. httptools reads it, one task at a time answers what was read, in order.

Limits: the size of heads and bodies, the requests that wait behind the one under way (reading pauses), the time that a head, a
body, an idle connection and a client that does not read its answer may take. Source of the figures: Go's net/http and
upstream's server, which sets IdleTimeout 90 s and ReadHeaderTimeout 32 s.
"""

from __future__ import annotations

import asyncio
import logging
import re
import zlib
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver import answers
from pilothouse.apiserver.http import heads

if TYPE_CHECKING:
    from pilothouse.apiserver.http.upgrades import Upgrades
    from pilothouse.apiserver.server import APIServer

log = logging.getLogger(__name__)

_IDLE_S: Final = 90.0
_HEAD_S: Final = 32.0
_STALL_S: Final = 120.0  # without a byte taken of an answer
_LINGER_S: Final = 1.0  # for a client to read the refusal of what it still sends
_HEAD_MOST: Final = 1 << 20
_SLICE: Final = 64 * 1024  # of a body, between two looks at whether the client keeps up
_GZIP_LEAST_BYTES: Final = 128 * 1024
_GZIP_LEVEL: Final = 1  # upstream's: speed before size
_GZIP: Final = 16 + zlib.MAX_WBITS
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_method: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ")
_LAST_CHUNK: Final = b"0\r\n\r\n"


class _Incoming(NamedTuple):
    """A request that was read whole, or as far as it takes to refuse it."""

    request: Request
    keep: bool  # the connection
    old: bool  # HTTP/1.0
    too_large: bool


class Connections:
    """Those of one listening address, and what they share."""

    def __init__(self, server: APIServer) -> None:
        self.server = server
        self.heads = heads.Heads(server.clock)
        self.ending = False
        self._open: set[Connection] = set()
        self._emptied: asyncio.Event | None = None
        self._upgrades: Upgrades | None = None

    def add(self, connection: Connection) -> None:
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open and self._emptied is not None:
            self._emptied.set()

    def upgrades(self) -> Upgrades:
        if self._upgrades is None:
            from pilothouse.apiserver.http.upgrades import Upgrades

            self._upgrades = Upgrades(self.server, self.heads)
        return self._upgrades

    def sweep(self) -> None:
        """Ends the connections whose time is over."""
        now_s = self.server.clock.monotonic()
        for connection in list(self._open):
            connection.sweep(now_s)

    async def end(self, seconds: float) -> None:
        """Ends all of them: idle ones and streams at once, the others within so many seconds."""
        self.ending = True
        self._emptied = asyncio.Event()
        for connection in list(self._open):
            connection.end()
        if self._upgrades is not None:
            await self._upgrades.end()
        if self._open:
            try:
                async with self.server.clock.timeout(seconds):
                    await self._emptied.wait()
            except TimeoutError:
                for connection in list(self._open):
                    connection.abort()


class Connection(asyncio.Protocol):
    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._parser = HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._certificates: tuple[bytes, ...] = ()
        self._remote = ""
        self._waiting: deque[_Incoming] = deque()
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        # The request that is being read
        self._method = ""  # one that the parser does not know
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._in_head = True
        self._head_size = 0
        self._too_large = False
        self._deaf = False  # nothing more is read: the connection ends once it has answered
        self._lingers = False  # what the client still sends is thrown away, so that it gets to read why
        # Since when the client is waited for: to begin a request, to go on with one, to take an answer
        self._since_s = 0.0
        self._stalled_s = 0.0
        self._resumed: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._shared.add(self)
        self._since_s = self._shared.server.clock.monotonic()
        peer = transport.get_extra_info("peername")
        self._remote = peer[0] if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            leaf = tls.getpeercert(binary_form=True)
            self._certificates = (leaf,) if leaf else ()
        if self._shared.ending:
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._shared.discard(self)
        self._deaf = True
        self._waiting.clear()
        if self._resumed is not None and not self._resumed.done():
            self._resumed.cancel()
        if self._task is not None:
            self._task.cancel()
        self._transport = None
        del self._parser  # it knows this connection: together they would be the collector's

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > _HEAD_MOST:
                self._refuse(431)
                return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if self._parser.get_method() != b"CONNECT":
                self._hand_over(data[upgrade.args[0] :])
        except HttpParserInvalidMethodError:
            self._read_other_method(data)
        except HttpParserError as error:
            log.debug("a request that cannot be read: %s", error)
            self._refuse(400)

    def _read_other_method(self, data: bytes) -> None:
        """The parser knows only the methods that are registered; which there are is for the pipeline to say."""
        found = _method.match(data)
        if found is None or self._method or self._head_size != len(data):
            self._refuse(400)
            return
        self._method, self._head_size = found[1].decode(), 0
        self._parser = HttpRequestParser(self)
        self.data_received(b"TRACE" + data[found.end(1) :])

    def _refuse(self, status: int, why: str = "") -> None:
        """Of what cannot be read. Where earlier requests are still being answered, the connection ends with those answers."""
        if self._deaf or self._transport is None:
            return
        self._deaf = self._lingers = True
        if self._task is None:
            self._transport.write(heads.refusal(status, why))
            self._close()

    def on_message_begin(self) -> None:
        self._target, self._headers, self._body = b"", {}, []
        self._size, self._too_large, self._in_head = 0, False, True
        if self._task is None:
            self._since_s = self._shared.server.clock.monotonic()

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what trails a chunked body is not asked for
            heads.add(self._headers, name.decode("latin-1").lower(), value.decode("utf-8", "replace"))

    def on_headers_complete(self) -> None:
        self._in_head, self._head_size = False, 0
        headers = self._headers
        if "host" not in headers and self._parser.get_http_version() == "1.1":
            self._refuse(400, "missing required Host header")
        elif (
            "\n" in headers.get("host", "")
            or heads.is_broken(self._target.partition(b"?")[0].decode("latin-1"))
            or self._parser.get_http_version() == "0.9"
        ):
            self._refuse(400)
        elif self._parser.get_http_version() not in ("1.0", "1.1"):
            self._refuse(505, "unsupported protocol version")
        elif headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._refuse(501, "Unsupported transfer encoding")
        if self._deaf:
            return
        length = headers.get("content-length", "")
        if length.isdigit() and int(length[:20]) > self._shared.server.config.max_request_body_bytes:
            self._refuse_body()
        elif "expect" in headers:
            if headers["expect"].lower() != "100-continue":
                self._refuse(417)
            elif self._task is None and self._transport is not None:
                self._transport.write(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        if self._deaf:
            return
        self._size += len(data)
        if self._size > self._shared.server.config.max_request_body_bytes:
            self._refuse_body()
        else:
            self._body.append(data)

    def _refuse_body(self) -> None:
        self._too_large = self._lingers = True
        self._take(keep=False)
        self._deaf = True

    def on_message_complete(self) -> None:
        self._in_head = True
        if self._deaf:
            return
        if self._parser.get_method() == b"CONNECT":
            self._take(keep=False)
            self._deaf = True
        elif not self._parser.should_upgrade():
            self._take(keep=self._parser.should_keep_alive())

    def _take(self, *, keep: bool) -> None:
        """A request is complete."""
        body = self._body
        request = heads.to_request(
            self._method or self._parser.get_method().decode(), self._target.decode("utf-8", "replace"), self._headers,
            certificates=self._certificates, remote=self._remote,
        )  # fmt: skip
        request.body = body[0] if len(body) == 1 else b"".join(body)
        self._body, self._method = [], ""
        old = self._parser.get_http_version() == "1.0"
        self._waiting.append(_Incoming(request, keep and not self._shared.ending, old, self._too_large))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all())
        elif self._transport is not None:
            self._transport.pause_reading()

    def _hand_over(self, rest: bytes) -> None:
        """The connection is asked to become another: aiohttp reads the same request again, and goes on with it."""
        if self._deaf or self._task is not None or self._transport is None:
            self._refuse(400)
            return
        method, transport = self._parser.get_method().decode(), self._transport
        lines = [f"{method} {self._target.decode('utf-8', 'replace')} HTTP/1.1"]
        for name, value in self._headers.items():
            lines += [f"{name}: {one}" for one in value.split("\n")]
        self._deaf, self._transport = True, None
        del self._parser
        self._shared.discard(self)
        head = "\r\n".join([*lines, "", ""]).encode()
        self._shared.upgrades().take_over(transport, head + b"".join(self._body) + rest)

    # Answering

    async def _answer_all(self) -> None:
        """Every request that waits, one after the other."""
        waiting = self._waiting
        try:
            while waiting:
                incoming = waiting.popleft()
                keep = await self._answer(incoming)
                if not keep or self._transport is None or (self._deaf and not waiting):
                    self._close()
                    return
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("an answer could not be sent")
            self.abort()
        finally:
            self._task = None
            self._since_s = self._shared.server.clock.monotonic()
        if self._transport is not None:
            self._transport.resume_reading()

    async def _answer(self, incoming: _Incoming) -> bool:
        """Whether the connection goes on."""
        request = incoming.request
        server = self._shared.server
        if request.path == "*" and request.method == "OPTIONS":
            if self._transport is not None:  # of the server as such: before anything is asked
                self._transport.write(self._shared.heads.nothing())
            return incoming.keep
        if incoming.too_large:
            limit = server.config.max_request_body_bytes
            error = errors.too_large(f"Request entity too large: limit is {limit}")
            response = answers.error_response(error, request, False, server.core.forms)
        else:
            response = await server.handle(request)
        bare = request.method == "HEAD"
        if response.chunks is None and response.slices is None:
            body = response.body
            if len(body) <= _GZIP_LEAST_BYTES or "Content-Encoding" in response.headers:
                self._head(incoming, response, len(body), b"" if bare else body)
                return incoming.keep
            if _takes_gzip(request):
                response.slices = (body[i : i + _SLICE] for i in range(0, len(body), _SLICE))
            else:
                self._head(incoming, response, len(body))
                view = memoryview(body)
                for at in range(0, 0 if bare else len(body), _SLICE):
                    await self._send(view[at : at + _SLICE])
                return incoming.keep
        if response.slices is not None and _takes_gzip(request):
            vary = response.headers.get("Vary")
            encoding = "Accept-Encoding"
            response.headers |= {"Content-Encoding": "gzip", "Vary": f"{encoding}, {vary}" if vary else encoding}
            response.chunks = _gzip(response.slices)
        self._head(incoming, response, None)
        if not bare:
            await self._chunked(response, plain=incoming.old)
        return incoming.keep and not incoming.old

    def _head(self, incoming: _Incoming, response: Response, length: int | None, body: bytes = b"") -> None:
        keep = incoming.keep and (length is not None or not incoming.old)
        head = self._shared.heads.head(response, length, keep=keep, old=incoming.old)
        if self._transport is not None:
            self._transport.write(head + body if body else head)

    async def _chunked(self, response: Response, *, plain: bool) -> None:
        """A body whose length nobody knows yet. `plain`: to a client that does not know chunks."""
        self._streaming = response.chunks is not None
        try:
            if response.chunks is not None:
                async for chunk in response.chunks:
                    if chunk:
                        await self._send(chunk if plain else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            else:
                for chunk in response.slices or ():
                    await self._send(chunk if plain else b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    await self._shared.server.clock.sleep(0)
            if not plain:
                await self._send(_LAST_CHUNK)
        finally:
            self._streaming = False
            close = getattr(response.chunks, "aclose", None)
            if close is not None:
                await close()

    async def _send(self, data: bytes | memoryview) -> None:
        """Returns once there is room for more."""
        if self._transport is None:
            raise asyncio.CancelledError
        self._transport.write(data)
        if self._resumed is not None:
            await self._resumed

    def pause_writing(self) -> None:
        self._stalled_s = self._shared.server.clock.monotonic()
        self._resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        self._resumed = None

    # Ending

    def _close(self) -> None:
        """After the last answer. A client that still sends must be let read it before the connection breaks."""
        self._deaf = True
        transport = self._transport
        if transport is None:
            return
        if self._lingers:
            if transport.can_write_eof():
                transport.write_eof()
            self._shared.server.clock.call_later(_LINGER_S, transport.close)
        else:
            transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """The server stops."""
        if self._streaming and self._task is not None:
            self._task.cancel()
            self.abort()
        elif self._task is None and self._transport is not None:
            self._transport.close()
        else:
            self._deaf = True

    def sweep(self, now_s: float) -> None:
        if self._task is not None:
            if self._resumed is not None and now_s - self._stalled_s > _STALL_S:
                self.abort()
        elif self._in_head:
            if now_s - self._since_s > (_HEAD_S if self._head_size else _IDLE_S):
                self.abort()
        elif now_s - self._since_s > self._shared.server.config.request_timeout_s:
            self.abort()


def _takes_gzip(request: Request) -> bool:
    """Upstream's rule: where Accept-Encoding has the word without a quality."""
    accepted = request.headers.get("accept-encoding", "")
    return "gzip" in accepted and any(part.strip() == "gzip" for part in accepted.split(","))


async def _gzip(slices: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Compressed as it is made, beside the loop."""
    packer: Any = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    loop = asyncio.get_running_loop()
    for one in slices:
        packed = await loop.run_in_executor(None, packer.compress, one)
        if packed:
            yield packed
    yield packer.flush()
