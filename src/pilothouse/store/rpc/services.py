"""The methods of etcd's gRPC services, of its lock and election services and of gRPC's health service, and where its JSON gateway
serves them. One table, read on first use: a service, and below it its methods `Name request -> response gateway-path …`,
with `stream` before what is streamed. Source: the same protocol files as `table`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

TABLE = """
etcdserverpb.KV
    Range RangeRequest -> RangeResponse /v3/kv/range
    RangeStream RangeRequest -> stream RangeStreamResponse
    Put PutRequest -> PutResponse /v3/kv/put
    DeleteRange DeleteRangeRequest -> DeleteRangeResponse /v3/kv/deleterange
    Txn TxnRequest -> TxnResponse /v3/kv/txn
    Compact CompactionRequest -> CompactionResponse /v3/kv/compaction
etcdserverpb.Watch
    Watch stream WatchRequest -> stream WatchResponse /v3/watch
etcdserverpb.Lease
    LeaseGrant LeaseGrantRequest -> LeaseGrantResponse /v3/lease/grant
    LeaseRevoke LeaseRevokeRequest -> LeaseRevokeResponse /v3/lease/revoke /v3/kv/lease/revoke
    LeaseKeepAlive stream LeaseKeepAliveRequest -> stream LeaseKeepAliveResponse /v3/lease/keepalive
    LeaseTimeToLive LeaseTimeToLiveRequest -> LeaseTimeToLiveResponse /v3/lease/timetolive /v3/kv/lease/timetolive
    LeaseLeases LeaseLeasesRequest -> LeaseLeasesResponse /v3/lease/leases /v3/kv/lease/leases
etcdserverpb.Cluster
    MemberAdd MemberAddRequest -> MemberAddResponse /v3/cluster/member/add
    MemberRemove MemberRemoveRequest -> MemberRemoveResponse /v3/cluster/member/remove
    MemberUpdate MemberUpdateRequest -> MemberUpdateResponse /v3/cluster/member/update
    MemberList MemberListRequest -> MemberListResponse /v3/cluster/member/list
    MemberPromote MemberPromoteRequest -> MemberPromoteResponse /v3/cluster/member/promote
etcdserverpb.Maintenance
    Alarm AlarmRequest -> AlarmResponse /v3/maintenance/alarm
    Status StatusRequest -> StatusResponse /v3/maintenance/status
    Defragment DefragmentRequest -> DefragmentResponse /v3/maintenance/defragment
    Hash HashRequest -> HashResponse /v3/maintenance/hash
    HashKV HashKVRequest -> HashKVResponse /v3/maintenance/hashkv
    Snapshot SnapshotRequest -> stream SnapshotResponse /v3/maintenance/snapshot
    MoveLeader MoveLeaderRequest -> MoveLeaderResponse /v3/maintenance/transfer-leadership
    Downgrade DowngradeRequest -> DowngradeResponse /v3/maintenance/downgrade
etcdserverpb.Auth
    AuthEnable AuthEnableRequest -> AuthEnableResponse /v3/auth/enable
    AuthDisable AuthDisableRequest -> AuthDisableResponse /v3/auth/disable
    AuthStatus AuthStatusRequest -> AuthStatusResponse /v3/auth/status
    Authenticate AuthenticateRequest -> AuthenticateResponse /v3/auth/authenticate
    UserAdd AuthUserAddRequest -> AuthUserAddResponse /v3/auth/user/add
    UserGet AuthUserGetRequest -> AuthUserGetResponse /v3/auth/user/get
    UserList AuthUserListRequest -> AuthUserListResponse /v3/auth/user/list
    UserDelete AuthUserDeleteRequest -> AuthUserDeleteResponse /v3/auth/user/delete
    UserChangePassword AuthUserChangePasswordRequest -> AuthUserChangePasswordResponse /v3/auth/user/changepw
    UserGrantRole AuthUserGrantRoleRequest -> AuthUserGrantRoleResponse /v3/auth/user/grant
    UserRevokeRole AuthUserRevokeRoleRequest -> AuthUserRevokeRoleResponse /v3/auth/user/revoke
    RoleAdd AuthRoleAddRequest -> AuthRoleAddResponse /v3/auth/role/add
    RoleGet AuthRoleGetRequest -> AuthRoleGetResponse /v3/auth/role/get
    RoleList AuthRoleListRequest -> AuthRoleListResponse /v3/auth/role/list
    RoleDelete AuthRoleDeleteRequest -> AuthRoleDeleteResponse /v3/auth/role/delete
    RoleGrantPermission AuthRoleGrantPermissionRequest -> AuthRoleGrantPermissionResponse /v3/auth/role/grant
    RoleRevokePermission AuthRoleRevokePermissionRequest -> AuthRoleRevokePermissionResponse /v3/auth/role/revoke
v3lockpb.Lock
    Lock LockRequest -> LockResponse /v3/lock/lock
    Unlock UnlockRequest -> UnlockResponse /v3/lock/unlock
v3electionpb.Election
    Campaign CampaignRequest -> CampaignResponse /v3/election/campaign
    Proclaim ProclaimRequest -> ProclaimResponse /v3/election/proclaim
    Leader LeaderRequest -> LeaderResponse /v3/election/leader
    Observe LeaderRequest -> stream LeaderResponse /v3/election/observe
    Resign ResignRequest -> ResignResponse /v3/election/resign
grpc.health.v1.Health
    Check HealthCheckRequest -> HealthCheckResponse
    List HealthListRequest -> HealthListResponse
    Watch HealthCheckRequest -> stream HealthCheckResponse
"""


class Method(NamedTuple):
    service: str  # "etcdserverpb.KV"
    name: str  # "Range"
    request: str  # "etcdserverpb.RangeRequest": the name that `messages.of` takes
    response: str
    client_streams: bool
    server_streams: bool
    gateway: tuple[str, ...]  # "/v3/kv/range"; POST, JSON

    @property
    def path(self) -> str:
        """As in HTTP/2's :path."""
        return f"/{self.service}/{self.name}"


@cache
def services() -> dict[str, dict[str, Method]]:
    """Service → name of the method → Method."""
    found: dict[str, dict[str, Method]] = {}
    service = package = ""
    for line in TABLE.strip().splitlines():
        if not line.startswith(" "):
            service, package = line, line.rpartition(".")[0]
            found[service] = {}
            continue
        left, right = line.split("->")
        name, *requests = left.split()
        responses, gateway = right.split("/", 1) if "/" in right else (right, "")
        paths = tuple(f"/{path}" for path in gateway.split(" /")) if gateway else ()
        *client, request = requests
        *server, response = responses.split()
        found[service][name] = Method(
            service, name, f"{package}.{request}", f"{package}.{response}", bool(client), bool(server), paths
        )
    return found


def method(service: str, name: str) -> Method:
    """method("etcdserverpb.KV", "Range"); KeyError where there is none."""
    return services()[service][name]
