"""Makes a snapshot of a store that goes on: into an unnamed file first, because etcd's form begins with what is known last."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from pilothouse.store.bolt.writer import Writer
from pilothouse.store.embedded.export import database_entry
from pilothouse.store.interface import Maintained, Version
from pilothouse.store.snapshots import schema

MEMBER: Final = 1  # of a store that is no etcd member
_CHUNK: Final = 64 << 10
_SLICE: Final = 100  # versions: a millisecond's work


class Chunk(NamedTuple):
    blob: bytes
    left: int  # bytes of the database that are still to come


async def chunks(store: Maintained, directory: Path | None = None, member: int = MEMBER) -> AsyncIterator[Chunk]:
    """The snapshot from its beginning; the last chunk is its SHA-256. `directory` takes the unnamed file (default: the system's
    for such). Memory is bounded, and the disk's work is done in threads. Raises OSError, and the store's errors."""
    async with database(store, directory, member) as (file, size):
        digest = hashlib.sha256()
        left = size
        while left:
            blob = await asyncio.to_thread(file.read, _CHUNK)
            digest.update(blob)
            left -= len(blob)
            yield Chunk(blob, left)
        yield Chunk(digest.digest(), 0)


async def checksum(store: Maintained, member: int = MEMBER) -> int:
    """CRC-32C of all that the store's database holds, but for what changes by itself: what etcd's Hash answers with."""
    async with store.export() as export:
        buckets, found = schema.buckets_of(export, member), 0
        for name in schema.BUCKETS:
            if name != schema.KEY:
                kept = [entry for entry in sorted(buckets[name].items()) if (name, entry[0]) not in schema.NOT_HASHED]
                found = _extended(found, name, kept)
                continue
            found = _extended(found, name, ())
            async for some in export.versions:
                for at in range(0, len(some), _SLICE):
                    found = await asyncio.to_thread(_extended_by, found, some[at : at + _SLICE])
        return found


def _extended_by(found: int, versions: list[Version]) -> int:
    return _extended(found, b"", map(database_entry, versions))


def _extended(found: int, name: bytes, entries: Iterable[tuple[bytes, bytes]]) -> int:
    import google_crc32c

    found = google_crc32c.extend(found, name)
    for key, value in entries:
        found = google_crc32c.extend(google_crc32c.extend(found, key), value)
    return found


@asynccontextmanager
async def database(
    store: Maintained, directory: Path | None = None, member: int = MEMBER
) -> AsyncIterator[tuple[BinaryIO, int]]:
    """An unnamed file that holds the store's database, to be read from its beginning, and its size."""
    with tempfile.TemporaryFile(dir=directory) as file:
        size = await _write(store, file, member)
        file.seek(0)
        yield file, size


async def _write(store: Maintained, file: BinaryIO, member: int) -> int:
    async with store.export() as export:
        buckets = schema.buckets_of(export, member)
        pages = BytesIO()  # on their way to the file, so that only threads wait for the disk
        writer = Writer(pages)
        for name in schema.BUCKETS:
            writer.begin(name)
            if name == schema.KEY:
                async for some in export.versions:
                    for at in range(0, len(some), _SLICE):
                        _put(writer, some[at : at + _SLICE])
                        await asyncio.to_thread(_move, pages, file)
            else:
                for key, value in sorted(buckets[name].items()):
                    writer.put(key, value)
            await asyncio.to_thread(writer.end)
        return await asyncio.to_thread(_finish, writer, pages, file)


def _put(writer: Writer, versions: list[Version]) -> None:
    for version in versions:
        writer.put(*database_entry(version))


def _move(pages: BytesIO, file: BinaryIO) -> None:
    file.write(pages.getbuffer())
    pages.seek(0)
    pages.truncate()


def _finish(writer: Writer, pages: BytesIO, file: BinaryIO) -> int:
    metas, size = writer.finish()
    _move(pages, file)
    file.seek(0)
    file.write(metas)
    return size


class SnapshotFile:
    """`with SnapshotFile(path) as file: file.add(blob)`: FILE.part until it is whole and on disk, then FILE."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self.size = 0

    def __enter__(self) -> SnapshotFile:
        self._file = open(self._part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))
        return self

    def add(self, blob: bytes) -> None:
        self._file.write(blob)
        self.size += len(blob)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._part.replace(self._path)
        finally:
            self._file.close()
            self._part.unlink(missing_ok=True)


async def save(store: Maintained, path: Path) -> int:
    """Writes a snapshot to `path`; its size. Raises OSError, and the store's errors; then there is no such file."""
    with SnapshotFile(path) as file:
        async for chunk in chunks(store, path.parent):
            await asyncio.to_thread(file.add, chunk.blob)
    return file.size
