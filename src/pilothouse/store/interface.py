"""`Store`: the one interface to the cluster's state, with etcd's semantics. The embedded engine and the client of an
external etcd cluster implement it, and the API server uses nothing else. `Maintained` is what the gRPC front needs besides,
and only the embedded engine has it.

Keys and values are bytes. Revisions are etcd's: one counter for the whole store, raised by one for each transaction that
writes. Source of the semantics: etcd's API documentation, "KV API guarantees" and `rpc.proto`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from pilothouse.store.durations import Durations


class KeyValue(NamedTuple):
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


# Requests are read-only once made. They are not frozen, because that makes them four times as slow to make.


@dataclass(slots=True, unsafe_hash=True)
class Range:
    """Reads [key, range_end): an empty range_end is the key alone, b"\\0" all keys from `key` on.
    revision 0 reads the newest state; limit 0 sets no limit. Sorted by key, ascending, unless told otherwise.
    limit_first: of those in order of key only the first limit + 1 are sorted, as etcd does where no order is named."""

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    keys_only: bool = False
    count_only: bool = False
    sort_target: Literal["key", "version", "create", "mod", "value"] = "key"
    descending: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0
    limit_first: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Put:
    key: bytes
    value: bytes
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Delete:
    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Compare:
    """`target` of each key in [key, range_end) against `value`: bytes for "value", an int for the rest.
    A key that is absent has version, revisions and lease 0, and no value: any compare of a value fails."""

    key: bytes
    target: Literal["version", "create", "mod", "value", "lease"]
    op: Literal["=", "!=", ">", "<"]
    value: int | bytes
    range_end: bytes = b""


@dataclass(slots=True, unsafe_hash=True)
class Txn:
    compare: Sequence[Compare] = ()
    success: Sequence[Op] = ()
    failure: Sequence[Op] = ()


Op: TypeAlias = Range | Put | Delete | Txn


def writes(op: Op) -> bool:
    """Whether it may."""
    if type(op) is Txn:
        return any(map(writes, op.success)) or any(map(writes, op.failure))
    return type(op) is not Range


@dataclass(slots=True)
class RangeResult:
    kvs: list[KeyValue]
    count: int  # of all keys in the range, whatever the limit
    more: bool
    revision: int


@dataclass(slots=True)
class PutResult:
    revision: int
    prev_kv: KeyValue | None = None


@dataclass(slots=True)
class DeleteResult:
    revision: int
    deleted: int
    prev_kvs: list[KeyValue] = field(default_factory=list)


@dataclass(slots=True)
class TxnResult:
    succeeded: bool
    responses: list[OpResult]
    revision: int


OpResult: TypeAlias = RangeResult | PutResult | DeleteResult | TxnResult


class Event(NamedTuple):
    """kv.value is empty and kv.mod_revision the deletion's where `type` is DELETE; `prev_kv` only where asked for."""

    type: Literal["PUT", "DELETE"]
    kv: KeyValue
    prev_kv: KeyValue | None = None


class _WatchBatch(NamedTuple):
    events: list[Event]
    revision: int


class WatchBatch(_WatchBatch):
    """Events in order of revision, those of one revision never split; none in a progress notification, which says that
    everything up to `revision` was delivered. Watches share it, and `encoded` is what the first who sent it made of it for
    all."""

    encoded: bytes | None = None


class LeaseStatus(NamedTuple):
    lease: int
    granted_ttl_s: int
    left_s: float
    keys: list[bytes]  # in order; empty unless asked for


@dataclass(frozen=True, slots=True)
class Status:
    revision: int
    size_bytes: int  # of what is on disk
    in_use_bytes: int  # of that, what is not garbage
    index: int  # of commits (etcd: raft index); never goes back
    term: int  # rises with each start (etcd: with each election)
    compacted: int = -1  # the revision of the last compaction, where it is known


class Watch(Protocol):
    """`async for batch in watch`. Ends when cancelled; raises Compacted where what comes next was compacted away, at the
    start or because the reader was too slow, and Unavailable."""

    def __aiter__(self) -> AsyncIterator[WatchBatch]: ...

    def request_progress(self) -> None:
        """Asks for a batch without events once the watch has caught up with the present revision."""
        ...

    async def cancel(self) -> None: ...


T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Taker(Protocol[T_contra]):
    """Who is handed what watches bring, each known by a name of the taker's. It is called amid a commit: where it
    raises, its watches end."""

    def take(self, watches: Sequence[T_contra], batch: WatchBatch) -> int:
        """One batch for all of `watches`. Returns how many of them took it; to the others it is brought to be read."""
        ...

    def behind(self, watch: T_contra) -> None:
        """The watch is not handed over any more: there is something to be read."""
        ...


class HandedWatch(Watch, Protocol):
    """A watch that costs neither a task nor a turn of the loop while it has caught up and its taker keeps up."""

    def hand_to(self, taker: Taker[T], name: T) -> bool:
        """Batches go to `taker` from now on, unless there is something to be read. Returns whether they do; then nobody may
        read until the taker is told `behind`."""
        ...


class StoreError(Exception):
    """Base of the store's errors; str() is etcd's message."""


