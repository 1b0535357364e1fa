"""`Disk`: the data directory. A log that every commit is appended to, and now and then a snapshot that replaces what came before.

Files: `lock`; `log-<generation>`; `snapshot-<generation>`, which holds everything before the log of that generation.
All methods block: the engine calls them on a thread.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pilothouse.store.embedded import frames, records
from pilothouse.store.embedded.files import Files
from pilothouse.store.interface import Corrupt, InUse, Unavailable

FULL = (errno.ENOSPC, errno.EDQUOT)

_STRIDE_BYTES, _MOST_STRIDE_BYTES = 64 << 10, 512 << 10
_OLDER = "data.mdb"  # of before the log


def open_failed(path: Path, error: OSError) -> Unavailable:
    """What to tell the one who asked for `path`."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Unavailable(f"no permission to write {path}; change its owner or choose another data directory")
    if error.errno in FULL:
        return Unavailable(f"no space left for {path}; free some space on that disk and start again")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return Unavailable(f"{path} is not a directory; choose another data directory")
    return Unavailable(f"cannot use {path}: {error.strerror or error}; repair the disk and start again")


def damaged(path: Path, what: object) -> Corrupt:
    return Corrupt(f"the store's file {path} is damaged: {what}; restore a snapshot with `pilothouse snapshot restore`")


class Disk:
    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self.files = files or Files()
        self.snapshot_bytes = 0
        self.sequence = 0  # of the next frame; never goes back
        self._earlier_bytes = 0  # of the logs since the snapshot, without the one that is written to
        self._lock = -1
        self._log = -1
        self._at = 0
        self._written = 0  # up to where the log was written before, if only with zeros
        self._end = 0  # of the room set aside
        self._generation = 0

    @property
    def low_on_room(self) -> bool:
        """Whether more should be set aside ahead of need."""
        return self.room < self.files.room_bytes // 2

    @property
    def log_bytes(self) -> int:
        """Of all logs since the snapshot."""
        return self._earlier_bytes + self._at

    @property
    def room(self) -> int:
        """How many bytes can be appended without asking the file system for more."""
        return self._end - self._at

    def open(self, loader: records.Loader) -> None:
        """Locks the directory and gives `loader` all that it holds. Raises InUse, Corrupt, Unavailable."""
        try:
            self.files.make_directory(self.path)
            try:
                self._lock = self.files.lock(self.path / "lock")
            except BlockingIOError as error:
                raise InUse(
                    f"the data directory {self.path} is in use by process {error or 'unknown'}; "
                    "stop that one or choose another directory"
                ) from None
            try:
                self._load(loader)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise open_failed(self.path, error) from None

    def _load(self, loader: records.Loader) -> None:
        for name in self.files.names(self.path):
            if name.endswith(".new"):
                self.files.unlink(self.path / name)  # was never completed
        logs, snapshots = self._generations("log-"), self._generations("snapshot-")
        if not logs and not snapshots:
            if _OLDER in self.files.names(self.path):
                raise Unavailable(f"{self.path} was written by an older pilothouse; choose another data directory")
            self._log = self._create_log(0, 1)
            self.sequence = 1
            return
        base = max(snapshots, default=0)
        wanted = set(range(base, max(logs, default=base) + 1))
        for missing in sorted(wanted - logs):
            raise damaged(self._file("log-", missing), "it is missing")
        expected = self._load_snapshot(base, loader) if snapshots else 1
        for generation in sorted(wanted):
            expected = self._load_log(generation, expected, loader, last=generation == max(wanted))
        self.sequence = expected
        self.files.sync_directory(self.path)
        self._delete_before(base)

    def _generations(self, prefix: str) -> set[int]:
        names = self.files.names(self.path)
        return {int(n[len(prefix) :]) for n in names if n.startswith(prefix) and n[len(prefix) :].isdecimal()}

    def _file(self, prefix: str, generation: int) -> Path:
        return self.path / f"{prefix}{generation:08d}"

    def _source(self, file: int) -> frames.Source:
        return frames.Source(lambda at, size: self.files.read(file, at, size), self.files.size(file))

    def _load_snapshot(self, generation: int, loader: records.Loader) -> int:
        path = self._file("snapshot-", generation)
        file = self.files.open(path)
        try:
            source = self._source(file)
            self.snapshot_bytes = source.size
            first = frames.read_file_header(source, frames.SNAPSHOT, generation)
            ended = False
            for payload, _ in frames.frames(source, 1, tearable=False):
                ended = records.decode(payload, loader)
            if not ended:
                raise frames.Damaged("its end is missing")
        except (frames.Damaged, records.BadRecord) as error:
            raise damaged(path, error) from None
        finally:
            self.files.close(file)
        return first

    def _load_log(self, generation: int, expected: int, loader: records.Loader, *, last: bool) -> int:
        path = self._file("log-", generation)
        file = self.files.open(path)
        try:
            source = self._source(file)
            end, sequence, payload = frames.FILE_HEADER_SIZE, expected, b""
            if frames.read_file_header(source, frames.LOG, generation) != expected:
                raise frames.Damaged("records before it are missing")
            for payload, end in frames.frames(source, expected, tearable=last):  # noqa: B007
                records.decode(payload, loader)
                sequence += 1
            if not last:
                self._earlier_bytes += end
                return sequence
            self._generation, self._at, self._written, self._end = generation, end, end, source.size
            if source.read(end, source.size - end).strip(b"\0"):
                # A torn last write, which nobody was told of: leave only zeros behind the end.
                self.files.truncate(file, end)
                self._end = end
            if sequence > expected:
                # The last one may have come no further than the file system's memory.
                whole = frames.frame(payload, sequence - 1)
                self.files.write(file, whole, end - len(whole))
            self.files.sync(file)
            self._log, file = file, -1
        except (frames.Damaged, records.BadRecord) as error:
            raise damaged(path, error) from None
        finally:
            if file >= 0:
                self.files.close(file)
        return sequence

    def _create_log(self, generation: int, first: int) -> int:
        """On an OSError everything is as it was."""
        final = self._file("log-", generation)
        new = final.with_suffix(".new")
        log = self.files.create(new)
        try:
            header = frames.file_header(frames.LOG, generation, first)
            self.files.reserve(log, 0, self.files.room_bytes)
            self.files.write(log, header, 0)
            self.files.sync(log)
        except BaseException:
            self.files.close(log)
            self.files.unlink(new)
            raise
        try:
            self.files.rename(new, final)
            self.files.sync_directory(self.path)
        except OSError as error:
            # Whether it is there after a crash is unknown, so neither log may be written to.
            self.files.close(log)
            raise Unavailable(f"etcdserver: cannot write to {self.path}: {error.strerror or error}") from None
        self._generation, self._at, self._written = generation, len(header), len(header)
        self._end = self.files.room_bytes
        return log

    def set_room_aside(self, size: int) -> None:
        """Makes sure that `size` bytes can be appended, and some more. An OSError leaves everything as it was."""
        more = max(self.files.room_bytes, size - self.room)
        self.files.reserve(self._log, self._end, more)
        self._end += more

    def append(self, payload: Sequence[bytes]) -> None:
        """Returns once `payload`, which comes in parts, is on the disk. After an OSError nothing may be appended any more:
        what is on the disk is unknown until it is read again."""
        size = frames.OVERHEAD + sum(map(len, payload))
        if size > self.room:
            self.set_room_aside(size)
        parts = frames.parts(payload, self.sequence)
        end = self._at + size
        if end > self._written:
            # Where room is written to for the first time the file system writes, too: better once for many small frames.
            stride = min(max(_STRIDE_BYTES, 8 * size), _MOST_STRIDE_BYTES)
            self._written = max(end, min(self._at + stride, self._end))
            parts.append(bytes(self._written - end))
        self.files.append(self._log, parts, self._at)
        self._at = end
        self.sequence += 1

    def rotate(self) -> SnapshotFile:
        """Begins the next log. Returns the snapshot that must hold everything appended before it. An OSError leaves
        everything as it was; after Unavailable nothing may be appended any more."""
        before, done = self.log_bytes, self._log
        self._log = self._create_log(self._generation + 1, self.sequence)
        self._earlier_bytes = before
        self.files.close(done)
        path = self._file("snapshot-", self._generation)
        return SnapshotFile(self.files, path, self._generation, self.sequence, self._adopt)

    def _adopt(self, file: SnapshotFile) -> None:
        self.files.sync_directory(self.path)
        self.snapshot_bytes = file.size
        self._earlier_bytes = 0
        self._delete_before(file.generation)

    def _delete_before(self, generation: int) -> None:
        for prefix in ("snapshot-", "log-"):
            for old in self._generations(prefix):
                if old < generation:
                    self.files.unlink(self._file(prefix, old))

    def close(self) -> None:
        for file in (self._log, self._lock):
            if file >= 0:
                self.files.close(file)
        self._log = self._lock = -1


