"""How large a write may be: what etcd would give to raft for it counts, not what the client sent.

Source: etcd's raft_internal.proto (InternalRaftRequest, RequestHeader) and v3_server.go (processInternalRaftRequestOnce).
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.store.etcd.context import Context
from pilothouse.store.interface import InvalidRequest, Op, writes
from pilothouse.store.wire.call import Call

_USER_BYTES_MOST: Final = 1 << 10  # of a header with the name of a user


class Proposals:
    def __init__(self, context: Context) -> None:
        self._guard = context.guard
        self._most = context.config.max_request_bytes
        # A request's number begins with the low 16 bits of the member's; fields 100 (the header) and 1 in it.
        self._id_bytes = 1 + _varint_bytes((context.header.member_id & 0xFFFF) << 48)
        self._near = self._most - _USER_BYTES_MOST

    def check_size(self, request: Any, operation: Op, call: Call) -> None:
        """Raises InvalidRequest for a write that is larger than `--max-request-bytes`."""
        size = request.ByteSize()
        if size <= self._near or not writes(operation):
            return
        header = self._id_bytes
        if self._guard.on and (caller := self._guard.caller(call)) is not None:
            header += _field_bytes(len(caller.user.encode())) + 1 + _varint_bytes(caller.revision)
        if 1 + _field_bytes(header) + _field_bytes(size) > self._most:
            raise InvalidRequest("etcdserver: request is too large")


def _field_bytes(size: int) -> int:
    return 1 + _varint_bytes(size) + size


def _varint_bytes(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)
