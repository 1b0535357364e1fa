"""What is encoded by hand, against the message classes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.store.etcd import encoding
from pilothouse.store.interface import DeleteResult, Event, KeyValue, OpResult, PutResult, RangeResult, TxnResult
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.rpc.messages import mvccpb

_NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
_DATA = st.one_of(st.binary(max_size=5), st.binary(min_size=120, max_size=140), st.just(20_000).map(bytes))
_KVS = st.builds(
    KeyValue, _DATA, _DATA, _NUMBERS, _NUMBERS, _NUMBERS, st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1))
)
_SINGLE: Any = st.one_of(
    st.builds(RangeResult, st.lists(_KVS, max_size=3), _NUMBERS, st.booleans(), _NUMBERS),
    st.builds(PutResult, _NUMBERS, st.none() | _KVS),
    st.builds(DeleteResult, _NUMBERS, _NUMBERS, st.lists(_KVS, max_size=2)),
)
_TXNS: Any = st.recursive(
    st.builds(TxnResult, st.booleans(), st.lists(_SINGLE, max_size=3), _NUMBERS),
    lambda inner: st.builds(TxnResult, st.booleans(), st.lists(_SINGLE | inner, max_size=3), _NUMBERS),
    max_leaves=4,
)


def _kv(kv: KeyValue) -> Any:
    return mvccpb.KeyValue(**kv._asdict())


def _message(result: OpResult, header: Any) -> Any:
    if isinstance(result, RangeResult):
        return pb.RangeResponse(header=header, kvs=map(_kv, result.kvs), count=result.count, more=result.more)
    if isinstance(result, PutResult):
        return pb.PutResponse(header=header, prev_kv=_kv(result.prev_kv) if result.prev_kv is not None else None)
    if isinstance(result, DeleteResult):
        return pb.DeleteRangeResponse(header=header, deleted=result.deleted, prev_kvs=map(_kv, result.prev_kvs))
    names = {RangeResult: "range", PutResult: "put", DeleteResult: "delete_range", TxnResult: "txn"}
    responses = [
        pb.ResponseOp(
            **{
                f"response_{names[type(inner)]}": _message(
                    inner, {} if isinstance(inner, TxnResult) else {"revision": inner.revision}
                )
            }
        )
        for inner in result.responses
    ]
    return pb.TxnResponse(header=header, succeeded=result.succeeded, responses=responses)


_FIELDS: Any = {
    RangeResult: encoding.range_fields,
    PutResult: encoding.put_fields,
    DeleteResult: encoding.delete_fields,
    TxnResult: encoding.txn_fields,
}


@given(_SINGLE | _TXNS, _NUMBERS, st.integers(0, 2**64 - 1))
def test_results(result: OpResult, revision: int, member: int) -> None:
    header = encoding.Header(2**64 - 1, member, 7)
    data = header.field(revision) + _FIELDS[type(result)](result)
    message = _message(result, header.message(revision))
    assert type(message).FromString(data) == message


@given(st.lists(st.builds(Event, st.sampled_from(["PUT", "DELETE"]), _KVS, st.none() | _KVS), max_size=4))
def test_events(events: list[Event]) -> None:
    found = pb.WatchResponse.FromString(b"".join(encoding.events_fields(events))).events
    assert [(e.type, e.kv, e.HasField("prev_kv"), e.prev_kv) for e in found] == [
        (
            int(event.type == "DELETE"),
            _kv(event.kv),
            event.prev_kv is not None,
            _kv(event.prev_kv) if event.prev_kv else mvccpb.KeyValue(),
        )
        for event in events
    ]


@given(st.integers(-(2**63), 2**64 - 1))
def test_numbers(value: int) -> None:
    assert pb.ResponseHeader.FromString(b"\x08" + encoding.varint(value)).cluster_id == value % 2**64
