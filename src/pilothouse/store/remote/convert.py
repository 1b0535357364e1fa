"""The store's requests as etcd's messages and etcd's answers as the store's results, with the keys below another root.

The API server's keys begin with /registry/; with `--etcd-prefix` they stand elsewhere in etcd.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pilothouse.store.interface import (
    Compare,
    Delete,
    DeleteResult,
    Event,
    InvalidRequest,
    KeyValue,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
    prefix_end,
)
from pilothouse.store.rpc.messages import etcdserverpb as pb

_ROOT: Final = b"/registry/"
_TARGETS: Final = {"key": 0, "version": 1, "create": 2, "mod": 3, "value": 4}
_COMPARED: Final = {"version": 0, "create": 1, "mod": 2, "value": 3, "lease": 4}
_COMPARED_FIELDS: Final = {
    "version": "version", "create": "create_revision", "mod": "mod_revision", "value": "value", "lease": "lease",
}  # fmt: skip
_OPERATORS: Final = {"=": 0, ">": 1, "<": 2, "!=": 3}


class Converter:
    """`prefix`: what stands in etcd in place of /registry."""

    def __init__(self, prefix: str = "/registry") -> None:
        self._outer = b"/" + prefix.strip("/").encode() + b"/" if prefix.strip("/") else b"/"
        self._ends = {prefix_end(_ROOT): prefix_end(self._outer)}
        self.moved = self._outer != _ROOT

    # Keys

    def out(self, key: bytes) -> bytes:
        return self._outer + key[len(_ROOT) :] if self.moved and key.startswith(_ROOT) else key

    def out_end(self, end: bytes) -> bytes:
        return self._ends.get(end) or self.out(end) if self.moved else end

    def into(self, key: bytes) -> bytes:
        return _ROOT + key[len(self._outer) :] if self.moved and key.startswith(self._outer) else key

    # Requests

    def range(self, op: Range) -> Any:
        order = 2 if op.descending else 0 if op.sort_target == "key" or op.limit_first else 1
        return pb.RangeRequest(
            key=self.out(op.key), range_end=self.out_end(op.range_end), limit=op.limit, revision=op.revision,
            sort_order=order, sort_target=_TARGETS[op.sort_target], keys_only=op.keys_only, count_only=op.count_only,
            min_mod_revision=op.min_mod_revision, max_mod_revision=op.max_mod_revision,
            min_create_revision=op.min_create_revision, max_create_revision=op.max_create_revision,
        )  # fmt: skip

    def put(self, op: Put) -> Any:
        return pb.PutRequest(
            key=self.out(op.key), value=op.value, lease=op.lease, prev_kv=op.prev_kv, ignore_value=op.ignore_value,
            ignore_lease=op.ignore_lease,
        )  # fmt: skip

    def delete(self, op: Delete) -> Any:
        return pb.DeleteRangeRequest(key=self.out(op.key), range_end=self.out_end(op.range_end), prev_kv=op.prev_kv)

    def txn(self, op: Txn) -> Any:
        return pb.TxnRequest(
            compare=[self._compare(c) for c in op.compare],
            success=[self._op(o) for o in op.success],
            failure=[self._op(o) for o in op.failure],
        )

    def watch(self, key: bytes, range_end: bytes, *, prev_kv: bool, no_put: bool, no_delete: bool) -> Any:
        """Without the revision to start from."""
        filters = [number for number, wanted in enumerate((no_put, no_delete)) if wanted]
        return pb.WatchCreateRequest(
            key=self.out(key), range_end=self.out_end(range_end), progress_notify=True, prev_kv=prev_kv, fragment=True,
            filters=filters,
        )  # fmt: skip

    def _op(self, op: Op) -> Any:
        if isinstance(op, Range):
            return pb.RequestOp(request_range=self.range(op))
        if isinstance(op, Put):
            return pb.RequestOp(request_put=self.put(op))
        if isinstance(op, Delete):
            return pb.RequestOp(request_delete_range=self.delete(op))
        return pb.RequestOp(request_txn=self.txn(op))

    def _compare(self, c: Compare) -> Any:
        made = pb.Compare(
            result=_OPERATORS[c.op],
            target=_COMPARED[c.target],
            key=self.out(c.key),
            range_end=self.out_end(c.range_end),
        )
        try:
            setattr(made, _COMPARED_FIELDS[c.target], c.value)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"a compare of {c.target}: {error}") from None
        return made

    # Results

    def key_value(self, kv: Any) -> KeyValue:
        key = self.into(kv.key) if self.moved else kv.key
        return KeyValue(key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)

    def range_result(self, response: Any, revision: int) -> RangeResult:
        kvs = [self.key_value(kv) for kv in response.kvs]
        return RangeResult(kvs, response.count, response.more, revision)

    def put_result(self, response: Any, revision: int) -> PutResult:
        return PutResult(revision, self.key_value(response.prev_kv) if response.HasField("prev_kv") else None)

    def delete_result(self, response: Any, revision: int) -> DeleteResult:
        return DeleteResult(revision, response.deleted, [self.key_value(kv) for kv in response.prev_kvs])

    def txn_result(self, response: Any, revision: int) -> TxnResult:
        return TxnResult(response.succeeded, [self._op_result(r, revision) for r in response.responses], revision)

    def _op_result(self, response: Any, revision: int) -> OpResult:
        match response.WhichOneof("response"):
            case "response_range":
                return self.range_result(response.response_range, revision)
            case "response_put":
                return self.put_result(response.response_put, revision)
            case "response_delete_range":
                return self.delete_result(response.response_delete_range, revision)
            case _:
                return self.txn_result(response.response_txn, revision)

    def events(self, events: Iterable[Any]) -> list[Event]:
        return [
            Event(
                "DELETE" if event.type else "PUT",
                self.key_value(event.kv),
                self.key_value(event.prev_kv) if event.HasField("prev_kv") else None,
            )
            for event in events
        ]