class Compacted(StoreError):
    """The revision asked for was compacted away. `revision`: the oldest that can be read."""

    def __init__(self, revision: int) -> None:
        super().__init__("etcdserver: mvcc: required revision has been compacted")
        self.revision = revision


class FutureRevision(StoreError):
    def __init__(self) -> None:
        super().__init__("etcdserver: mvcc: required revision is a future revision")


class LeaseNotFound(StoreError):
    def __init__(self) -> None:
        super().__init__("etcdserver: requested lease not found")


class LeaseExists(StoreError):
    def __init__(self) -> None:
        super().__init__("etcdserver: lease already exists")


class NoSpace(StoreError):
    """The quota is used up, or the disk is full. Nothing was changed; reads and deletes still work."""

    def __init__(self, message: str = "etcdserver: mvcc: database space exceeded") -> None:
        super().__init__(message)


class InvalidRequest(StoreError):
    """A request that breaks etcd's rules: too many operations, an empty key, a key put twice in one transaction."""


class Unavailable(StoreError):
    """The store cannot answer now: closed, a disk error, no quorum. An unanswered write may or may not have happened."""


class Corrupt(StoreError):
    """The data on disk cannot be trusted; the message says where it is and how to restore a snapshot."""


class InUse(StoreError):
    """Another process has the data directory open."""


class Store(Protocol):
    """Every write returns only when it is durable. All calls raise the StoreErrors above, a write's when it is called or when
    it is awaited: do both at once."""

    async def range(self, request: Range) -> RangeResult: ...

    def put(self, request: Put) -> Awaitable[PutResult]: ...

    def delete(self, request: Delete) -> Awaitable[DeleteResult]: ...

    def txn(self, request: Txn) -> Awaitable[TxnResult]: ...

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
    ) -> Watch:
        """Events of [key, range_end) from start_revision on (0: after the present revision)."""
        ...

    async def compact(self, revision: int, *, physical: bool = False) -> None:
        """Revisions before `revision` cannot be read any more; `physical` waits until their memory is free, too."""
        ...

    async def lease_grant(self, ttl_s: int, lease: int = 0) -> int:
        """Returns the lease's id: the one given, or a fresh one."""
        ...

    async def lease_keep_alive(self, lease: int) -> int:
        """Returns its time to live, seconds."""
        ...

    async def lease_revoke(self, lease: int) -> None: ...

    async def lease_time_to_live(self, lease: int, *, keys: bool = False) -> LeaseStatus: ...

    async def lease_list(self) -> list[int]: ...

    async def revision(self) -> int:
        """The present revision."""
        ...

    async def status(self) -> Status: ...

    async def close(self) -> None: ...


class Version(NamedTuple):
    """One version of one key. `sub` counts the changes of one revision from 0. Of a deletion, `kv` has only key and
    mod_revision."""

    kv: KeyValue
    sub: int
    deleted: bool


@dataclass(slots=True)
class Export:
    """All that a store holds at one revision. `versions`: what etcd's database would hold, in order of revision and sub:
    each key's newest version up to `compacted`, and all since."""

    revision: int
    compacted: int
    index: int
    term: int
    leases: list[LeaseStatus]
    meta: dict[str, bytes]
    versions: AsyncIterator[list[Version]]


class KeysHash(NamedTuple):
    hash: int
    revision: int
    compacted: int


class Watching(NamedTuple):
    """How many watches there are, how many of them read the history, and how many events wait for their readers."""

    watches: int
    slow: int
    pending: int


Alarm: TypeAlias = Literal["NOSPACE", "CORRUPT"]


class Maintained(Store, Protocol):
    """A store that is all here: what an etcd server does besides serving keys."""

    @property
    def term(self) -> int: ...

    @property
    def index(self) -> int: ...

    @property
    def commits_took(self) -> Durations:
        """How long commits waited for the disk."""
        ...

    @property
    def leases_expired(self) -> int:
        """Since the start."""
        ...

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
    ) -> HandedWatch: ...

    def watching(self) -> Watching: ...

    def export(self) -> AbstractAsyncContextManager[Export]:
        """A consistent copy, to be read while the store goes on."""
        ...

    async def hash_kv(self, revision: int = 0) -> KeysHash:
        """etcd's HashKV: equal to a real etcd's with the same history. Raises Compacted, FutureRevision."""
        ...

    async def defragment(self) -> None:
        """Returns once the disk holds no garbage."""
        ...

    @property
    def alarms(self) -> frozenset[Alarm]: ...

    async def set_alarm(self, alarm: Alarm, active: bool) -> None:
        """NOSPACE sets itself when the quota is exceeded, and is only ever taken back here."""
        ...

    @property
    def meta(self) -> Mapping[str, bytes]:
        """Small durable facts beside the keys: the cluster's id, users and roles."""
        ...

    async def set_meta(self, name: str, value: bytes | None) -> None: ...


def prefix_end(prefix: bytes) -> bytes:
    """The range_end that makes [prefix, range_end) all keys with that prefix."""
    for i in range(len(prefix) - 1, -1, -1):
        if prefix[i] < 0xFF:
            return prefix[:i] + bytes([prefix[i] + 1])
    return b"\0"
