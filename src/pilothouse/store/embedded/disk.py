"""`Disk`: the data directory. A log that every commit is appended to, and now and then a snapshot that replaces what came before.

Files: `lock`; `log-<generation>`; `snapshot-<generation>`, which holds everything before the log of that generation.
All methods block: the engine calls them on a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from pilothouse.store.embedded import frames, records
from pilothouse.store.interface import Corrupt, InUse, Unavailable

_ROOM = 4 << 20  # set aside at a time: a sync of overwritten room costs half of one that grows the file


def open_failed(path: Path, error: OSError) -> Unavailable:
    """What to tell the one who asked for `path`."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Unavailable(f"no permission to write {path}; change its owner or choose another data directory")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"no space left for {path}; free some space on that disk and start again")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return Unavailable(f"{path} is not a directory; choose another data directory")
    return Unavailable(f"cannot use {path}: {error.strerror}; repair the disk and start again")


def damaged(path: Path, what: object) -> Corrupt:
    return Corrupt(f"the store's file {path} is damaged: {what}; restore a snapshot with `pilothouse snapshot restore`")


class Disk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.snapshot_bytes = 0
        self._earlier_bytes = 0  # of the logs since the snapshot, without the one that is written to
        self._lock = -1
        self._log = -1
        self._at = 0
        self._room = 0
        self._generation = 0
        self._sequence = 0

    @property
    def log_bytes(self) -> int:
        """Of all logs since the snapshot."""
        return self._earlier_bytes + self._at

    def open(self, loader: records.Loader) -> None:
        """Locks the directory and gives `loader` all that it holds. Raises InUse, Corrupt, Unavailable."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            try:
                self._load(loader)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise open_failed(self.path, error) from None

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise InUse(
                f"the data directory {self.path} is in use by process {pid}; stop that one or choose another directory"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def _load(self, loader: records.Loader) -> None:
        logs, snapshots = self._generations("log-"), self._generations("snapshot-")
        if not logs and not snapshots:
            self._log = self._create_log(0, 1)
            self._sequence = 1
            return
        base = max(snapshots, default=0)
        wanted = set(range(base, max(logs, default=base) + 1))
        for missing in sorted(wanted - logs):
            raise damaged(self._file("log-", missing), "it is missing")
        if not snapshots and 0 not in logs:
            raise damaged(self._file("snapshot-", min(logs)), "it is missing")
        expected = self._load_snapshot(base, loader) if snapshots else 1
        for generation in sorted(wanted):
            expected = self._load_log(generation, expected, loader, last=generation == max(wanted))
        self._sequence = expected
        self._delete_before(base)

    def _generations(self, prefix: str) -> set[int]:
        found = set()
        for entry in os.scandir(self.path):
            if entry.name.endswith(".new"):
                os.unlink(entry.path)  # was never completed
            elif entry.name.startswith(prefix) and entry.name[len(prefix) :].isdecimal():
                found.add(int(entry.name[len(prefix) :]))
        return found

    def _file(self, prefix: str, generation: int) -> Path:
        return self.path / f"{prefix}{generation:08d}"

    def _load_snapshot(self, generation: int, loader: records.Loader) -> int:
        path = self._file("snapshot-", generation)
        data = path.read_bytes()
        self.snapshot_bytes = len(data)
        try:
            first = frames.read_file_header(data, frames.SNAPSHOT, generation)
            ended = 0
            for payload, _ in frames.frames(data, 1, tearable=False):
                ended = records.decode(payload, loader)
            if not ended:
                raise frames.Damaged("its end is missing")
        except (frames.Damaged, records.BadRecord) as error:
            raise damaged(path, error) from None
        return first

    def _load_log(self, generation: int, expected: int, loader: records.Loader, *, last: bool) -> int:
        path = self._file("log-", generation)
        data = path.read_bytes()
        end, sequence = frames.FILE_HEADER_SIZE, expected
        try:
            if frames.read_file_header(data, frames.LOG, generation) != expected:
                raise frames.Damaged("records before it are missing")
            for payload, end in frames.frames(data, expected, tearable=last):  # noqa: B007
                records.decode(payload, loader)
                sequence += 1
        except (frames.Damaged, records.BadRecord) as error:
            raise damaged(path, error) from None
        if not last:
            self._earlier_bytes += end
        else:
            self._log = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            self._generation, self._at, self._room = generation, end, len(data)
            if data[end:].strip(b"\0"):  # a torn last write, which nobody was told of: leave only zeros behind the end
                os.ftruncate(self._log, end)
                self._room = end
                self._set_room_aside(0)
        return sequence

    def _create_log(self, generation: int, first: int) -> int:
        final = self._file("log-", generation)
        new = final.with_suffix(".new")
        log = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            header = frames.file_header(frames.LOG, generation, first)
            self._write(log, header, 0)
            os.posix_fallocate(log, 0, _ROOM)
            os.fsync(log)
            os.rename(new, final)
            self._sync_directory()
        except BaseException:
            os.close(log)
            raise
        self._generation, self._at, self._room = generation, len(header), _ROOM
        return log

    def _sync_directory(self) -> None:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _set_room_aside(self, needed: int) -> None:
        size = max(_ROOM, needed)
        os.posix_fallocate(self._log, self._room, size)
        self._room += size
        os.fsync(self._log)

    @staticmethod
    def _write(file: int, data: bytes, at: int) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(file, rest, at)
            rest, at = rest[written:], at + written

    def append(self, payload: bytes) -> None:
        """Returns once `payload` is on the disk. After an OSError nothing may be appended any more: what is on the disk
        is unknown until it is read again."""
        data = frames.frame(payload, self._sequence)
        if self._at + len(data) > self._room:
            self._set_room_aside(len(data))
        self._write(self._log, data, self._at)
        os.fdatasync(self._log)
        self._at += len(data)
        self._sequence += 1

    def rotate(self) -> SnapshotFile:
        """Begins the next log. Returns the snapshot that must hold everything appended before it."""
        done = self._log
        self._earlier_bytes = self.log_bytes
        self._log = self._create_log(self._generation + 1, self._sequence)
        os.close(done)
        return SnapshotFile(self._file("snapshot-", self._generation), self._generation, self._sequence, self._adopt)

    def _adopt(self, file: SnapshotFile) -> None:
        self._sync_directory()
        self.snapshot_bytes = file.size
        self._earlier_bytes = 0
        self._delete_before(file.generation)

    def _delete_before(self, generation: int) -> None:
        for prefix in ("snapshot-", "log-"):
            for old in self._generations(prefix):
                if old < generation:
                    os.unlink(self._file(prefix, old))

    def close(self) -> None:
        for file in (self._log, self._lock):
            if file >= 0:
                os.close(file)
        self._log = self._lock = -1


class SnapshotFile:
    """A snapshot on its way: `add` payloads, then `finish`; before that it counts for nothing."""

    def __init__(self, path: Path, generation: int, first: int, adopt: Callable[[SnapshotFile], None]) -> None:
        self.generation = generation
        self.size = 0
        self._path, self._adopt = path, adopt
        self._new = path.with_suffix(".new")
        self._frames = 0
        self._file = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._append(frames.file_header(frames.SNAPSHOT, generation, first))

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self.size += len(data)

    def add(self, payload: bytes) -> None:
        self._frames += 1
        self._append(frames.frame(payload, self._frames))

    def finish(self) -> None:
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1
        os.rename(self._new, self._path)
        self._adopt(self)

    def abandon(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._new.unlink(missing_ok=True)
