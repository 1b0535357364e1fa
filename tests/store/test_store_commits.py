"""Group commit, and the thread it works on."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from simdisk import SimDisk

from pilothouse.clock import RealClock, VirtualClock
from pilothouse.store.embedded import open_store
from pilothouse.store.embedded.disk import _STRIDE_BYTES
from pilothouse.store.embedded.files import Files
from pilothouse.store.interface import Put, Range


class Slow(Files):
    """Holds each write until told."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.sizes: list[int] = []

    def append(self, file: int, parts: Sequence[bytes], at: int) -> None:
        self.go.wait(5)
        self.sizes.append(sum(map(len, parts)))
        super().append(file, parts, at)


async def test_writers_of_one_moment_share_a_write(tmp_path: Path) -> None:
    files = Slow()
    files.go.set()
    store = await open_store(tmp_path, RealClock(), files=files)
    await store.put(Put(b"first", b""))
    files.sizes.clear()
    await asyncio.gather(*(store.put(Put(b"k%d" % i, b"v" * 1000)) for i in range(50)))
    assert len(files.sizes) == 1 and files.sizes[0] > 50_000
    await store.close()


async def test_one_that_gives_up_leaves_the_others_waiting(tmp_path: Path) -> None:
    files = Slow()
    files.go.set()
    store = await open_store(tmp_path, RealClock(), files=files)
    await store.put(Put(b"first", b""))
    files.go.clear()
    writers = [asyncio.ensure_future(store.put(Put(b"k%d" % i, b""))) for i in range(3)]
    await asyncio.sleep(0.02)
    writers[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await writers[1]
    assert not writers[0].done() and (await store.range(Range(b"k1"))).count == 0
    files.go.set()
    assert [(await writers[i]).revision for i in (0, 2)] == [3, 5]
    assert (await store.range(Range(b"k1"))).count == 1  # it was on its way
    await store.close()


async def test_small_writes_touch_new_room_seldom(tmp_path: Path) -> None:
    files = Slow()
    files.go.set()
    store = await open_store(tmp_path, RealClock(), files=files)
    await store.put(Put(b"first", b""))
    files.sizes.clear()
    for i in range(200):
        await store.put(Put(b"k", b"%04d" % i * 200))
    wide = [size for size in files.sizes if size > 2_000]
    assert 1 < len(wide) <= 200 * 900 // _STRIDE_BYTES + 1 and max(wide) <= _STRIDE_BYTES
    await store.close()
    store = await open_store(tmp_path, RealClock())
    assert (await store.range(Range(b"k"))).kvs[0].version == 200
    await store.close()


def test_more_parts_than_one_call_writes(tmp_path: Path) -> None:
    """As the deletion of very many keys has."""
    files, path, parts = Files(), tmp_path / "a", [b"%d," % number for number in range(5_000)]
    file = files.create(path)
    files.append(file, parts, 3)
    files.close(file)
    assert path.read_bytes() == b"\0\0\0" + b"".join(parts)


async def test_a_file_system_that_lacks_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    synced: list[int] = []
    monkeypatch.setattr(os, "pwritev", lacking)
    monkeypatch.setattr(os, "posix_fallocate", lacking)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    store = await open_store(tmp_path, RealClock())
    before = len(synced)
    await store.put(Put(b"a", b"1"))
    assert len(synced) == before + 1
    await store.close()
    store = await open_store(tmp_path, RealClock())
    assert [kv.value for kv in (await store.range(Range(b"a"))).kvs] == [b"1"]
    await store.close()


def test_time_stands_still_while_the_disk_works() -> None:
    clock = VirtualClock()

    class Waiting(SimDisk):
        def append(self, file: int, parts: Sequence[bytes], at: int) -> None:
            threading.Event().wait(0.02)
            super().append(file, parts, at)

    async def main() -> None:
        store = await open_store(Path("/simulated"), clock, files=Waiting())
        alarm = asyncio.get_running_loop().call_later(3600, lambda: None)
        await store.put(Put(b"k", b""))
        assert clock.monotonic() == 0
        alarm.cancel()
        await store.close()

    clock.run(main())
