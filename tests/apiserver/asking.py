"""What the API server's tests share: who asks, and how a request is written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from pilothouse.api.exchange import Request, Response, UserInfo

ADMIN = UserInfo("admin", "admin", ("system:masters", "system:authenticated"))
JSON = "application/json"
Call = Callable[..., Awaitable[Response]]


def request_of(
    method: str, address: str, body: Any, user: UserInfo | None, content_type: str, headers: dict[str, str]
) -> Request:
    path, _, query = address.partition("?")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        sent["content-type"] = content_type
    return Request(method, path, parse_qsl(query, keep_blank_values=True), sent, object=body, user=user)
