"""`APIServer` as a whole: how it starts and stops."""

from __future__ import annotations

import asyncio
import subprocess
import sys

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


def test_cel_is_not_imported_at_start() -> None:
    code = (
        "import sys, pilothouse.apiserver.server, pilothouse.apiserver.customresources.controller\n"
        "from importlib import import_module\n"
        "from pilothouse.apiserver import admission\n"
        "for _, place, _ in admission.PLUGINS: import_module('pilothouse.apiserver.admission.' + place.partition(':')[0])\n"
        "print(sorted(m for m in sys.modules if m.startswith(('pilothouse.api.cel', 'pilothouse.api.structural.schema'))))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
