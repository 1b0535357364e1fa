"""etcd's request messages as the store's operations."""

from __future__ import annotations

from typing import Any, Final, Literal

from pilothouse.store.interface import Compare, Delete, InvalidRequest, Op, Put, Range, Txn

_TARGETS: Final = ("key", "version", "create", "mod", "value")
_COMPARE_TARGETS: Final[tuple[Literal["version", "create", "mod", "value", "lease"], ...]] = (
    "version", "create", "mod", "value", "lease",
)  # fmt: skip
_VALUE: Final = 3
_ALWAYS, _NEVER = -1, 1 << 63  # what every version is more, and no version is
_COMPARE_FIELDS: Final = ("version", "create_revision", "mod_revision", "value", "lease")
_OPERATORS: Final[tuple[Literal["=", ">", "<", "!="], ...]] = ("=", ">", "<", "!=")
_DESCENDING: Final = 2


def range_of(request: Any) -> Range:
    """Raises InvalidRequest."""
    if not request.key:
        raise InvalidRequest("etcdserver: key is not provided")
    order, target = request.sort_order, request.sort_target
    if not 0 <= order <= _DESCENDING or not 0 <= target < len(_TARGETS):
        raise InvalidRequest("etcdserver: invalid sort option")
    return Range(
        request.key,
        request.range_end,
        max(0, request.limit),
        request.revision,
        request.keys_only,
        request.count_only,
        _TARGETS[target],
        order == _DESCENDING,
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
        limit_first=not order,
    )


def put_of(request: Any) -> Put:
    return Put(request.key, request.value, request.lease, request.prev_kv, request.ignore_value, request.ignore_lease)


def delete_of(request: Any) -> Delete:
    return Delete(request.key, request.range_end, request.prev_kv)


def txn_of(request: Any, max_ops: int) -> Txn:
    """Raises InvalidRequest, for the first fault in etcd's order where there are several."""
    try:
        return _txn_of(request)
    except InvalidRequest:
        _check_txn(request, max_ops)
        raise


def _check_txn(request: Any, max_ops: int) -> None:
    """What the store would say of the operations before one that it does not get to see. Source: etcd's v3rpc/key.go."""
    ops = max(len(request.compare), len(request.success), len(request.failure))
    if ops > max_ops:
        raise InvalidRequest("etcdserver: too many operations in txn request")
    for compare in request.compare:
        _compare_of(compare)
    for op in (*request.success, *request.failure):
        kind = op.WhichOneof("request")
        if kind == "request_txn":
            _check_txn(op.request_txn, max_ops - ops)
            continue
        found = _op_of(op)
        if not found.key:  # type: ignore[union-attr]
            raise InvalidRequest("etcdserver: key is not provided")
        if isinstance(found, Put):
            if found.ignore_value and found.value:
                raise InvalidRequest("etcdserver: value is provided")
            if found.ignore_lease and found.lease:
                raise InvalidRequest("etcdserver: lease is provided")


def _txn_of(request: Any) -> Txn:
    return Txn(
        [_compare_of(compare) for compare in request.compare],
        [_op_of(op) for op in request.success],
        [_op_of(op) for op in request.failure],
    )


def _op_of(op: Any) -> Op:
    kind = op.WhichOneof("request")
    if kind == "request_put":
        return put_of(op.request_put)
    if kind == "request_range":
        return range_of(op.request_range)
    if kind == "request_delete_range":
        return delete_of(op.request_delete_range)
    if kind == "request_txn":
        return _txn_of(op.request_txn)
    raise InvalidRequest("etcdserver: key not found")


def _compare_of(compare: Any) -> Compare:
    target, result = compare.target, compare.result
    if not compare.key:
        raise InvalidRequest("etcdserver: key is not provided")
    if not 0 <= target < len(_COMPARE_TARGETS):  # all is equal then
        return Compare(
            compare.key,
            "version",
            ">",
            _ALWAYS if result == 0 or not 0 < result < len(_OPERATORS) else _NEVER,
            compare.range_end,
        )
    if not 0 <= result < len(_OPERATORS):  # any result will do then, but of a value there must be one
        return Compare(compare.key, "version", ">", 0 if target == _VALUE else _ALWAYS, compare.range_end)
    value = getattr(compare, _COMPARE_FIELDS[target])
    return Compare(compare.key, _COMPARE_TARGETS[target], _OPERATORS[result], value, compare.range_end)
