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
            name, value = b"%d-%d" % (lane, i % 100), b"%d-%d" % (start, i)
            result = await store.put(Put(name, value))
            if i % 20 == 19 and lane == 0:
                await store.compact(result.revision - 5)
                await store.defragment()
            sys.stdout.write(f"{name.decode()} {value.decode()} {result.revision}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write(lane) for lane in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(300, marks=pytest.mark.slow)])
async def test_acknowledged_writes_survive(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "store"
    chance = random.Random(7)
    acknowledged: dict[bytes, tuple[int, bytes]] = {}  # of each key the newest
    last = count = 0
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
                name, value, number = line.split()
                acknowledged[name] = int(number), value
                count += 1
        assert acknowledged
        store = await open_store(path, RealClock())
        held = {kv.key: (kv.mod_revision, kv.value) for kv in (await store.range(Range(b"\0", b"\0"))).kvs}
        revision = await store.revision()
        await store.close()
        for name, found in acknowledged.items():
            assert held[name] == found or held[name][0] > found[0]
        assert revision >= max(last, *(number for number, _ in acknowledged.values()))
        last = revision
    assert count > 40
