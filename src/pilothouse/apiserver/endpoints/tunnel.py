"""Streams through the API server: a client's WebSocket joined to a kubelet's.

Source: KEP-4006. kubectl speaks WebSocket since 1.31; SPDY, which it falls back to, is not spoken here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver.endpoints.backend import Place, dial_error

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse
    from aiohttp.web import WebSocketResponse

_MESSAGE_MOST = 16 * 1024 * 1024


async def open_(request: Request, place: Place) -> Response:
    """Joins both ends; the answer carries the client's end, which is done when the stream is. Raises 500 where nobody answers
    behind, and 400 for an upgrade to anything but a WebSocket."""
    if "websocket" not in request.headers.get("upgrade", "").lower() or request.connection is None:
        raise errors.bad_request("unable to upgrade: only WebSocket streams are served")
    from aiohttp import ClientError, ClientSession, TCPConnector, WSServerHandshakeError, web

    offered = request.headers.get("sec-websocket-protocol", "")
    protocols = tuple(p.strip() for p in offered.split(",") if p.strip() and not p.strip().startswith("base64url."))
    async with ClientSession(connector=TCPConnector(ssl=False, limit=1, force_close=True)) as session:
        try:
            behind = await session.ws_connect(place.url, protocols=protocols, max_msg_size=_MESSAGE_MOST)
        except WSServerHandshakeError as error:
            raise StatusError(
                error.status or 500, "InternalError", f"unable to upgrade connection: {error.message}"
            ) from error
        except (ClientError, OSError) as error:
            inner = error if isinstance(error, OSError) else OSError(str(error))
            raise StatusError(500, "", f"error dialing backend: {dial_error(place.host, place.port, inner)}") from error
        chosen = (behind.protocol,) if behind.protocol else ()
        front = web.WebSocketResponse(protocols=chosen, max_msg_size=_MESSAGE_MOST)
        await front.prepare(request.connection)
        await _join(front, behind)
    return Response(101, taken=front)


async def _join(front: WebSocketResponse, behind: ClientWebSocketResponse) -> None:
    tasks = [asyncio.create_task(_copy(front, behind)), asyncio.create_task(_copy(behind, front))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await behind.close()
        await front.close()


async def _copy(source: Any, target: Any) -> None:
    from aiohttp import WSMsgType

    async for message in source:
        if message.type == WSMsgType.BINARY:
            await target.send_bytes(message.data)
        elif message.type == WSMsgType.TEXT:
            await target.send_str(message.data)
        else:
            return
