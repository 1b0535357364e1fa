"""The answers of hot calls as protobuf bytes, without message objects in between (field numbers: `store.rpc.table`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pilothouse.store.interface import (
    DeleteResult,
    Event,
    KeyValue,
    OpResult,
    PutResult,
    RangeResult,
    TxnResult,
)

_TABLED: Final = 1 << 14  # what fits in two bytes
_MANY: Final = 1 << 28  # what fits in twice as many
_LOW: Final = _TABLED - 1
_VARINTS: Final = [
    *(bytes((value,)) for value in range(0x80)),
    *(bytes((value & 0x7F | 0x80, value >> 7)) for value in range(0x80, _TABLED)),
]
_LOWER: Final = [
    bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(_TABLED)
]  # 14 bits, and more follow


def varint(value: int) -> bytes:
    """Of an int64 or uint64."""
    if value < _TABLED:
        return _VARINTS[value] if value >= 0 else varint(value + (1 << 64))
    return _LOWER[value & _LOW] + varint(value >> 14)


def field(tag: bytes, data: bytes) -> bytes:
    """A field of bytes or a message."""
    size = len(data)
    return tag + (_VARINTS[size] if size < _TABLED else varint(size)) + data


class Header:
    """etcdserverpb.ResponseHeader. `field(revision)` is it as field 1 of a response."""

    def __init__(self, cluster_id: int, member_id: int, term: int) -> None:
        self.cluster_id, self.member_id, self.term = cluster_id, member_id, term
        self._before = b"\x08" + varint(cluster_id) + b"\x10" + varint(member_id) + b"\x18"
        self._after = b"\x20" + varint(term)
        self._last: tuple[int, bytes] = (-1, b"")

    def field(self, revision: int) -> bytes:
        known, found = self._last
        if known != revision:
            found = field(b"\x0a", self._before + varint(revision) + self._after)
            self._last = (revision, found)
        return found

    def message(self, revision: int) -> dict[str, int]:
        """The arguments of a ResponseHeader message."""
        return {
            "cluster_id": self.cluster_id, "member_id": self.member_id, "revision": revision, "raft_term": self.term,
        }  # fmt: skip


def _before_value(kv: KeyValue) -> bytes:
    """A mvccpb.KeyValue up to its value; zeros are left out."""
    key, value, create, mod, version, _ = kv
    parts = [b"\x0a", varint(len(key)), key]
    for tag, number in ((b"\x10", create), (b"\x18", mod), (b"\x20", version), (b"\x2a", len(value))):
        if number:
            parts += (tag, varint(number))
    return b"".join(parts)


def key_values(kvs: Iterable[KeyValue], tag: bytes = b"\x12") -> list[bytes]:
    """Each as a field, of a RangeResponse unless told otherwise: in four pieces, or five with a lease."""
    pieces: list[bytes] = []
    join, small, lower = b"".join, _VARINTS, _LOWER
    for kv in kvs:
        key, value, create, mod, version, lease = kv
        key_size, size = len(key), len(value)
        if 0 < create <= mod < _MANY and 0 < version < _TABLED and key_size < _TABLED and 0 < size < _TABLED:
            # as nearly all are: without a call
            created = small[create] if create < _TABLED else lower[create & _LOW] + small[create >> 14]
            modified = small[mod] if mod < _TABLED else lower[mod & _LOW] + small[mod >> 14]
            before = join(
                (
                    b"\x0a", small[key_size], key, b"\x10", created, b"\x18", modified, b"\x20", small[version],
                    b"\x2a", small[size],
                )
            )  # fmt: skip
        else:
            before = _before_value(kv)
        if lease:
            after = b"\x30" + varint(lease)
            pieces += (tag, varint(len(before) + size + len(after)), before, value, after)
        else:
            size += len(before)
            pieces += (tag, small[size] if size < _TABLED else varint(size), before, value)
    return pieces


def key_value(kv: KeyValue) -> bytes:
    """mvccpb.KeyValue."""
    return b"".join(key_values((kv,))[2:])


def range_fields(result: RangeResult) -> bytes:
    """A RangeResponse but for its header."""
    return b"".join((*key_values(result.kvs), range_end_fields(result)))


def range_end_fields(result: RangeResult) -> bytes:
    """What comes after the keys in a RangeResponse."""
    parts = []
    if result.more:
        parts.append(b"\x18\x01")
    if result.count:
        parts += (b"\x20", varint(result.count))
    return b"".join(parts)


def put_fields(result: PutResult) -> bytes:
    return b"" if result.prev_kv is None else field(b"\x12", key_value(result.prev_kv))


def delete_fields(result: DeleteResult) -> bytes:
    deleted = b"\x10" + varint(result.deleted) if result.deleted else b""
    return deleted + b"".join(key_values(result.prev_kvs, b"\x1a"))


def txn_fields(result: TxnResult) -> bytes:
    parts = [b"\x10\x01"] if result.succeeded else []
    parts += [field(b"\x1a", _response_op(response)) for response in result.responses]
    return b"".join(parts)


def _response_op(result: OpResult) -> bytes:
    """A ResponseOp. The header of what is inside a transaction holds the revision alone."""
    header = field(b"\x0a", b"\x18" + varint(result.revision))
    if isinstance(result, RangeResult):
        return field(b"\x0a", header + range_fields(result))
    if isinstance(result, PutResult):
        return field(b"\x12", header + put_fields(result))
    if isinstance(result, DeleteResult):
        return field(b"\x1a", header + delete_fields(result))
    return field(b"\x22", field(b"\x0a", b"") + txn_fields(result))


def event(found: Event) -> bytes:
    """mvccpb.Event."""
    kind, kv, prev = found
    parts: list[bytes] = [] if kind == "PUT" else [b"\x08\x01"]
    data = key_value(kv)
    parts += (b"\x12", varint(len(data)), data)
    if prev is not None:
        data = key_value(prev)
        parts += (b"\x1a", varint(len(data)), data)
    return b"".join(parts)


def events_fields(events: Sequence[Event]) -> list[bytes]:
    """Each as field 11 of a WatchResponse."""
    return [field(b"\x5a", event(found)) for found in events]
