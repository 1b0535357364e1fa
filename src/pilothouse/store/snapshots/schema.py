"""What lies where in etcd's database.

Source: etcd's server/storage/schema and storage/mvcc (3.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError

from pilothouse.store.etcd.auth.book import META, Book, Permission, User
from pilothouse.store.interface import Export, KeyValue, LeaseStatus, Version
from pilothouse.store.rpc.messages import authpb, leasepb, mvccpb
from pilothouse.store.rpc.messages import etcdserverpb as pb

STORAGE_VERSION: Final = "3.6.0"  # the oldest layout with all that is here: etcd 3.6 and later take it
KEY, META_BUCKET, LEASE, ALARM = b"key", b"meta", b"lease", b"alarm"
AUTH, USERS, ROLES = b"auth", b"authUsers", b"authRoles"
BUCKETS: Final = (ALARM, AUTH, ROLES, USERS, b"cluster", KEY, LEASE, b"members", b"members_removed", META_BUCKET)
NOT_HASHED: Final = {(META_BUCKET, name) for name in (b"consistent_index", b"storageVersion", b"term")}
_ALARMS: Final = {"NOSPACE": 1, "CORRUPT": 2}
_ALARMS_META: Final = "alarms"
_TOMBSTONE: Final = b"t"
_KEY_VALUE: Final = mvccpb.KeyValue

Entries = dict[bytes, bytes]


class NotEtcds(Exception):
    """The database is none of etcd's; str() says why."""


# Ours as etcd's


def buckets_of(export: Export, member: int) -> dict[bytes, Entries]:
    """All buckets but the keys'."""
    found: dict[bytes, Entries] = {name: {} for name in BUCKETS if name != KEY}
    found[META_BUCKET] = _meta(export, member)
    for lease in export.leases:
        message = leasepb.Lease(ID=lease.lease, TTL=lease.granted_ttl_s, RemainingTTL=max(0, int(lease.left_s)))
        found[LEASE][_uint(lease.lease)] = message.SerializeToString()
    for alarm in export.meta.get(_ALARMS_META, b"").decode().split():
        found[ALARM][pb.AlarmMember(memberID=member, alarm=_ALARMS[alarm]).SerializeToString()] = b""
    if META in export.meta:
        _auth(Book.load(export.meta[META]), found)
    return found


def _meta(export: Export, member: int) -> Entries:
    found = {
        b"confState": orjson.dumps({"voters": [member], "auto_leave": False}),
        b"consistent_index": _uint(max(export.index, 1)),
        b"storageVersion": STORAGE_VERSION.encode(),
        b"term": _uint(max(export.term, 1)),
    }
    if export.compacted > 0:
        found[b"finishedCompactRev"] = found[b"scheduledCompactRev"] = _revision(export.compacted)
    return found


def _auth(book: Book, found: dict[bytes, Entries]) -> None:
    found[AUTH] = {b"authEnabled": b"\1" if book.enabled else b"\0", b"authRevision": _uint(book.revision)}
    for user in book.users.values():
        options = authpb.UserAddOptions(no_password=user.no_password)
        message = authpb.User(name=user.name.encode(), password=user.password, roles=user.roles, options=options)
        found[USERS][user.name.encode()] = message.SerializeToString()
    for name, permissions in book.roles.items():
        granted = [authpb.Permission(permType=p.kind, key=p.key, range_end=p.range_end) for p in permissions]
        found[ROLES][name.encode()] = authpb.Role(name=name.encode(), keyPermission=granted).SerializeToString()


def _uint(number: int) -> bytes:
    return (number & (1 << 64) - 1).to_bytes(8, "big")


def _revision(main: int) -> bytes:
    return _uint(main) + b"_" + bytes(8)


# Etcd's as ours


def version_of(name: bytes, value: bytes) -> Version:
    """Of an entry of the keys' bucket. Raises NotEtcds."""
    if len(name) < 17 or name[8:9] != b"_" or name[17:] not in (b"", _TOMBSTONE):
        raise NotEtcds(f"{name!r} is no revision")
    main, sub = int.from_bytes(name[:8], "big"), int.from_bytes(name[9:17], "big")
    try:
        kv = _KEY_VALUE.FromString(value)
    except DecodeError:
        raise NotEtcds(f"the value at revision {main} cannot be read") from None
    if not kv.key:
        raise NotEtcds(f"the value at revision {main} has no key")
    if len(name) > 17:
        return Version(KeyValue(kv.key, b"", 0, main, 0), sub, True)
    return Version(KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease), sub, False)


def compacted_of(meta: Entries) -> int:
    """Up to where the history was compacted, or was being compacted."""
    found = meta.get(b"scheduledCompactRev") or meta.get(b"finishedCompactRev") or b""
    return int.from_bytes(found[:8], "big")


def uint_of(entries: Entries, name: bytes) -> int:
    return int.from_bytes(entries.get(name, b"")[:8], "big")


def leases_of(bucket: Entries) -> Iterator[LeaseStatus]:
    for value in bucket.values():
        lease = _parsed(leasepb.Lease, value, "a lease")
        yield LeaseStatus(lease.ID, lease.TTL, float(lease.RemainingTTL or lease.TTL), [])


def meta_of(alarms: Entries, auth: Entries, users: Entries, roles: Entries) -> dict[str, bytes]:
    """The facts that the embedded engine keeps beside the keys."""
    found: dict[str, bytes] = {}
    numbers = {_parsed(pb.AlarmMember, key, "an alarm").alarm for key in alarms}
    names = sorted(name for name, number in _ALARMS.items() if number in numbers)
    if names:
        found[_ALARMS_META] = " ".join(names).encode()
    if auth or users or roles:
        book = Book(auth.get(b"authEnabled") == b"\1", uint_of(auth, b"authRevision") or 1)
        for value in users.values():
            user = _parsed(authpb.User, value, "a user")
            name = user.name.decode()
            book.users[name] = User(name, user.password, user.options.no_password, sorted(user.roles))
        for value in roles.values():
            role = _parsed(authpb.Role, value, "a role")
            permissions = [Permission(p.permType, p.key, p.range_end) for p in role.keyPermission]
            book.roles[role.name.decode()] = permissions
        found[META] = book.dump()
    return found


def _parsed(message: Any, value: bytes, what: str) -> Any:
    try:
        return message.FromString(value)
    except DecodeError:
        raise NotEtcds(f"{what} cannot be read") from None
