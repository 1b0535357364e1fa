"""`kill -9` at random points under load: what was acknowledged is there, and the revision never goes back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store
from pilothouse.store.interface import Range

_WRITER = """
import asyncio, sys
from pathlib import Path
from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store
from pilothouse.store.interface import Put

async def main():
    store = await open_store(Path(sys.argv[1]), RealClock())
    start = int(sys.argv[2])
    async def write(lane):
        for i in range(10**9):
            name = b"%d-%d-%d" % (start, lane, i)
            result = await store.put(Put(name, name))
            if i % 20 == 19 and lane == 0:
                await store.compact(result.revision - 5)
                await store.defragment()
            sys.stdout.write(f"{name.decode()} {result.revision}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write(lane) for lane in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(300, marks=pytest.mark.slow)])
async def test_acknowledged_writes_survive(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "store"
    chance = random.Random(7)
    acknowledged: dict[bytes, int] = {}
    last = 0
    for round_ in range(rounds):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path), str(round_)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        for line in lines:
            if line.endswith(b"\n"):
                name, revision = line.split()
                acknowledged[name] = int(revision)
        assert acknowledged
        store = await open_store(path, RealClock())
        held = {kv.key: kv.mod_revision for kv in (await store.range(Range(b"\0", b"\0"))).kvs}
        revision = await store.revision()
        await store.close()
        assert acknowledged.items() <= held.items()
        assert revision >= max(last, *acknowledged.values())
        last = revision
    assert len(acknowledged) > 40
