"""The file system as the store uses it. Tests put a simulated disk in its place that loses, tears and refuses."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PARTS_MOST: Final = os.sysconf("SC_IOV_MAX")  # that one call writes
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # what some file systems say


class Files:
    """Each call may raise OSError. A `write` writes all of its data."""

    room_bytes = 4 << 20  # set aside at a time: a sync of overwritten room costs half of one that grows the file

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self, path: Path) -> list[str]:
        return os.listdir(path)

    def lock(self, path: Path) -> int:
        """Raises BlockingIOError where another has it; str() of it is that one's process id, if known."""
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
            os.close(file)
            raise BlockingIOError(holder) from None
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        return file

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, file: int) -> None:
        os.close(file)

    def size(self, file: int) -> int:
        return os.fstat(file).st_size

    def read(self, file: int, at: int, size: int) -> bytes:
        """Less than `size` only at the end."""
        found = os.pread(file, size, at)
        while 0 < len(found) < size:
            more = os.pread(file, size - len(found), at + len(found))
            if not more:
                break
            found += more
        return found

    def write(self, file: int, data: bytes, at: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(file, rest, at)
            rest, at = rest[written:], at + written

    def append(self, file: int, parts: Sequence[bytes], at: int) -> None:
        """Writes `parts` one behind the other. Returns once they, and what is needed to find them, are on the disk."""
        size, written = sum(map(len, parts)), 0
        if len(parts) > _PARTS_MOST:
            parts = [b"".join(parts)]
        try:
            written = os.pwritev(file, parts, at, os.RWF_DSYNC)  # one call: each must wait for the interpreter again
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        if written < size:
            self.write(file, b"".join(parts)[written:], at + written)
            self.sync(file)

    def reserve(self, file: int, at: int, size: int) -> None:
        """Makes sure of the space; it reads as zeros."""
        try:
            os.posix_fallocate(file, at, size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            self.write(file, bytes(size), at)

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """Returns once the file's content, and what is needed to find it, is on the disk."""
        os.fdatasync(file)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def sync_directory(self, path: Path) -> None:
        """Returns once the names in it are on the disk."""
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
