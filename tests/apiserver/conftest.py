"""A running API server over a store in memory, and a short way to ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asking import ADMIN, JSON, Call, request_of
from memory_store import MemoryStore

from pilothouse.api.exchange import Response, UserInfo
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def server(store: MemoryStore) -> AsyncIterator[APIServer]:
    config = Config(
        tokens=(TokenEntry("admintok", ADMIN), TokenEntry("janetok", UserInfo("jane", "jane", ("dev",)))),
        disable_admission_plugins=("ServiceAccount",),
    )
    found = APIServer(store, RealClock(), config)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
def call(server: APIServer) -> Call:
    """call(method, "path?query", object, user=…): within the process."""

    async def ask(
        method: str, address: str, body: Any = None, *, user: UserInfo = ADMIN, content_type: str = JSON, **headers: str
    ) -> Response:
        return await server.handle(request_of(method, address, body, user, content_type, headers))

    return ask


@pytest.fixture
def wire(server: APIServer) -> Call:
    """The same, as bytes and with a token."""

    async def ask(
        method: str,
        address: str,
        body: bytes = b"",
        *,
        content_type: str = JSON,
        token: str = "admintok",
        **headers: str,
    ) -> Response:
        found = request_of(method, address, None, None, content_type if body else "", headers)
        found.headers = {**found.headers, "authorization": f"Bearer {token}"} if token else found.headers
        found.body = body
        return await server.handle(found)

    return ask
