"""PATCH: JSON patch, merge patch, strategic merge patch and apply."""

from __future__ import annotations

from typing import Any

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.apiserver.handlers.scope import Scope


async def handle(scope: Scope) -> Response:
    raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def nothing() -> Any:
    return None
