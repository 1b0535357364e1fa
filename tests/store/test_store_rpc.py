"""etcd's messages against bytes that upstream's Go client wrote."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pilothouse.store.rpc import services
from pilothouse.store.rpc.messages import authpb, health, mvccpb, of
from pilothouse.store.rpc.messages import etcdserverpb as pb


def txn() -> object:
    compare = [
        pb.Compare(result="NOT_EQUAL", target="MOD", key=b"k", mod_revision=7, range_end=b"l"),
        pb.Compare(target="VALUE", key=b"v", value=b"x"),
    ]
    put = pb.PutRequest(key=b"k", value=b"v", lease=9, prev_kv=True)
    read = pb.RangeRequest(
        key=b"k", range_end=b"\0", sort_order="DESCEND", sort_target="MOD", limit=5, max_create_revision=3
    )
    delete = pb.DeleteRangeRequest(key=b"k", prev_kv=True)
    return pb.TxnRequest(
        compare=compare,
        success=[pb.RequestOp(request_put=put), pb.RequestOp(request_txn=pb.TxnRequest())],
        failure=[pb.RequestOp(request_range=read), pb.RequestOp(request_delete_range=delete)],
    )


def watch() -> object:
    kv = mvccpb.KeyValue(key=b"a", create_revision=1, mod_revision=2, version=3, value=b"b", lease=4)
    return pb.WatchResponse(
        header=pb.ResponseHeader(cluster_id=2**63 + 1, member_id=2, revision=-1, raft_term=4),
        watch_id=3,
        canceled=True,
        compact_revision=300,
        cancel_reason="why",
        fragment=True,
        events=[mvccpb.Event(type="DELETE", kv=kv, prev_kv=mvccpb.KeyValue(key=b"a"))],
    )


def create() -> object:
    filters = [pb.WatchCreateRequest.NODELETE, pb.WatchCreateRequest.NOPUT]
    asked = pb.WatchCreateRequest(
        key=b"a", start_revision=8, progress_notify=True, filters=filters, prev_kv=True, watch_id=5, fragment=True
    )
    return pb.WatchRequest(create_request=asked)


def status() -> object:
    return pb.StatusResponse(
        version="3.6.8",
        dbSize=1,
        leader=2,
        raftIndex=3,
        raftTerm=4,
        raftAppliedIndex=5,
        errors=["e"],
        dbSizeInUse=6,
        isLearner=True,
        storageVersion="3.6.0",
        dbSizeQuota=7,
        downgradeInfo=pb.DowngradeInfo(enabled=True, targetVersion="3.5"),
    )


def permission() -> object:
    return pb.AuthRoleGrantPermissionRequest(
        name="r", perm=authpb.Permission(permType=authpb.Permission.READWRITE, key=b"a", range_end=b"b")
    )


SAMPLES = [
    (
        txn,
        "0a0d080310021a016b30078204016c0a0810031a01763a0178120c120a0a016b12017618092001120222001a100a0e0a016b1201001805"
        "2802300368031a071a050a016b1801",
    ),
    (
        watch,
        "0a1a0881808080808080808001100218ffffffffffffffffff0120041003200128ac02320377687938015a170801120e0a016110011802"
        "20032a016230041a030a0161",
    ),
    (create, "0a110a0161180820012a020100300138054001"),
    (status, "1205332e362e3818012002280330043805420165480650015a05332e362e3060076a0708011203332e35"),
    (permission, "0a0172120808021201611a0162"),
    (lambda: pb.AlarmRequest(action="DEACTIVATE", memberID=1, alarm=pb.AlarmType.CORRUPT), "080210011802"),
    (
        lambda: pb.LeaseTimeToLiveResponse(ID=-5, TTL=-1, grantedTTL=60, keys=[b"a", b"b"]),
        "10fbffffffffffffffff0118ffffffffffffffffff01203c2a01612a0162",
    ),
    (lambda: pb.SnapshotResponse(remaining_bytes=1, blob=b"b", version="3.6"), "10011a01622203332e36"),
]


@pytest.mark.parametrize(("make", "wire"), SAMPLES)
def test_bytes_are_upstreams(make, wire):
    message = make()
    assert message.SerializeToString(deterministic=True).hex() == wire
    assert type(message).FromString(bytes.fromhex(wire)) == message


def test_unions_hold_one():
    request = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"a"))
    assert request.WhichOneof("request_union") == "create_request"
    request.progress_request.SetInParent()
    assert request.WhichOneof("request_union") == "progress_request"


def test_maps():
    message = health.HealthListResponse(statuses={"a": health.HealthCheckResponse(status="SERVING")})
    assert type(message).FromString(message.SerializeToString()).statuses["a"].status == 1


def test_every_method_has_its_messages():
    found = services.services()
    assert sum(map(len, found.values())) == 52
    for methods in found.values():
        for method in methods.values():
            assert of(method.request).DESCRIPTOR.full_name == method.request
            assert of(method.response).DESCRIPTOR.full_name == method.response
    method = services.method("etcdserverpb.Lease", "LeaseKeepAlive")
    assert (method.path, method.client_streams, method.server_streams) == (
        "/etcdserverpb.Lease/LeaseKeepAlive",
        True,
        True,
    )
    assert services.method("etcdserverpb.Lease", "LeaseRevoke").gateway == ("/v3/lease/revoke", "/v3/kv/lease/revoke")
    assert services.method("etcdserverpb.KV", "RangeStream").gateway == ()


def test_unknown_names():
    with pytest.raises(AttributeError, match="etcdserverpb has no Nothing"):
        _ = pb.Nothing
    with pytest.raises(KeyError):
        of("etcdserverpb.Nothing")


def test_import_costs_nothing():
    code = "import sys, pilothouse.store.rpc.messages, pilothouse.store.rpc.services; print('google.protobuf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
