"""Connections that ask to become another: aiohttp's part, since the tunnels behind them speak through its WebSockets. It is
imported when the first of them comes. Whatever does not upgrade in the end (Upgrade: h2c, a refusal) is answered, and the
connection ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from aiohttp import web
from multidict import CIMultiDict

from pilothouse.api import errors
from pilothouse.api.exchange import Response
from pilothouse.apiserver import answers
from pilothouse.apiserver.http import heads, messages

if TYPE_CHECKING:
    from pilothouse.apiserver.server import APIServer

log = logging.getLogger(__name__)

_LINE_MOST: Final = 64 * 1024


class Upgrades:
    def __init__(self, server: APIServer, written: heads.Heads) -> None:
        self._server, self._heads = server, written
        self._front = web.Server(
            self._handle,
            access_log=None,
            handler_cancellation=True,
            max_line_size=_LINE_MOST,
            max_field_size=_LINE_MOST,
        )

    def take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """`data`: the request from its beginning, and whatever came after it."""
        handler = self._front()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(data)

    async def end(self) -> None:
        await self._front.shutdown(0)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        headers: dict[str, str] = {}
        for name, value in incoming.headers.items():
            heads.add(headers, name.lower(), value)
        transport = incoming.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        leaf = tls.getpeercert(binary_form=True) if tls is not None else None
        request = heads.to_request(
            incoming.method,
            incoming.raw_path,
            headers,
            certificates=(leaf,) if leaf else (),
            remote=incoming.remote or "",
        )
        request.connection = incoming
        limit = self._server.config.max_request_body_bytes
        request.body = await _body(incoming, limit)
        if len(request.body) > limit:
            error = errors.too_large(f"Request entity too large: limit is {limit}")
            response = answers.error_response(error, request, False, self._server.core.forms)
        else:
            response = await self._server.handle(request)
        if response.taken is not None:
            taken: web.StreamResponse = response.taken
            return taken
        if messages.is_watch(headers, response):
            return await messages.serve(incoming, response)
        out = web.StreamResponse(status=response.status, headers=CIMultiDict(self._heads.pairs(response)))
        out.force_close()
        try:
            await out.prepare(incoming)
            async for piece in _pieces(response):
                await out.write(piece)
            await out.write_eof()
        except ConnectionError as error:
            log.debug("a client went away: %s", error)
        return out


async def _body(incoming: web.BaseRequest, limit: int) -> bytes:
    """The body; of one that is larger than `limit`, enough of it to tell."""
    parts: list[bytes] = []
    size = 0
    async for chunk in incoming.content.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > limit:
            break
    return b"".join(parts)


async def _pieces(response: Response) -> AsyncIterator[bytes]:
    if response.chunks is not None:
        async for chunk in response.chunks:
            yield chunk
    elif response.slices is not None:
        for piece in response.slices:
            yield piece
    elif response.body:
        yield response.body