class SnapshotFile:
    """A snapshot on its way: `add` payloads, then `finish`; before that it counts for nothing."""

    def __init__(
        self, files: Files, path: Path, generation: int, first: int, adopt: Callable[[SnapshotFile], None]
    ) -> None:
        self.generation = generation
        self.size = 0
        self._files, self._path, self._adopt = files, path, adopt
        self._new = path.with_suffix(".new")
        self._frames = 0
        self._file = files.create(self._new)
        self._append(frames.file_header(frames.SNAPSHOT, generation, first))

    def _append(self, data: bytes) -> None:
        self._files.write(self._file, data, self.size)
        self.size += len(data)

    def add(self, payload: bytes) -> None:
        self._frames += 1
        self._append(frames.frame(payload, self._frames))

    def finish(self) -> None:
        self._files.sync(self._file)
        self._files.close(self._file)
        self._file = -1
        self._files.rename(self._new, self._path)
        self._adopt(self)

    def abandon(self) -> None:
        """Forgets a snapshot that was not finished."""
        if self._file >= 0:
            self._files.close(self._file)
            self._file = -1
            self._files.unlink(self._new)


def write_directory(path: Path, payloads: Iterable[bytes], files: Files | None = None) -> None:
    """Makes a data directory of a snapshot that holds `payloads`, the last of which ends with an END record. Raises
    Unavailable, also where there is one already."""
    files = files or Files()
    try:
        files.make_directory(path)
        if any(name.startswith(("log-", "snapshot-")) for name in files.names(path)):
            raise Unavailable(f"{path} holds a store already; choose another data directory")
        disk = Disk(path, files)
        snapshot = SnapshotFile(files, path / "snapshot-00000000", 0, 1, lambda _: None)
        try:
            for payload in payloads:
                snapshot.add(payload)
            snapshot.finish()
            files.close(disk._create_log(0, 1))  # last: without it the directory cannot be opened
        finally:
            snapshot.abandon()
    except OSError as error:
        raise open_failed(path, error) from None
