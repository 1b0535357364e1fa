"""The wire messages of etcd 3.7's client API, its lock and election services and gRPC's health service, as one table.

One message or enum a line, indented lines go on: `Name field:type=number …`, `type*` for a repeated field, `oneof( … )`
around the fields of a union, a dot in the name of a nested type. Field names and numbers are the protocol (etcd's
`rpc.proto`, `kv.proto`, `auth.proto`, `lease.proto`, `v3lock.proto`, `v3election.proto`; grpc's `health.proto`).
`messages` builds the classes.
"""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "mvccpb": """
KeyValue key:bytes=1 create_revision:int64=2 mod_revision:int64=3 version:int64=4 value:bytes=5 lease:int64=6
Event type:EventType=1 kv:KeyValue=2 prev_kv:KeyValue=3
enum Event.EventType PUT=0 DELETE=1
""",
    "authpb": """
UserAddOptions no_password:bool=1
User name:bytes=1 password:bytes=2 roles:string*=3 options:UserAddOptions=4
Permission permType:Type=1 key:bytes=2 range_end:bytes=3
enum Permission.Type READ=0 WRITE=1 READWRITE=2
Role name:bytes=1 keyPermission:Permission*=2
""",
    "leasepb": """
Lease ID:int64=1 TTL:int64=2 RemainingTTL:int64=3
""",
    "etcdserverpb": """
ResponseHeader cluster_id:uint64=1 member_id:uint64=2 revision:int64=3 raft_term:uint64=4
RangeRequest key:bytes=1 range_end:bytes=2 limit:int64=3 revision:int64=4 sort_order:SortOrder=5 sort_target:SortTarget=6
    serializable:bool=7 keys_only:bool=8 count_only:bool=9 min_mod_revision:int64=10 max_mod_revision:int64=11
    min_create_revision:int64=12 max_create_revision:int64=13
enum RangeRequest.SortOrder NONE=0 ASCEND=1 DESCEND=2
enum RangeRequest.SortTarget KEY=0 VERSION=1 CREATE=2 MOD=3 VALUE=4
RangeResponse header:ResponseHeader=1 kvs:mvccpb.KeyValue*=2 more:bool=3 count:int64=4
PutRequest key:bytes=1 value:bytes=2 lease:int64=3 prev_kv:bool=4 ignore_value:bool=5 ignore_lease:bool=6
PutResponse header:ResponseHeader=1 prev_kv:mvccpb.KeyValue=2
DeleteRangeRequest key:bytes=1 range_end:bytes=2 prev_kv:bool=3
DeleteRangeResponse header:ResponseHeader=1 deleted:int64=2 prev_kvs:mvccpb.KeyValue*=3
RequestOp request( request_range:RangeRequest=1 request_put:PutRequest=2 request_delete_range:DeleteRangeRequest=3
    request_txn:TxnRequest=4)
ResponseOp response( response_range:RangeResponse=1 response_put:PutResponse=2 response_delete_range:DeleteRangeResponse=3
    response_txn:TxnResponse=4)
Compare result:CompareResult=1 target:CompareTarget=2 key:bytes=3 target_union( version:int64=4 create_revision:int64=5
    mod_revision:int64=6 value:bytes=7 lease:int64=8) range_end:bytes=64
enum Compare.CompareResult EQUAL=0 GREATER=1 LESS=2 NOT_EQUAL=3
enum Compare.CompareTarget VERSION=0 CREATE=1 MOD=2 VALUE=3 LEASE=4
TxnRequest compare:Compare*=1 success:RequestOp*=2 failure:RequestOp*=3
TxnResponse header:ResponseHeader=1 succeeded:bool=2 responses:ResponseOp*=3
CompactionRequest revision:int64=1 physical:bool=2
CompactionResponse header:ResponseHeader=1
HashRequest
HashKVRequest revision:int64=1
HashKVResponse header:ResponseHeader=1 hash:uint32=2 compact_revision:int64=3 hash_revision:int64=4
HashResponse header:ResponseHeader=1 hash:uint32=2
SnapshotRequest
SnapshotResponse header:ResponseHeader=1 remaining_bytes:uint64=2 blob:bytes=3 version:string=4
WatchRequest request_union( create_request:WatchCreateRequest=1 cancel_request:WatchCancelRequest=2
    progress_request:WatchProgressRequest=3)
WatchCreateRequest key:bytes=1 range_end:bytes=2 start_revision:int64=3 progress_notify:bool=4 filters:FilterType*=5
    prev_kv:bool=6 watch_id:int64=7 fragment:bool=8
enum WatchCreateRequest.FilterType NOPUT=0 NODELETE=1
WatchCancelRequest watch_id:int64=1
WatchProgressRequest
WatchResponse header:ResponseHeader=1 watch_id:int64=2 created:bool=3 canceled:bool=4 compact_revision:int64=5
    cancel_reason:string=6 fragment:bool=7 events:mvccpb.Event*=11
LeaseGrantRequest TTL:int64=1 ID:int64=2
LeaseGrantResponse header:ResponseHeader=1 ID:int64=2 TTL:int64=3 error:string=4
LeaseRevokeRequest ID:int64=1
LeaseRevokeResponse header:ResponseHeader=1
LeaseCheckpoint ID:int64=1 remaining_TTL:int64=2
LeaseCheckpointRequest checkpoints:LeaseCheckpoint*=1
LeaseCheckpointResponse header:ResponseHeader=1
LeaseKeepAliveRequest ID:int64=1
LeaseKeepAliveResponse header:ResponseHeader=1 ID:int64=2 TTL:int64=3
LeaseTimeToLiveRequest ID:int64=1 keys:bool=2
LeaseTimeToLiveResponse header:ResponseHeader=1 ID:int64=2 TTL:int64=3 grantedTTL:int64=4 keys:bytes*=5
LeaseLeasesRequest
LeaseStatus ID:int64=1
LeaseLeasesResponse header:ResponseHeader=1 leases:LeaseStatus*=2
Member ID:uint64=1 name:string=2 peerURLs:string*=3 clientURLs:string*=4 isLearner:bool=5
MemberAddRequest peerURLs:string*=1 isLearner:bool=2
MemberAddResponse header:ResponseHeader=1 member:Member=2 members:Member*=3
MemberRemoveRequest ID:uint64=1
MemberRemoveResponse header:ResponseHeader=1 members:Member*=2
MemberUpdateRequest ID:uint64=1 peerURLs:string*=2
MemberUpdateResponse header:ResponseHeader=1 members:Member*=2
MemberListRequest linearizable:bool=1
MemberListResponse header:ResponseHeader=1 members:Member*=2
MemberPromoteRequest ID:uint64=1
MemberPromoteResponse header:ResponseHeader=1 members:Member*=2
DefragmentRequest
DefragmentResponse header:ResponseHeader=1
MoveLeaderRequest targetID:uint64=1
MoveLeaderResponse header:ResponseHeader=1
enum AlarmType NONE=0 NOSPACE=1 CORRUPT=2
AlarmRequest action:AlarmAction=1 memberID:uint64=2 alarm:AlarmType=3
enum AlarmRequest.AlarmAction GET=0 ACTIVATE=1 DEACTIVATE=2
AlarmMember memberID:uint64=1 alarm:AlarmType=2
AlarmResponse header:ResponseHeader=1 alarms:AlarmMember*=2
DowngradeRequest action:DowngradeAction=1 version:string=2
enum DowngradeRequest.DowngradeAction VALIDATE=0 ENABLE=1 CANCEL=2
DowngradeResponse header:ResponseHeader=1 version:string=2
DowngradeVersionTestRequest ver:string=1
StatusRequest
StatusResponse header:ResponseHeader=1 version:string=2 dbSize:int64=3 leader:uint64=4 raftIndex:uint64=5 raftTerm:uint64=6
    raftAppliedIndex:uint64=7 errors:string*=8 dbSizeInUse:int64=9 isLearner:bool=10 storageVersion:string=11
    dbSizeQuota:int64=12 downgradeInfo:DowngradeInfo=13
DowngradeInfo enabled:bool=1 targetVersion:string=2
AuthEnableRequest
AuthDisableRequest
AuthStatusRequest
AuthenticateRequest name:string=1 password:string=2
AuthUserAddRequest name:string=1 password:string=2 options:authpb.UserAddOptions=3 hashedPassword:string=4
AuthUserGetRequest name:string=1
AuthUserDeleteRequest name:string=1
AuthUserChangePasswordRequest name:string=1 password:string=2 hashedPassword:string=3
AuthUserGrantRoleRequest user:string=1 role:string=2
AuthUserRevokeRoleRequest name:string=1 role:string=2
AuthRoleAddRequest name:string=1
AuthRoleGetRequest role:string=1
AuthUserListRequest
AuthRoleListRequest
AuthRoleDeleteRequest role:string=1
AuthRoleGrantPermissionRequest name:string=1 perm:authpb.Permission=2
AuthRoleRevokePermissionRequest role:string=1 key:bytes=2 range_end:bytes=3
AuthEnableResponse header:ResponseHeader=1
AuthDisableResponse header:ResponseHeader=1
AuthStatusResponse header:ResponseHeader=1 enabled:bool=2 authRevision:uint64=3
AuthenticateResponse header:ResponseHeader=1 token:string=2
AuthUserAddResponse header:ResponseHeader=1
AuthUserGetResponse header:ResponseHeader=1 roles:string*=2
AuthUserDeleteResponse header:ResponseHeader=1
AuthUserChangePasswordResponse header:ResponseHeader=1
AuthUserGrantRoleResponse header:ResponseHeader=1
AuthUserRevokeRoleResponse header:ResponseHeader=1
AuthRoleAddResponse header:ResponseHeader=1
AuthRoleGetResponse header:ResponseHeader=1 perm:authpb.Permission*=2
AuthRoleListResponse header:ResponseHeader=1 roles:string*=2
AuthUserListResponse header:ResponseHeader=1 users:string*=2
AuthRoleDeleteResponse header:ResponseHeader=1
AuthRoleGrantPermissionResponse header:ResponseHeader=1
AuthRoleRevokePermissionResponse header:ResponseHeader=1
RangeStreamResponse range_response:RangeResponse=1
""",
    "v3lockpb": """
LockRequest name:bytes=1 lease:int64=2
LockResponse header:etcdserverpb.ResponseHeader=1 key:bytes=2
UnlockRequest key:bytes=1
UnlockResponse header:etcdserverpb.ResponseHeader=1
""",
    "v3electionpb": """
CampaignRequest name:bytes=1 lease:int64=2 value:bytes=3
CampaignResponse header:etcdserverpb.ResponseHeader=1 leader:LeaderKey=2
LeaderKey name:bytes=1 key:bytes=2 rev:int64=3 lease:int64=4
LeaderRequest name:bytes=1
LeaderResponse header:etcdserverpb.ResponseHeader=1 kv:mvccpb.KeyValue=2
ResignRequest leader:LeaderKey=1
ResignResponse header:etcdserverpb.ResponseHeader=1
ProclaimRequest leader:LeaderKey=1 value:bytes=2
ProclaimResponse header:etcdserverpb.ResponseHeader=1
""",
    "grpc.health.v1": """
HealthCheckRequest service:string=1
HealthCheckResponse status:ServingStatus=1
enum HealthCheckResponse.ServingStatus UNKNOWN=0 SERVING=1 NOT_SERVING=2 SERVICE_UNKNOWN=3
HealthListRequest
HealthListResponse statuses:map<HealthCheckResponse>=1
""",
}
