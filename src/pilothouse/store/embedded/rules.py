"""What etcd refuses before it looks at the state, with its messages.

Source: etcd's server/etcdserver/api/v3rpc/key.go and api/v3rpc/rpctypes/error.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilothouse.store.interface import Compare, Delete, InvalidRequest, Op, Put, Range, Txn

MAX_TXN_OPS: Final = 128
MAX_REQUEST_BYTES: Final = 1_572_864
_NO_KEY: Final = "etcdserver: key is not provided"
_DUPLICATE: Final = "etcdserver: duplicate key given in txn request"


def check(op: Op) -> None:
    """Raises InvalidRequest."""
    _check(op)
    if _size(op) > MAX_REQUEST_BYTES:
        raise InvalidRequest("etcdserver: request is too large")


def _check(op: Op) -> None:
    if isinstance(op, Txn):
        if max(len(op.compare), len(op.success), len(op.failure)) > MAX_TXN_OPS:
            raise InvalidRequest("etcdserver: too many operations in txn request")
        for compare in op.compare:
            if not compare.key:
                raise InvalidRequest(_NO_KEY)
        for branch in (op.success, op.failure):
            for inner in branch:
                _check(inner)
            _writes(branch)
    elif not op.key:
        raise InvalidRequest(_NO_KEY)
    elif isinstance(op, Put):
        if op.ignore_value and op.value:
            raise InvalidRequest("etcdserver: value is provided")
        if op.ignore_lease and op.lease:
            raise InvalidRequest("etcdserver: lease is provided")


def _writes(ops: Sequence[Op]) -> tuple[set[bytes], list[tuple[bytes, bytes]]]:
    """The keys put and the ranges deleted by a branch. Raises where a key is written twice (etcd's checkIntervals)."""
    puts: set[bytes] = set()
    deletes: list[tuple[bytes, bytes]] = [
        (op.key, op.range_end or op.key + b"\0") for op in ops if isinstance(op, Delete)
    ]
    for op in ops:
        if not isinstance(op, Txn):
            continue
        merged: set[bytes] = set()
        inner_deletes: list[tuple[bytes, bytes]] = []
        for branch in (op.success, op.failure):
            more, ranges = _writes(branch)
            merged |= more
            inner_deletes += ranges
        if merged & puts or any(_inside(key, deletes) for key in merged):
            raise InvalidRequest(_DUPLICATE)
        if any(_inside(key, inner_deletes) for key in puts):
            raise InvalidRequest(_DUPLICATE)
        puts |= merged
        deletes += inner_deletes
    for op in ops:
        if isinstance(op, Put):
            if op.key in puts or _inside(op.key, deletes):
                raise InvalidRequest(_DUPLICATE)
            puts.add(op.key)
    return puts, deletes


def _inside(key: bytes, ranges: list[tuple[bytes, bytes]]) -> bool:
    return any(first <= key and (end == b"\0" or key < end) for first, end in ranges)


def _size(op: Op | Compare) -> int:
    if isinstance(op, Txn):
        return sum(_size(x) for part in (op.compare, op.success, op.failure) for x in part)
    if isinstance(op, Put):
        return len(op.key) + len(op.value)
    if isinstance(op, (Range, Delete)):
        return len(op.key) + len(op.range_end)
    return len(op.key) + (len(op.value) if isinstance(op.value, bytes) else 8)
