"""The server on the wire: aiohttp's own HTTP, without its routing, in front of `APIServer.handle`.

A request becomes an `exchange.Request`, its answer bytes or a stream of chunks. A client that goes away cancels its request.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from multidict import CIMultiDict

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver import answers
from pilothouse.apiserver.server import APIServer

log = logging.getLogger(__name__)

_GZIP_LEAST_BYTES = 128 * 1024
_GZIP_LEVEL = 1  # upstream's: speed before size
_SHUTDOWN_S = 5.0
_KEEPALIVE_S = 90.0
_LISTS = frozenset({"accept", "accept-encoding", "if-none-match"})
_HEADER_MOST = 64 * 1024


class Front:
    """One listening address. `await stop()` ends its watches and closes it."""

    def __init__(self, runner: web.ServerRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    async def stop(self) -> None:
        await self._runner.cleanup()


async def serve(
    server: APIServer, host: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None,
    sock: socket.socket | None = None,
) -> Front:  # fmt: skip
    """Listens, on `sock` where one is given; port 0 takes a free one. `ssl_context` should ask for client certificates
    (CERT_OPTIONAL)."""
    app = web.Server(
        _handler(server), keepalive_timeout=_KEEPALIVE_S, max_line_size=_HEADER_MOST, max_field_size=_HEADER_MOST,
        access_log=None, handler_cancellation=True, auto_decompress=True,
    )  # fmt: skip
    runner = web.ServerRunner(app, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    site: web.BaseSite
    if sock is not None:
        site = web.SockSite(runner, sock, ssl_context=ssl_context, backlog=512)
    else:
        site = web.TCPSite(runner, host, port, ssl_context=ssl_context, backlog=512)
    await site.start()
    return Front(runner, runner.addresses[0][1])


def _handler(server: APIServer) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    limit = server.config.max_request_body_bytes

    async def handle(incoming: web.BaseRequest) -> web.StreamResponse:
        request = to_request(incoming)
        if incoming.can_read_body:
            body = await _body(incoming, limit)
            if body is None:
                too_large = errors.too_large(f"Request entity too large: limit is {limit}")
                return _plain(server, answers.error_response(too_large, request, False))
            request.body = body
        response = await server.handle(request)
        if response.taken is not None:
            taken: web.StreamResponse = response.taken
            return taken
        if response.chunks is not None:
            return await _stream(server, incoming, response)
        if len(response.body) > _GZIP_LEAST_BYTES and "Content-Encoding" not in response.headers:
            await _compress(request, response)
        return _plain(server, response)

    return handle


def to_request(incoming: web.BaseRequest) -> Request:
    raw_path, _, raw_query = incoming.raw_path.partition("?")
    headers: dict[str, str] = {}
    for name, value in incoming.headers.items():
        lower = name.lower()
        # A header that comes several times is one value, its parts on lines of their own where commas may be in them.
        if lower in headers:
            headers[lower] += (", " if lower in _LISTS else "\n") + value
        else:
            headers[lower] = value
    transport = incoming.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return Request(
        incoming.method,
        unquote(raw_path, errors="replace") if "%" in raw_path else raw_path,
        parse_qsl(raw_query, keep_blank_values=True, errors="replace") if raw_query else [],
        headers,
        peer_certificates=_certificates(incoming),
        remote_address=peer[0] if isinstance(peer, tuple) else "",
        connection=incoming,
    )


def _certificates(incoming: web.BaseRequest) -> tuple[bytes, ...]:
    transport = incoming.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    if tls is None:
        return ()
    leaf = tls.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()


async def _body(incoming: web.BaseRequest, limit: int) -> bytes | None:
    """The body; None where it is larger than `limit`."""
    length = incoming.content_length
    if length is not None and length > limit:
        return None
    parts: list[bytes] = []
    size = 0
    async for chunk in incoming.content.iter_any():
        size += len(chunk)
        if size > limit:
            return None
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _headers(server: APIServer, headers: Mapping[str, str], warnings: list[str]) -> list[tuple[str, str]]:
    out = [("Audit-Id", server.clock.uuid())]
    if "Cache-Control" not in headers:
        out.append(("Cache-Control", "no-cache, private"))
    out.extend(headers.items())
    out.extend(("Warning", f"299 - {_quoted(text)}") for text in warnings)
    return out


def _quoted(text: str) -> str:
    """A quoted-string of RFC 7230: one line, nothing that would end it."""
    printable = "".join(c if c >= " " and c != "\x7f" else " " for c in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(server: APIServer, response: Response) -> web.Response:
    return web.Response(
        status=response.status, headers=CIMultiDict(_headers(server, response.headers, response.warnings)),
        body=response.body,
    )  # fmt: skip


async def _compress(request: Request, response: Response) -> None:
    """Upstream's rule: large answers, where Accept-Encoding has the word, whatever its quality."""
    accepted = request.headers.get("accept-encoding", "")
    if any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(",")):
        loop = asyncio.get_running_loop()
        response.body = await loop.run_in_executor(None, partial(gzip.compress, response.body, _GZIP_LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"


async def _stream(server: APIServer, incoming: web.BaseRequest, response: Response) -> web.StreamResponse:
    out = web.StreamResponse(
        status=response.status, headers=CIMultiDict(_headers(server, response.headers, response.warnings))
    )
    assert response.chunks is not None
    try:
        await out.prepare(incoming)
        async for chunk in response.chunks:
            await out.write(chunk)
        await out.write_eof()
    except (ConnectionError, RuntimeError) as error:
        log.debug("a client went away: %s", error)
    finally:
        close = getattr(response.chunks, "aclose", None)
        if close is not None:
            await close()
    return out
