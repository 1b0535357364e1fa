"""The bytes of what the log and the snapshots hold. A payload is a row of records; integers are little-endian.

`KEY` is one key of a snapshot's base, `CHANGES` all that one revision did, `LEASE` and `REVOKE` set and remove a lease,
`COMPACT` says which revision is the oldest that can be read. Each sets state rather than changing it, so a lease or
compaction that is read twice does no harm.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Protocol

from pilothouse.store.interface import Event, KeyValue

_KEY = struct.Struct("<BIIqqqq")  # type, key length, value length, create, mod, version, lease
_CHANGES = struct.Struct("<BqI")  # type, revision, number of events
_PUT = struct.Struct("<BIIqqq")  # type, key length, value length, create, version, lease
_DELETE = struct.Struct("<BI")
_LEASE = struct.Struct("<Bqqd")  # type, id, time to live, seconds left
_NUMBER = struct.Struct("<Bq")

KEY, CHANGES, PUT, DELETE, LEASE, REVOKE, COMPACT, END = range(1, 9)


class BadRecord(Exception):
    """A record that no version of this program wrote."""


class Loader(Protocol):
    """Takes what the records say, in order."""

    def load_key(self, kv: KeyValue) -> None: ...

    def load_put(self, revision: int, kv: KeyValue) -> None: ...

    def load_delete(self, revision: int, key: bytes) -> None: ...

    def load_revision(self, revision: int) -> None:
        """All changes of the revision were given."""
        ...

    def load_lease(self, lease: int, ttl_s: int, left_s: float) -> None: ...

    def load_revoke(self, lease: int) -> None: ...

    def load_compact(self, revision: int) -> None: ...


def encode_keys(kvs: Iterable[KeyValue]) -> bytes:
    parts: list[bytes] = []
    for key, value, create, mod, version, lease in kvs:
        parts += (_KEY.pack(KEY, len(key), len(value), create, mod, version, lease), key, value)
    return b"".join(parts)


def encode_changes(revision: int, events: list[Event]) -> bytes:
    parts = [_CHANGES.pack(CHANGES, revision, len(events))]
    for type_, (key, value, create, _, version, lease), _ in events:
        if type_ == "PUT":
            parts += (_PUT.pack(PUT, len(key), len(value), create, version, lease), key, value)
        else:
            parts += (_DELETE.pack(DELETE, len(key)), key)
    return b"".join(parts)


def encode_lease(lease: int, ttl_s: int, left_s: float) -> bytes:
    return _LEASE.pack(LEASE, lease, ttl_s, left_s)


def encode_revoke(lease: int) -> bytes:
    return _NUMBER.pack(REVOKE, lease)


def encode_compact(revision: int) -> bytes:
    return _NUMBER.pack(COMPACT, revision)


def encode_end(revision: int) -> bytes:
    """The last record of a snapshot: without it the snapshot is not whole."""
    return _NUMBER.pack(END, revision)


def decode(payload: bytes, loader: Loader) -> int:
    """Gives each record to `loader`. Returns the revision of an END record, or 0. Raises BadRecord."""
    at, length, ended = 0, len(payload), 0
    try:
        while at < length:
            type_ = payload[at]
            if type_ == CHANGES:
                at = _decode_changes(payload, at, loader)
            elif type_ == KEY:
                _, key_len, value_len, create, mod, version, lease = _KEY.unpack_from(payload, at)
                middle = at + _KEY.size + key_len
                kv = KeyValue(
                    payload[at + _KEY.size : middle], payload[middle : middle + value_len], create, mod, version, lease
                )
                at = middle + value_len
                loader.load_key(kv)
            elif type_ == LEASE:
                loader.load_lease(*_LEASE.unpack_from(payload, at)[1:])
                at += _LEASE.size
            elif type_ in (REVOKE, COMPACT, END):
                number = _NUMBER.unpack_from(payload, at)[1]
                at += _NUMBER.size
                if type_ == REVOKE:
                    loader.load_revoke(number)
                elif type_ == COMPACT:
                    loader.load_compact(number)
                else:
                    ended = number
            else:
                raise BadRecord(f"record type {type_}")
    except struct.error:
        raise BadRecord("a record is cut short") from None
    if at != length:
        raise BadRecord("a record is cut short")
    return ended


def _decode_changes(payload: bytes, at: int, loader: Loader) -> int:
    _, revision, count = _CHANGES.unpack_from(payload, at)
    at += _CHANGES.size
    for _ in range(count):
        if payload[at : at + 1] == b"\x03":
            _, key_len, value_len, create, version, lease = _PUT.unpack_from(payload, at)
            at += _PUT.size
            middle = at + key_len
            kv = KeyValue(payload[at:middle], payload[middle : middle + value_len], create, revision, version, lease)
            at = middle + value_len
            loader.load_put(revision, kv)
        else:
            type_, key_len = _DELETE.unpack_from(payload, at)
            if type_ != DELETE:
                raise BadRecord(f"change type {type_}")
            at += _DELETE.size
            loader.load_delete(revision, payload[at : at + key_len])
            at += key_len
    loader.load_revision(revision)
    return at
