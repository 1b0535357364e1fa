"""Requests carried out on a `State`, as etcd does it. Source: etcd's etcdserver/txn (behaviour of 3.6)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from operator import eq, gt, lt, ne
from typing import Final

from pilothouse.store.embedded.state import State
from pilothouse.store.embedded.view import Answer, View, point, wanted
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

_OPERATORS = {"=": eq, "!=": ne, ">": gt, "<": lt}
_PLACES: Final = {"value": 1, "create": 2, "mod": 3, "version": 4, "lease": 5}  # in a KeyValue


def carry_out(op: Op, state: State, leases: Container[int], events: list[Event]) -> OpResult:
    """Adds what it did to `events`, which are to be committed to `state` at once. Raises before anything is changed."""
    if type(op) is Put:
        if op.lease:
            _check_lease(op, leases)  # etcd looks at a lone put's lease first, and within a transaction last
        if op.ignore_value or op.ignore_lease:
            _check_held(op, state)
        return _put(op, state, events)
    if type(op) is Txn and len(op.compare) == len(op.success) == 1:
        write = op.success[0]
        # As the API server writes: this is what follows in less steps.
        if type(write) is Put and not (write.ignore_value or write.ignore_lease) and _holds(op.compare[0], state):
            if write.lease:
                _check_lease(write, leases)
            done = _put(write, state, events)
            return TxnResult(True, [done], done.revision)
    paths: list[bool] = []  # which way each transaction goes, outermost first, in order of appearance
    _check(op, state, leases, paths)
    return _carry_out(op, state, events, iter(paths))


def remove(keys: Iterable[bytes], state: State, events: list[Event]) -> None:
    """Those there are of them."""
    events += [event for key in keys if (event := state.remove(key)) is not None]


def _check(op: Op, state: State, leases: Container[int], paths: list[bool]) -> None:
    """What depends on the state. All compares, nested ones too, see the state before the transaction."""
    if type(op) is Put:
        if op.ignore_value or op.ignore_lease:
            _check_held(op, state)
        if op.lease:
            _check_lease(op, leases)
    elif type(op) is Range:
        if op.revision:  # alone it is the present if negative, here not
            state.check_revision(op.revision, state.applied)
    elif type(op) is Txn:
        holds = True
        for compare in op.compare:
            if not _holds(compare, state):
                holds = False
                break
        paths.append(holds)
        for inner in op.success if holds else op.failure:
            _check(inner, state, leases, paths)


def _check_held(op: Put, state: State) -> None:
    if op.key not in state.live:
        raise InvalidRequest("etcdserver: key not found")


def _check_lease(op: Put, leases: Container[int]) -> None:
    if op.lease not in leases:
        raise LeaseNotFound


def _holds(compare: Compare, state: State) -> bool:
    live = state.live
    if not compare.range_end:
        kv = live.get(compare.key)
        if compare.target == "mod" and compare.op == "=":  # mostly
            return (kv[3] if kv is not None else 0) == compare.value
        return _compare(compare, kv)
    keys = list(state.names(compare.key, compare.range_end))
    if not keys:
        return _compare(compare, None)
    return all(_compare(compare, live[key]) for key in keys)


def _compare(compare: Compare, kv: KeyValue | None) -> bool:
    if kv is not None:
        found: int | bytes = kv[_PLACES[compare.target]]
    elif compare.target == "value":
        return False
    else:
        found = 0
    return bool(_OPERATORS[compare.op](found, compare.value))


def _carry_out(op: Op, state: State, events: list[Event], paths: Iterator[bool]) -> OpResult:
    if type(op) is Put:
        return _put(op, state, events)
    if type(op) is Range:
        return _range(op, state, events)
    if type(op) is Delete:
        gone = state.remove_range(op.key, op.range_end)
        events += gone
        before = [kv for _, _, kv in gone if kv is not None] if op.prev_kv else []
        return DeleteResult(_revision(state, events), len(gone), before)
    assert type(op) is Txn
    holds = next(paths)
    responses = [_carry_out(inner, state, events, paths) for inner in (op.success if holds else op.failure)]
    return TxnResult(holds, responses, _revision(state, events))


def _revision(state: State, events: list[Event]) -> int:
    return state.applied + 1 if events else state.applied


def _put(op: Put, state: State, events: list[Event]) -> PutResult:
    value, lease = op.value, op.lease
    if op.ignore_value or op.ignore_lease:
        held = state.live[op.key]
        value, lease = held.value if op.ignore_value else value, held.lease if op.ignore_lease else lease
    event = state.put(op.key, value, lease)
    events.append(event)
    _, kv, prev = event
    return PutResult(kv[3], prev if op.prev_kv else None)


def _range(op: Range, state: State, events: list[Event]) -> RangeResult:
    revision = _revision(state, events)
    if not op.range_end and op.revision <= 0:
        return point(op, state.live.get(op.key), revision)
    view = View(state, op.revision if op.revision > 0 else state.applied, op.key, op.range_end)
    view.follow()
    if op.revision > 0:
        view.set_back(events)
    found, most = Answer(op), wanted(op)
    while most > 0 and not view.ended:
        kvs = view.take(most)
        most -= len(kvs)
        found.add(kvs)
    found.order()
    return found.result(view.count(), revision)
