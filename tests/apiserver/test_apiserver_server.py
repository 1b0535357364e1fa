"""`APIServer` as a whole: how it starts and stops."""

from __future__ import annotations

import asyncio

import pytest
from memory_store import MemoryStore

from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock


async def test_a_start_that_fails_leaves_no_task_behind(store: MemoryStore) -> None:
    server = APIServer(store, RealClock(), Config(enable_admission_plugins=("Unheard",)))
    with pytest.raises(ValueError, match="Unheard"):
        await server.start()
    assert asyncio.all_tasks() == {asyncio.current_task()}
