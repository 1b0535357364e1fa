"""A simulated disk under the store: it loses what was not synced, tears the last write by sectors, refuses, and fills up."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pilothouse.store.embedded.files import Files

SECTOR = 512


@dataclass
class Content:
    """A file: what a reader sees, and what the disk is sure to hold."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes]] = field(default_factory=list)  # since the last sync
    size: int = 0  # blocks that were paid for


class PowerLoss(Exception):
    """The machine went down: nothing more of this run happens."""


class SimDisk(Files):
    """`fail_at`: the number of the operation that fails, with `failure`, and every later one if `lasting`; PowerLoss is for
    ever. `capacity`: bytes the disk has. After `crash` it holds what a disk would, and everything works again."""

    room_bytes = 8 << 10

    def __init__(self, seed: int = 0, capacity: int = 1 << 40) -> None:
        self.random = random.Random(seed)
        self.capacity = capacity
        self.names_now: dict[str, Content] = {}
        self.names_synced: dict[str, Content] = {}
        self.operations = 0
        self.fail_at = 0
        self.failure: int = errno.EIO
        self.lasting = False
        self.power_loss = False
        self.down = False
        self._open: dict[int, Content] = {}
        self._next = 1000

    def _step(self) -> None:
        if self.down:
            raise PowerLoss
        self.operations += 1
        if self.fail_at and (self.operations == self.fail_at or (self.lasting and self.operations > self.fail_at)):
            if self.power_loss:
                self.down = True
                raise PowerLoss
            raise OSError(self.failure, os.strerror(self.failure))

    @property
    def used(self) -> int:
        return sum(content.size for content in {id(c): c for c in self.names_now.values()}.values())

    def _take(self, content: Content, size: int) -> None:
        if size > content.size:
            if self.used + size - content.size > self.capacity:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            content.size = size

    def make_directory(self, path: Path) -> None:
        self._step()

    def names(self, path: Path) -> list[str]:
        self._step()
        return list(self.names_now)

    def lock(self, path: Path) -> int:
        return 1

    def _handle(self, content: Content) -> int:
        self._next += 1
        self._open[self._next] = content
        return self._next

    def create(self, path: Path) -> int:
        self._step()
        content = self.names_now[path.name] = Content()
        return self._handle(content)

    def open(self, path: Path) -> int:
        self._step()
        return self._handle(self.names_now[path.name])

    def close(self, file: int) -> None:
        self._open.pop(file, None)

    def size(self, file: int) -> int:
        return len(self._open[file].data)

    def read(self, file: int, at: int, size: int) -> bytes:
        self._step()
        return bytes(self._open[file].data[at : at + size])

    def write(self, file: int, data: bytes, at: int) -> None:
        content = self._open[file]
        self._take(content, at + len(data))
        try:
            self._step()
        except (OSError, PowerLoss):
            # Some of it may have gone through.
            data = data[: self.random.randrange(len(data) + 1)]
            self._put(content, at, data)
            raise
        self._put(content, at, data)

    @staticmethod
    def _put(content: Content, at: int, data: bytes) -> None:
        if len(content.data) < at + len(data):
            content.data.extend(bytes(at + len(data) - len(content.data)))
        content.data[at : at + len(data)] = data
        content.writes.append((at, bytes(data)))

    def append(self, file: int, parts: Sequence[bytes], at: int) -> None:
        self.write(file, b"".join(parts), at)
        self.sync(file)

    def reserve(self, file: int, at: int, size: int) -> None:
        self._step()
        content = self._open[file]
        self._take(content, at + size)
        if len(content.data) < at + size:
            content.data.extend(bytes(at + size - len(content.data)))

    def truncate(self, file: int, size: int) -> None:
        self._step()
        content = self._open[file]
        del content.data[size:]
        content.writes = [(at, written[: size - at]) for at, written in content.writes if at < size]
        content.size = size

    def sync(self, file: int) -> None:
        content = self._open[file]
        try:
            self._step()
        except OSError:
            content.writes.clear()  # as Linux does it: what could not be written is forgotten, the next sync succeeds
            raise
        del content.synced[len(content.data) :]
        content.synced.extend(bytes(len(content.data) - len(content.synced)))
        for at, written in content.writes:
            content.synced[at : at + len(written)] = written
        content.writes.clear()

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        self.names_now[new.name] = self.names_now.pop(old.name)

    def unlink(self, path: Path) -> None:
        self._step()
        del self.names_now[path.name]

    def sync_directory(self, path: Path) -> None:
        self._step()
        self.names_synced = dict(self.names_now)

    def crash(self) -> None:
        """What is left after the power went: all that was synced, and of the rest what chance will have."""
        names = self.names_now if self.random.random() < 0.5 else self.names_synced
        self.names_now = {}
        for name, content in names.items():
            data = bytearray(content.synced)
            for at, written in content.writes:
                for begin in range(at - at % SECTOR, at + len(written), SECTOR):
                    if self.random.random() < 0.5:
                        continue
                    low, high = max(at, begin), min(at + len(written), begin + SECTOR)
                    if len(data) < high:
                        data.extend(bytes(high - len(data)))
                    data[low:high] = written[low - at : high - at]
            self.names_now[name] = Content(data, bytearray(data), [], max(content.size, len(data)))
        self.names_synced = dict(self.names_now)
        self.fail_at, self.down = 0, False
        self._open.clear()
