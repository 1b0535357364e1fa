"""Transactions: etcd's rules for what a request may say, and how one is carried out on a `State`.

Source of the rules, their order and messages: etcd's v3rpc/key.go and etcdserver/txn (behaviour of 3.6).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from operator import eq, gt, lt, ne

from pilothouse.store.embedded.records import CHANGES_OVERHEAD, DELETE_OVERHEAD, PUT_OVERHEAD
from pilothouse.store.embedded.state import State
from pilothouse.store.embedded.view import View, answer
from pilothouse.store.interface import (
    Compare,
    Delete,
    DeleteResult,
    Event,
    InvalidRequest,
    KeyValue,
    LeaseNotFound,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    Txn,
    TxnResult,
)

MAX_OPS = 128
MAX_REQUEST_BYTES = 3 << 19  # 1.5 MiB

_OPERATORS = {"=": eq, "!=": ne, ">": gt, "<": lt}
_Interval = tuple[bytes, bytes]


def check(op: Op, max_ops: int = MAX_OPS, max_bytes: int = MAX_REQUEST_BYTES) -> None:
    """Raises InvalidRequest for what etcd refuses whatever the store holds."""
    _check_op(op, max_ops)
    if isinstance(op, Txn):
        for branch in (op.success, op.failure):
            if len(branch) > 1 or (branch and isinstance(branch[0], Txn)):
                _check_intervals(branch)
    if _size(op) > max_bytes:
        raise InvalidRequest("etcdserver: request is too large")


def _size(op: Op) -> int:
    if isinstance(op, Put):
        return len(op.key) + len(op.value)
    if isinstance(op, Txn):
        compares = sum(
            len(c.key) + len(c.range_end) + (len(c.value) if isinstance(c.value, bytes) else 8) for c in op.compare
        )
        return compares + sum(map(_size, op.success)) + sum(map(_size, op.failure))
    return len(op.key) + len(op.range_end)


def _check_op(op: Op, max_ops: int) -> None:
    if isinstance(op, Txn):
        ops = max(len(op.compare), len(op.success), len(op.failure))
        if ops > max_ops:
            raise InvalidRequest("etcdserver: too many operations in txn request")
        for compare in op.compare:
            if not compare.key:
                raise InvalidRequest("etcdserver: key is not provided")
        for branch in (op.success, op.failure):
            for inner in branch:
                _check_op(inner, max_ops - ops)
        return
    if not op.key:
        raise InvalidRequest("etcdserver: key is not provided")
    if isinstance(op, Put):
        if op.ignore_value and op.value:
            raise InvalidRequest("etcdserver: value is provided")
        if op.ignore_lease and op.lease:
            raise InvalidRequest("etcdserver: lease is provided")


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


def quota_cost(op: Op) -> int:
    """What etcd counts `op` as when it looks whether there is space; 0: it needs none."""
    if isinstance(op, Put):
        return 256 + len(op.key) + len(op.value)
    if isinstance(op, Txn):
        return max(sum(map(quota_cost, op.success)), sum(map(quota_cost, op.failure)))
    return 0


def log_bytes(op: Op, state: State) -> int:
    """The most that `op` can take in the log."""
    if isinstance(op, Put):
        held = state.live.get(op.key) if op.ignore_value else None
        return CHANGES_OVERHEAD + PUT_OVERHEAD + len(op.key) + len(op.value if held is None else held.value)
    if isinstance(op, Delete):
        return CHANGES_OVERHEAD + sum(DELETE_OVERHEAD + len(key) for key in state.names(op.key, op.range_end))
    if isinstance(op, Txn):
        return sum(log_bytes(inner, state) for branch in (op.success, op.failure) for inner in branch)
    return 0


class Transaction:
    """Carries out one request. `events` is what it did, all of the revision after the present one."""

    def __init__(self, state: State, leases: Container[int]) -> None:
        self.events: list[Event] = []
        self._state, self._leases = state, leases
        self._next = state.applied + 1
        self._paths: list[bool] = []  # which way each transaction goes, outermost first, in order of appearance
        self._path = 0

    def run(self, op: Op) -> OpResult:
        """Raises before anything is changed."""
        if isinstance(op, Put):
            self._check_lease(op)  # etcd looks at a lone put's lease first, and within a transaction last
        self._check(op)
        return self._apply(op)

    @property
    def revision(self) -> int:
        return self._next if self.events else self._next - 1

    def _check(self, op: Op) -> None:
        """What depends on the state. All compares, nested ones too, see the state before the transaction."""
        state = self._state
        if isinstance(op, Txn):
            holds = all(self._holds(compare) for compare in op.compare)
            self._paths.append(holds)
            for inner in op.success if holds else op.failure:
                self._check(inner)
        elif isinstance(op, Put):
            if (op.ignore_value or op.ignore_lease) and op.key not in state.live:
                raise InvalidRequest("etcdserver: key not found")
            self._check_lease(op)
        elif isinstance(op, Range) and op.revision > 0:
            state.check_revision(op.revision, state.applied)

    def _check_lease(self, op: Put) -> None:
        if op.lease and op.lease not in self._leases:
            raise LeaseNotFound

    def _holds(self, compare: Compare) -> bool:
        live = self._state.live
        if not compare.range_end:
            return _compare(compare, live.get(compare.key))
        keys = list(self._state.names(compare.key, compare.range_end))
        if not keys:
            return _compare(compare, None)
        return all(_compare(compare, live[key]) for key in keys)

    def _apply(self, op: Op) -> OpResult:
        if isinstance(op, Put):
            return self._put(op)
        if isinstance(op, Range):
            view = View(self._state, op.revision if op.revision > 0 else self._next - 1, op.key, op.range_end)
            view.follow()
            if op.revision > 0:
                view.set_back(self.events)
            kvs: list[KeyValue] = []
            while not (view.ended or op.count_only):
                kvs += view.take()
            return answer(op, kvs, view.count(), self.revision)
        if isinstance(op, Delete):
            return self._delete(op)
        holds = self._paths[self._path]
        self._path += 1
        responses = [self._apply(inner) for inner in (op.success if holds else op.failure)]
        return TxnResult(holds, responses, self.revision)

    def _put(self, op: Put) -> PutResult:
        old = self._state.live.get(op.key)
        revision = self._next
        if old is None:
            kv = KeyValue(op.key, op.value, revision, revision, 1, op.lease)
        else:
            kv = KeyValue(
                op.key,
                old.value if op.ignore_value else op.value,
                old.create_revision,
                revision,
                old.version + 1,
                old.lease if op.ignore_lease else op.lease,
            )
        self._state.set(kv)
        self.events.append(Event("PUT", kv, old))
        return PutResult(revision, old if op.prev_kv else None)

    def _delete(self, op: Delete) -> DeleteResult:
        gone = self.remove(list(self._state.names(op.key, op.range_end)))
        return DeleteResult(self.revision, len(gone), gone if op.prev_kv else [])

    def remove(self, keys: list[bytes]) -> list[KeyValue]:
        gone = []
        for key in keys:
            old = self._state.remove(key)
            if old is not None:
                gone.append(old)
                self.events.append(Event("DELETE", KeyValue(key, b"", 0, self._next, 0), old))
        return gone


def _compare(compare: Compare, kv: KeyValue | None) -> bool:
    found: int | bytes
    if compare.target == "value":
        if kv is None:
            return False
        found = kv.value
    elif kv is None:
        found = 0
    elif compare.target == "version":
        found = kv.version
    elif compare.target == "create":
        found = kv.create_revision
    elif compare.target == "mod":
        found = kv.mod_revision
    else:
        found = kv.lease
    return bool(_OPERATORS[compare.op](found, compare.value))
