"""A watch over a WebSocket: each event is a message of its own, text or, in protobuf, binary.

Source: upstream's endpoints/handlers/watch.go (HandleWS) and golang.org/x/net/websocket, which wants an Origin and agrees to
the one subprotocol that is offered, whatever it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import web

from pilothouse.api.exchange import Response
from pilothouse.apiserver.negotiation import JSON, PROTOBUF

_WATCHES: Final = (JSON, f"{PROTOBUF};stream=watch")
_LENGTH_BYTES: Final = 4


def is_watch(headers: dict[str, str], response: Response) -> bool:
    """Whether a request for a WebSocket came to be a watch."""
    asked = headers.get("upgrade", "").lower() == "websocket"
    return asked and response.chunks is not None and response.headers.get("Content-Type") in _WATCHES


async def serve(incoming: web.BaseRequest, response: Response) -> web.StreamResponse:
    """The events, until they end or the client goes."""
    assert response.chunks is not None
    offered = [p.strip() for p in incoming.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
    if incoming.headers.get("Origin", "null") == "null":
        return await _refused(incoming, 403)
    if len(offered) > 1:
        return await _refused(incoming, 400)
    socket = web.WebSocketResponse(protocols=offered, compress=False)
    await socket.prepare(incoming)
    binary = response.headers["Content-Type"] != JSON
    sending = asyncio.ensure_future(_send(socket, response.chunks, binary))
    reading = asyncio.ensure_future(_read(socket))
    try:
        await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, reading):
            task.cancel()
        await asyncio.gather(sending, reading, return_exceptions=True)
        await socket.close()
    return socket


async def _refused(incoming: web.BaseRequest, status: int) -> web.StreamResponse:
    out = web.Response(status=status)
    out.force_close()
    await out.prepare(incoming)
    await out.write_eof()
    return out


async def _send(socket: web.WebSocketResponse, chunks: AsyncIterator[bytes], binary: bool) -> None:
    async for chunk in chunks:
        if binary:
            for message in _frames(chunk):
                await socket.send_bytes(message)
        else:
            for line in chunk.splitlines(keepends=True):
                await socket.send_str(line.decode())


def _frames(chunk: bytes) -> Iterator[bytes]:
    """The messages of a stream in which each begins with its length."""
    at = 0
    while at < len(chunk):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(chunk[at:start], "big")
        yield chunk[start:at]


async def _read(socket: web.WebSocketResponse) -> None:
    """What clients say is not listened to; that they go is."""
    async for _ in socket:
        pass
