"""What a request may say, whatever the store holds: etcd's rules, their order and messages. Source: etcd's v3rpc/key.go
(behaviour of 3.6).
"""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.store.embedded.records import CHANGES_OVERHEAD, DELETE_OVERHEAD, PUT_OVERHEAD
from pilothouse.store.embedded.state import State
from pilothouse.store.interface import Delete, InvalidRequest, Op, Put, Txn, writes

MAX_OPS = 128
MAX_REQUEST_BYTES = 3 << 19  # 1.5 MiB

_Interval = tuple[bytes, bytes]


def judge(op: Op, state: State, max_ops: int = MAX_OPS, max_bytes: int = MAX_REQUEST_BYTES) -> tuple[int, int]:
    """(what etcd counts `op` as when it looks whether there is space, the most that it can take in the log), in one walk.
    Raises InvalidRequest for what etcd refuses whatever the store holds."""
    size, cost, log = _judge(op, state, max_ops)
    if type(op) is Txn:
        for branch in (op.success, op.failure):
            if len(branch) != 1 or type(branch[0]) is Txn:
                _check_intervals(branch)
    if size > max_bytes and writes(op):
        raise InvalidRequest("etcdserver: request is too large")
    return cost, log


def _judge(op: Op, state: State, max_ops: int) -> tuple[int, int, int]:
    """(the request's own size, and what `judge` answers)"""
    if type(op) is Txn:
        return _judge_txn(op, state, max_ops)
    key = op.key  # type: ignore[union-attr]
    if not key:
        raise InvalidRequest("etcdserver: key is not provided")
    if type(op) is Put:
        size = held = len(key) + len(op.value)
        if op.ignore_value:
            if op.value:
                raise InvalidRequest("etcdserver: value is provided")
            old = state.live.get(key)
            held += len(old.value) if old is not None else 0
        if op.ignore_lease and op.lease:
            raise InvalidRequest("etcdserver: lease is provided")
        return size, 256 + size, CHANGES_OVERHEAD + PUT_OVERHEAD + held
    range_end = op.range_end  # type: ignore[union-attr]
    size = len(key) + len(range_end)
    if type(op) is Delete:
        return size, 0, CHANGES_OVERHEAD + sum([DELETE_OVERHEAD + len(name) for name in state.names(key, range_end)])
    return size, 0, 0


def _judge_txn(op: Txn, state: State, max_ops: int) -> tuple[int, int, int]:
    ops = max(len(op.compare), len(op.success), len(op.failure))
    if ops > max_ops:
        raise InvalidRequest("etcdserver: too many operations in txn request")
    size = log = cost = 0
    for compare in op.compare:
        key, value = compare.key, compare.value
        if not key:
            raise InvalidRequest("etcdserver: key is not provided")
        size += len(key) + len(compare.range_end) + (len(value) if type(value) is bytes else 8)
    for branch in (op.success, op.failure):
        needed = 0
        for inner in branch:
            inner_size, inner_cost, inner_log = _judge(inner, state, max_ops - ops)
            size += inner_size
            needed += inner_cost
            log += inner_log
        if needed > cost:
            cost = needed
    return size, cost, log


def _check_intervals(ops: Sequence[Op]) -> tuple[set[bytes], list[_Interval]]:
    """A key may be put once in a transaction, and not be put and deleted, save in branches that exclude each other."""
    # As etcd does it, a range_end of "\0" is taken by its letter here, so that such a delete collides with nothing.
    deletes: list[_Interval] = [(op.key, op.range_end or op.key + b"\0") for op in ops if isinstance(op, Delete)]
    puts: set[bytes] = set()

    def add(key: bytes, besides: set[bytes] | None = None) -> None:
        if (key in puts and (besides is None or key not in besides)) or any(d[0] <= key < d[1] for d in deletes):
            raise InvalidRequest("etcdserver: duplicate key given in txn request")

    for op in ops:
        if isinstance(op, Txn):
            then_puts, then_deletes = _check_intervals(op.success)
            else_puts, else_deletes = _check_intervals(op.failure)
            for key in then_puts:
                add(key)
            puts |= then_puts
            for key in else_puts:
                add(key, then_puts)
            puts |= else_puts
            deletes += then_deletes
            deletes += else_deletes
    for op in ops:
        if isinstance(op, Put):
            add(op.key)
            puts.add(op.key)
    return puts, deletes
