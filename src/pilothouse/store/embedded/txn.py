"""Transactions: etcd's rules for what a request may say, and how one is carried out on a `State`.

Source of the rules, their order and messages: etcd's v3rpc/key.go and etcdserver/txn (behaviour of 3.6).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from operator import eq, gt, lt, ne
from typing import Final

from pilothouse.store.embedded.records import CHANGES_OVERHEAD, DELETE_OVERHEAD, PUT_OVERHEAD
from pilothouse.store.embedded.state import State
from pilothouse.store.embedded.view import Answer, View, point
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
    RangeResult,
    Txn,
    TxnResult,
)

MAX_OPS = 128
MAX_REQUEST_BYTES = 3 << 19  # 1.5 MiB

_OPERATORS = {"=": eq, "!=": ne, ">": gt, "<": lt}
_PLACES: Final = {"value": 1, "create": 2, "mod": 3, "version": 4, "lease": 5}  # in a KeyValue
_Interval = tuple[bytes, bytes]


def judge(op: Op, state: State, max_ops: int = MAX_OPS, max_bytes: int = MAX_REQUEST_BYTES) -> tuple[int, int]:
    """(what etcd counts `op` as when it looks whether there is space, the most that it can take in the log), in one walk.
    Raises InvalidRequest for what etcd refuses whatever the store holds."""
    size, cost, log = _judge(op, state, max_ops)
    if type(op) is Txn:
        for branch in (op.success, op.failure):
            if len(branch) > 1 or (branch and type(branch[0]) is Txn):
                _check_intervals(branch)
    if size > max_bytes:
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
    size = len(key) + len(op.range_end)  # type: ignore[union-attr]
    if type(op) is Delete:
        return size, 0, CHANGES_OVERHEAD + sum(DELETE_OVERHEAD + len(name) for name in state.names(key, op.range_end))
    return size, 0, 0


def _judge_txn(op: Txn, state: State, max_ops: int) -> tuple[int, int, int]:
    ops = max(len(op.compare), len(op.success), len(op.failure))
    if ops > max_ops:
        raise InvalidRequest("etcdserver: too many operations in txn request")
    size = log = cost = 0
    for compare in op.compare:
        if not compare.key:
            raise InvalidRequest("etcdserver: key is not provided")
        value = compare.value
        size += len(compare.key) + len(compare.range_end) + (len(value) if type(value) is bytes else 8)
    for branch in (op.success, op.failure):
        needed = 0
        for inner in branch:
            inner_size, inner_cost, inner_log = _judge(inner, state, max_ops - ops)
            size += inner_size
            needed += inner_cost
            log += inner_log
        cost = max(cost, needed)
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


class Transaction:
    """Carries out one request. `events` is what it did, all of the revision after the present one."""

    __slots__ = ("_leases", "_next", "_path", "_paths", "_state", "events")

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
        ops = (op,)
        self._check(ops)
        return self._apply(ops)[0]

    @property
    def revision(self) -> int:
        return self._next if self.events else self._next - 1

    def _check(self, ops: Sequence[Op]) -> None:
        """What depends on the state. All compares, nested ones too, see the state before the transaction."""
        for op in ops:
            if isinstance(op, Put):
                if (op.ignore_value or op.ignore_lease) and op.key not in self._state.live:
                    raise InvalidRequest("etcdserver: key not found")
                self._check_lease(op)
            elif isinstance(op, Txn):
                holds = True
                for compare in op.compare:
                    if not self._holds(compare):
                        holds = False
                        break
                self._paths.append(holds)
                self._check(op.success if holds else op.failure)
            elif isinstance(op, Range) and op.revision > 0:
                self._state.check_revision(op.revision, self._state.applied)

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

    def _apply(self, ops: Sequence[Op]) -> list[OpResult]:
        results: list[OpResult] = []
        for op in ops:
            if isinstance(op, Put):
                results.append(self._put(op))
            elif isinstance(op, Range):
                results.append(self._range(op))
            elif isinstance(op, Delete):
                results.append(self._delete(op))
            else:
                holds = self._paths[self._path]
                self._path += 1
                responses = self._apply(op.success if holds else op.failure)
                results.append(TxnResult(holds, responses, self.revision))
        return results

    def _range(self, op: Range) -> RangeResult:
        if not op.range_end and op.revision <= 0:
            return point(op, self._state.live.get(op.key), self.revision)
        view = View(self._state, op.revision if op.revision > 0 else self._next - 1, op.key, op.range_end)
        view.follow()
        if op.revision > 0:
            view.set_back(self.events)
        found = Answer(op)
        while not (view.ended or op.count_only):
            found.add(view.take())
        found.order()
        return found.result(view.count(), self.revision)

    def _put(self, op: Put) -> PutResult:
        key, value, lease, revision = op.key, op.value, op.lease, self._next
        old = self._state.live.get(key)
        if old is None:
            kv = KeyValue(key, value, revision, revision, 1, lease)
        else:
            _, held, create, _, version, held_lease = old
            kv = KeyValue(
                key,
                held if op.ignore_value else value,
                create,
                revision,
                version + 1,
                held_lease if op.ignore_lease else lease,
            )
        self._state.set(kv, old)
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
    if kv is not None:
        found: int | bytes = kv[_PLACES[compare.target]]
    elif compare.target == "value":
        return False
    else:
        found = 0
    return bool(_OPERATORS[compare.op](found, compare.value))
