"""What is on disk: an LMDB environment with every version of every key by revision, the leases, and how far it was compacted.

A commit is one LMDB transaction: copy-on-write pages, one sync, then the meta page. After a crash the environment opens as of the
last commit that was synced. Every record carries a CRC-32 of its key and content.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import lmdb

from pilothouse.store.interface import Corrupt, InUse, KeyValue, NoSpace, Unavailable

QUOTA_BYTES: Final = 8 << 30
_FORMAT: Final = b"pilothouse-store-1"
_PLACE: Final = struct.Struct(">QI")  # revision, place within it
_HEAD: Final = struct.Struct(">IBQQQI")  # crc, deleted, create revision, version, lease, length of the key
_LEASE: Final = struct.Struct(">QQ")  # crc, time to live


@dataclass(slots=True)
class Batch:
    """What one commit writes."""

    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    leases: dict[int, int | None] = field(default_factory=dict)  # id → time to live, or None: gone
    compacted: int = 0

    def put(self, revision: int, sub: int, key: bytes, kv: KeyValue | None) -> None:
        place = _PLACE.pack(revision, sub)
        if kv is None:
            body = _HEAD.pack(0, 1, 0, 0, 0, len(key))[4:] + key
        else:
            lease = kv.lease & 0xFFFFFFFFFFFFFFFF
            body = _HEAD.pack(0, 0, kv.create_revision, kv.version, lease, len(key))[4:] + key + kv.value
        self.records.append((place, struct.pack(">I", zlib.crc32(body, zlib.crc32(place))) + body))

    def drop(self, places: list[tuple[int, int]]) -> None:
        self.dropped += [_PLACE.pack(*place) for place in places]


class Disk:
    """Blocking: `commit` is for a worker thread."""

    def __init__(self, path: Path) -> None:
        """Raises InUse, Corrupt and Unavailable."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"cannot open the store in {path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise InUse(f"another process has the store in {path} open; stop it first") from None
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> None:
        try:
            self._environment = lmdb.open(
                str(self.path), map_size=QUOTA_BYTES, max_dbs=3, lock=False, readahead=False, max_readers=1
            )
            self._versions: Any = self._environment.open_db(b"versions")
            self._leases: Any = self._environment.open_db(b"leases")
            self._facts: Any = self._environment.open_db(b"facts")
            with self._environment.begin(write=True) as txn:
                found = txn.get(b"format", db=self._facts)
                if found is None:
                    txn.put(b"format", _FORMAT, db=self._facts)
        except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.PageNotFoundError) as error:
            raise self._corrupt(str(error)) from None
        except lmdb.Error as error:
            raise Unavailable(f"cannot open the store in {self.path}: {error}") from None
        if found not in (None, _FORMAT):
            raise self._corrupt(f"its format is {found[:40]!r}, not {_FORMAT.decode()}")

    def _corrupt(self, why: str) -> Corrupt:
        return Corrupt(
            f"the store {self.path / 'data.mdb'} is damaged ({why}); put a copy of the directory back, or delete the cluster"
        )

    def load(self) -> Iterator[tuple[int, int, bytes, KeyValue | None]]:
        """Every version, by revision. Raises Corrupt at the first record that does not hold."""
        try:
            with self._environment.begin(db=self._versions) as txn:
                for place, record in txn.cursor():
                    yield self._decode(place, record)
        except (lmdb.Error, struct.error) as error:
            raise self._corrupt(str(error)) from None

    def _decode(self, place: bytes, record: bytes) -> tuple[int, int, bytes, KeyValue | None]:
        crc, deleted, create, version, lease, length = _HEAD.unpack_from(record)
        revision, sub = _PLACE.unpack(place)
        if zlib.crc32(record[4:], zlib.crc32(place)) != crc:
            raise self._corrupt(f"the checksum of revision {revision} is wrong")
        key = record[_HEAD.size : _HEAD.size + length]
        if deleted:
            return revision, sub, key, None
        value = record[_HEAD.size + length :]
        return revision, sub, key, KeyValue(key, value, create, revision, version, lease)

    def leases(self) -> dict[int, int]:
        """Identity → time to live, seconds."""
        found = {}
        with self._environment.begin(db=self._leases) as txn:
            for identity, record in txn.cursor():
                crc, ttl_s = _LEASE.unpack(record)
                if zlib.crc32(identity + record[8:]) != crc:
                    raise self._corrupt("the checksum of a lease is wrong")
                found[int.from_bytes(identity, "big")] = ttl_s
        return found

    def numbers(self) -> tuple[int, int]:
        """(the last revision, the compacted one); (0, 0) in a new store."""
        with self._environment.begin(db=self._facts) as txn:
            last, compacted = txn.get(b"revision"), txn.get(b"compacted")
        return int.from_bytes(last or b"", "big"), int.from_bytes(compacted or b"", "big")

    def commit(self, batch: Batch) -> None:
        """Durable once it returns. Raises NoSpace and Unavailable; then nothing of it is on disk."""
        try:
            with self._environment.begin(write=True) as txn:
                if batch.records:
                    with txn.cursor(db=self._versions) as cursor:
                        cursor.putmulti(batch.records, append=True)
                    txn.put(b"revision", batch.records[-1][0][:8], db=self._facts)
                for place in batch.dropped:
                    txn.delete(place, db=self._versions)
                if batch.compacted:
                    txn.put(b"compacted", batch.compacted.to_bytes(8, "big"), db=self._facts)
                for identity, ttl_s in batch.leases.items():
                    name = identity.to_bytes(8, "big")
                    if ttl_s is None:
                        txn.delete(name, db=self._leases)
                    else:
                        number = ttl_s.to_bytes(8, "big")
                        txn.put(name, _LEASE.pack(zlib.crc32(name + number), ttl_s), db=self._leases)
        except lmdb.MapFullError:
            raise NoSpace from None
        except (lmdb.Error, OSError) as error:
            raise Unavailable(f"cannot write the store in {self.path}: {error}") from None

    def close(self) -> None:
        self._environment.close()
        os.close(self._lock)
