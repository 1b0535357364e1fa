"""The bytes of what the log and the snapshots hold. A payload is a row of records; integers are little-endian.

`KEY` is one key of a snapshot's base, `CHANGES` all that one revision did, `LEASE` and `REVOKE` set and remove a lease,
`COMPACT` says which revision is the oldest that can be read, `TERM` counts the starts, `META` is one of the facts beside the
keys. Each sets state rather than changing it, so that one which is read twice does no harm.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Protocol

from pilothouse.store.interface import Event, KeyValue

_KEY = struct.Struct("<BIIqqqqI")  # type, key length, value length, create, mod, version, lease, sub
_CHANGES = struct.Struct("<BqI")  # type, revision, number of events
_PUT = struct.Struct("<BIIqqq")  # type, key length, value length, create, version, lease
_LONE_PUT = struct.Struct("<BqIBIIqqq")  # of _CHANGES and _PUT
_DELETE = struct.Struct("<BI")
_LEASE = struct.Struct("<Bqqd")  # type, id, time to live, seconds left
_NUMBER = struct.Struct("<Bq")
_META = struct.Struct("<BIi")  # type, name length, value length or -1 where it was removed

KEY, CHANGES, PUT, DELETE, LEASE, REVOKE, COMPACT, END, TERM, META = range(1, 11)

PUT_OVERHEAD = _PUT.size  # what a change takes beside its key and value
CHANGES_OVERHEAD = _CHANGES.size
DELETE_OVERHEAD = _DELETE.size


new = tuple.__new__  # half of what a named tuple's own costs, for what is made by the million


class BadRecord(Exception):
    """A record that no version of this program wrote."""


class Loader(Protocol):
    """Takes what the records say, in order."""

    def load_keys(self, kvs: list[KeyValue], subs: list[int]) -> None:
        """`subs`: which change of its revision made each."""
        ...

    def load_changes(self, revision: int, kvs: list[KeyValue]) -> None:
        """All that the revision did; version 0 is a deletion."""
        ...

    def load_lease(self, lease: int, ttl_s: int, left_s: float) -> None: ...

    def load_revoke(self, lease: int) -> None: ...

    def load_compact(self, revision: int) -> None: ...

    def load_term(self, term: int) -> None: ...

    def load_meta(self, name: str, value: bytes | None) -> None: ...

    def load_end(self, revision: int) -> None:
        """All of a snapshot was given; it is of that revision."""
        ...


def encode_keys(versions: Iterable[tuple[KeyValue, int]]) -> bytes:
    """Each with which change of its revision made it."""
    parts: list[bytes] = []
    for (key, value, create, mod, version, lease), sub in versions:
        parts += (_KEY.pack(KEY, len(key), len(value), create, mod, version, lease, sub), key, value)
    return b"".join(parts)


def changes(revision: int, events: Sequence[Event]) -> Sequence[bytes]:
    """The record of all that a revision did, in parts: values are not copied."""
    if len(events) == 1 and events[0][0] == "PUT":
        key, value, create, _, version, lease = events[0][1]
        head = _LONE_PUT.pack(CHANGES, revision, 1, PUT, len(key), len(value), create, version, lease)
        return head, key, value
    parts = [_CHANGES.pack(CHANGES, revision, len(events))]
    for type_, (key, value, create, _, version, lease), _ in events:
        if type_ == "PUT":
            parts += (_PUT.pack(PUT, len(key), len(value), create, version, lease), key, value)
        else:
            parts += (_DELETE.pack(DELETE, len(key)), key)
    return parts


def encode_lease(lease: int, ttl_s: int, left_s: float) -> bytes:
    return _LEASE.pack(LEASE, lease, ttl_s, left_s)


def encode_revoke(lease: int) -> bytes:
    return _NUMBER.pack(REVOKE, lease)


def encode_compact(revision: int) -> bytes:
    return _NUMBER.pack(COMPACT, revision)


def encode_term(term: int) -> bytes:
    return _NUMBER.pack(TERM, term)


def encode_meta(name: str, value: bytes | None) -> bytes:
    raw = name.encode()
    return _META.pack(META, len(raw), -1 if value is None else len(value)) + raw + (value or b"")


def encode_end(revision: int) -> bytes:
    """The last record of a snapshot: without it the snapshot is not whole."""
    return _NUMBER.pack(END, revision)


def decode(payload: bytes, loader: Loader) -> bool:
    """Gives each record to `loader`. Returns whether the last was an END. Raises BadRecord."""
    at, length, ended = 0, len(payload), False
    try:
        while at < length:
            type_ = payload[at]
            if type_ == CHANGES:
                at = _decode_changes(payload, at, loader)
            elif type_ == KEY:
                at = _decode_keys(payload, at, loader)
            elif type_ == LEASE:
                loader.load_lease(*_LEASE.unpack_from(payload, at)[1:])
                at += _LEASE.size
            elif type_ in (REVOKE, COMPACT, END, TERM):
                number = _NUMBER.unpack_from(payload, at)[1]
                at += _NUMBER.size
                if type_ == REVOKE:
                    loader.load_revoke(number)
                elif type_ == COMPACT:
                    loader.load_compact(number)
                elif type_ == TERM:
                    loader.load_term(number)
                else:
                    loader.load_end(number)
                    ended = True
            elif type_ == META:
                at = _decode_meta(payload, at, loader)
            else:
                raise BadRecord(f"record type {type_}")
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BadRecord("a record is cut short") from None
    if at != length:
        raise BadRecord("a record is cut short")
    return ended


def _decode_meta(payload: bytes, at: int, loader: Loader) -> int:
    _, name_len, value_len = _META.unpack_from(payload, at)
    begin = at + _META.size
    middle = begin + name_len
    end = middle + max(0, value_len)
    loader.load_meta(payload[begin:middle].decode(), payload[middle:end] if value_len >= 0 else None)
    return int(end)


def _decode_keys(payload: bytes, at: int, loader: Loader) -> int:
    """All keys that follow each other."""
    length, size, unpack = len(payload), _KEY.size, _KEY.unpack_from
    kvs: list[KeyValue] = []
    subs: list[int] = []
    while at < length and payload[at] == KEY:
        _, key_len, value_len, create, mod, version, lease, sub = unpack(payload, at)
        at += size
        middle = at + key_len
        end = middle + value_len
        if create == mod:
            create = mod  # one object for both
        kvs.append(new(KeyValue, (payload[at:middle], payload[middle:end], create, mod, version, lease)))
        subs.append(sub)
        at = end
    loader.load_keys(kvs, subs)
    return at


def _decode_changes(payload: bytes, at: int, loader: Loader) -> int:
    _, revision, count = _CHANGES.unpack_from(payload, at)
    at += _CHANGES.size
    size, unpack = _PUT.size, _PUT.unpack_from
    kvs: list[KeyValue] = []
    for _ in range(count):
        if payload[at] == PUT:
            _, key_len, value_len, create, version, lease = unpack(payload, at)
            at += size
            middle = at + key_len
            end = middle + value_len
            if create == revision:
                create = revision  # one object for both
            kvs.append(new(KeyValue, (payload[at:middle], payload[middle:end], create, revision, version, lease)))
            at = end
        else:
            type_, key_len = _DELETE.unpack_from(payload, at)
            if type_ != DELETE:
                raise BadRecord(f"change type {type_}")
            at += _DELETE.size
            kvs.append(KeyValue(payload[at : at + key_len], b"", 0, revision, 0))
            at += key_len
    loader.load_changes(revision, kvs)
    return at
