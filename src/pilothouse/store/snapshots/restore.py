"""Reads snapshots, ours and etcd's, and databases copied out of etcd's data directory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilothouse.store.bolt.reader import Damaged, Reader
from pilothouse.store.embedded.restore import restore as make_directory
from pilothouse.store.interface import StoreError, Version
from pilothouse.store.snapshots import schema

_DIGEST: Final = hashlib.sha256().digest_size
_SECTOR: Final = 512
_READ: Final = 1 << 20


class BadSnapshot(StoreError):
    """The file is no snapshot that could be restored; str() names it and says why."""


@dataclass(frozen=True, slots=True)
class Status:
    """As `etcdutl snapshot status` has it."""

    hash: int  # CRC-32C of all buckets
    revision: int
    total_keys: int  # that are there at the newest revision
    total_size: int  # bytes of the database
    version: str  # of the layout; empty where the database does not say


def inspect(path: Path) -> Status:
    """Reads all of it; blocks. Raises BadSnapshot."""
    import google_crc32c

    found = 0
    alive: set[bytes] = set()
    revision = 0
    with _Open(path) as db:
        for name in sorted(db.names):
            found = google_crc32c.extend(found, name)
            for key, value in db.bucket(name):
                found = google_crc32c.extend(google_crc32c.extend(found, key), value)
                if name == schema.KEY:
                    version = schema.version_of(key, value)
                    revision = version.kv.mod_revision
                    (alive.discard if version.deleted else alive.add)(version.kv.key)
        said = dict(db.bucket(schema.META_BUCKET)).get(b"storageVersion", b"")
        return Status(found, revision, len(alive), db.pages * db.page_bytes, said.decode("ascii", "replace"))


def restore(
    path: Path, directory: Path, *, check_hash: bool = True, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Makes the data directory of an embedded store of a snapshot; its revision. `check_hash`: the file must end with the right
    SHA-256 (a database that was copied out of a data directory has none). `progress` gets the number of versions so far. Blocks.
    Raises BadSnapshot, and Unavailable where there is a store already."""
    with _Open(path, check_hash) as db:
        if schema.KEY not in db.names or schema.META_BUCKET not in db.names:
            raise BadSnapshot(f"{path} is no snapshot of etcd: it has no keys")
        meta = dict(db.bucket(schema.META_BUCKET))
        revision = 1
        for name, _ in db.bucket(schema.KEY):
            revision = max(revision, int.from_bytes(name[:8], "big"))
        auth, users, roles = (dict(db.bucket(name)) for name in (schema.AUTH, schema.USERS, schema.ROLES))
        compacted = schema.compacted_of(meta)
        make_directory(
            directory,
            _versions(db, progress),
            revision=max(revision, compacted),
            compacted=compacted or -1,
            term=schema.uint_of(meta, b"term"),
            leases=list(schema.leases_of(dict(db.bucket(schema.LEASE)))),
            meta=schema.meta_of(dict(db.bucket(schema.ALARM)), auth, users, roles),
        )
        return max(revision, compacted)


def _versions(db: Reader, progress: Callable[[int], None]) -> Iterator[Version]:
    for count, (name, value) in enumerate(db.bucket(schema.KEY), 1):
        yield schema.version_of(name, value)
        if not count % 10_000:
            progress(count)


class _Open:
    """A Reader of a snapshot whose failures are BadSnapshot."""

    def __init__(self, path: Path, check_hash: bool = False) -> None:
        self._path = path
        try:
            size = path.stat().st_size
            hashed = size % _SECTOR == _DIGEST
            if check_hash:
                if not hashed:
                    raise BadSnapshot(
                        f"{path} has no checksum: it is cut off, or was copied from a data directory (then: --skip-hash-check)"
                    )
                _check(path, size - _DIGEST)
            self._reader = Reader(path, size - _DIGEST if hashed else size)
        except OSError as error:
            raise BadSnapshot(f"cannot read {path}: {error.strerror or error}") from None
        except Damaged as error:
            raise BadSnapshot(f"{path} is damaged: {error}") from None

    def __enter__(self) -> Reader:
        return self._reader.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._reader.__exit__(None, None, None)
        if isinstance(error, Damaged):
            raise BadSnapshot(f"{self._path} is damaged: {error}") from None
        if isinstance(error, schema.NotEtcds):
            raise BadSnapshot(f"{self._path} is no snapshot of etcd: {error}") from None


def _check(path: Path, size: int) -> None:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = size
        while left:
            block = file.read(min(_READ, left))
            if not block:
                raise BadSnapshot(f"{path} became shorter while it was read")
            digest.update(block)
            left -= len(block)
        said = file.read()
    if said != digest.digest():
        raise BadSnapshot(f"{path} is damaged: expected SHA-256 {said.hex()}, got {digest.hexdigest()}")
