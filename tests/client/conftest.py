"""The client's tests run against one server through each transport."""

import pytest
from fake_apiserver import FakeServer
from fake_wire import ADMIN, over_http

from pilothouse.client import Client, InProcess
from pilothouse.client.https import Https
from pilothouse.clock import RealClock


@pytest.fixture
async def server():
    return FakeServer(RealClock(seed=1))


@pytest.fixture(params=["in-process", "http"])
async def client(request, server):
    if request.param == "in-process":
        yield Client(InProcess(server.handle, ADMIN), server.clock)
        return
    async with over_http(server.handle) as url:
        client = Client(Https(url), server.clock)
        yield client
        await client.close()
