"""etcdserverpb.Maintenance."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.store.etcd.context import CLUSTER_VERSION, DOWNGRADE_META, VERSION, Context
from pilothouse.store.etcd.counts import timed
from pilothouse.store.interface import Alarm
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.snapshots import save, schema
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

_STORAGE_VERSION: Final = f"{CLUSTER_VERSION}.0"
_BEFORE: Final = "3.6"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?")
_GET, _ACTIVATE, _DEACTIVATE = range(3)
_ALARMS: Final[dict[int, Alarm]] = {1: "NOSPACE", 2: "CORRUPT"}
_NUMBERS: Final = {name: number for number, name in _ALARMS.items()}
_DOWNGRADE_VALIDATE, _DOWNGRADE_ENABLE, _DOWNGRADE_CANCEL = range(3)


class Maintenance:
    def __init__(self, context: Context) -> None:
        self._context, self._store, self._guard = context, context.store, context.guard

    def _alarm(self, alarm: Alarm) -> Any:
        return pb.AlarmMember(memberID=self._context.header.member_id, alarm=_NUMBERS[alarm])

    async def alarm(self, request: Any, call: Call) -> Any:
        """Whichever member an alarm is raised for, all refuse writes; here it is this one that has it."""
        action, wanted = request.action, _ALARMS.get(request.alarm)
        (self._guard.check_known if action == _GET else self._guard.check_admin)(call)
        found: list[Alarm] = []
        if action == _GET:
            found = sorted(alarm for alarm in self._store.alarms if wanted in (None, alarm))
        elif wanted is not None and (action == _ACTIVATE or wanted in self._store.alarms):
            await self._store.set_alarm(wanted, action == _ACTIVATE)
            found = [wanted]
        return await self._context.headed(pb.AlarmResponse, alarms=[self._alarm(alarm) for alarm in found])

    async def status(self, request: Any, call: Call) -> Any:
        self._guard.check_known(call)
        status = await self._store.status()
        header, target = self._context.header, self._context.downgrade_target
        errors = [f"memberID:{header.member_id} alarm:{alarm} " for alarm in sorted(self._store.alarms)]
        return pb.StatusResponse(
            header=header.message(status.revision),
            version=VERSION,
            dbSize=status.size_bytes,
            leader=header.member_id,
            raftIndex=status.index,
            raftTerm=status.term,
            raftAppliedIndex=status.index,
            errors=errors,
            dbSizeInUse=status.in_use_bytes
            or status.size_bytes,  # an empty one is all in use, as etcd's is never empty
            storageVersion=_STORAGE_VERSION,
            dbSizeQuota=self._context.config.quota_bytes,
            downgradeInfo=pb.DowngradeInfo(enabled=bool(target), targetVersion=f"{target}.0" if target else ""),
        )

    async def defragment(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        counts = self._context.counts
        counts.defragmenting += 1
        try:
            with timed(counts.defragmentations, self._context.clock):
                await self._store.defragment()
        finally:
            counts.defragmenting -= 1
        return pb.DefragmentResponse()

    async def hash(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        with timed(self._context.counts.hashes, self._context.clock):
            found = await save.checksum(self._store, self._context.header.member_id)
        return await self._context.headed(pb.HashResponse, hash=found)

    async def hash_kv(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        with timed(self._context.counts.hashes_of_revisions, self._context.clock):
            found = await self._store.hash_kv(request.revision)
        return await self._context.headed(
            pb.HashKVResponse, hash=found.hash, compact_revision=found.compacted, hash_revision=found.revision
        )

    async def snapshot(self, request: Any, call: Call) -> None:
        self._guard.check_admin(call)
        directory, version = self._context.config.directory, schema.STORAGE_VERSION
        member = self._context.header.member_id
        chunks = save.chunks(self._store, directory if directory.is_dir() else None, member)
        with timed(self._context.counts.snapshots, self._context.clock):
            async for blob, left in chunks:
                await call.send_message(pb.SnapshotResponse(remaining_bytes=left, blob=blob, version=version))

    async def move_leader(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        if request.targetID != self._context.header.member_id:
            raise RpcError(Status.FAILED_PRECONDITION, "etcdserver: bad leader transferee")
        return pb.MoveLeaderResponse()

    async def downgrade(self, request: Any, call: Call) -> Any:
        """To the minor version before, as with etcd. What it changes here is what is reported: snapshots are in a form that
        both versions read, and there is no other file that the earlier one would have to."""
        self._guard.check_admin(call)
        if request.action == _DOWNGRADE_CANCEL:
            if self._context.downgrade_target:
                await self._store.set_meta(DOWNGRADE_META, None)
        elif request.action in (_DOWNGRADE_VALIDATE, _DOWNGRADE_ENABLE):
            found = _VERSION.fullmatch(request.version)
            if found is None:
                raise RpcError(Status.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format")
            target = f"{found[1]}.{found[2]}"
            if target != _BEFORE:
                raise RpcError(Status.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version")
            if self._context.downgrade_target:
                raise RpcError(Status.FAILED_PRECONDITION, "etcdserver: cluster has a downgrade job in progress")
            if request.action == _DOWNGRADE_ENABLE:
                await self._store.set_meta(DOWNGRADE_META, target.encode())
        else:
            raise RpcError(Status.UNKNOWN, "etcdserver: unknown method")
        return await self._context.headed(pb.DowngradeResponse, version=CLUSTER_VERSION)
