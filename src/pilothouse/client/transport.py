"""How requests reach an API server: `Transport`, and the one within the process. The one over TLS is in `https`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from pilothouse.api.exchange import Request, Response, UserInfo


class Transport(Protocol):
    async def send(self, request: Request) -> Response:
        """The answer, its body decoded: `object` for JSON, `events` for a watch, `body` for the rest.

        Raises StatusError (503) where no answer came.
        """
        ...

    async def close(self) -> None: ...


class InProcess:
    """Calls the API server's pipeline directly, as `user`: no TLS, no encoding, the same objects on both sides."""

    def __init__(self, handle: Callable[[Request], Awaitable[Response]], user: UserInfo) -> None:
        self._handle = handle
        self.user = user

    async def send(self, request: Request) -> Response:
        request.user = self.user
        return await self._handle(request)

    async def close(self) -> None:
        return None
