"""`Storage`: writes of one resource's objects: each one transaction that compares the revision it started from."""

from __future__ import annotations

from typing import cast

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.apiserver.registry.entries import Entry, encode_value
from pilothouse.apiserver.registry.feed import Feed
from pilothouse.apiserver.registry.resources import Stored
from pilothouse.apiserver.registry.watchcache import WatchCache, read_live
from pilothouse.clock import Clock
from pilothouse.store.interface import (
    Compare,
    Delete,
    LeaseNotFound,
    Put,
    Range,
    RangeResult,
    Store,
    StoreError,
    Txn,
    TxnResult,
)

_LEASE_REUSE_S = 60
_LEASE_MOST_OBJECTS = 1000


class Lost(Exception):
    """The object changed meanwhile. `current`: what it is now, None where it is gone."""

    def __init__(self, current: Entry | None) -> None:
        super().__init__()
        self.current = current


class Leases:
    """Shares leases between objects of one time to live, as upstream's lease manager does: one a minute or 1,000 objects."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._current: dict[int, tuple[int, float, int]] = {}  # ttl → lease, when it was granted, objects on it

    async def lease(self, ttl_s: int) -> int:
        found = self._current.get(ttl_s)
        now_s = self._clock.monotonic()
        if found is not None and now_s - found[1] < _LEASE_REUSE_S and found[2] < _LEASE_MOST_OBJECTS:
            self._current[ttl_s] = (found[0], found[1], found[2] + 1)
            return found[0]
        lease = await self._store.lease_grant(ttl_s + _LEASE_REUSE_S)
        self._current[ttl_s] = (lease, now_s, 1)
        return lease

    def forget(self) -> None:
        self._current.clear()


def store_failure(error: StoreError) -> StatusError:
    """What a client is told of a store's failure: the store's words, as upstream's server passes on etcd's."""
    message = str(error)
    if message == "etcdserver: request is too large" or "trying to send message larger than max" in message:
        return errors.too_large(f"Request entity too large: {message}")
    return StatusError(500, "", message)


class Storage:
    def __init__(self, stored: Stored, store: Store, feed: Feed, clock: Clock, leases: Leases) -> None:
        self.stored, self.cache = stored, WatchCache(stored, store, feed, clock)
        self._store, self._feed, self._leases = store, feed, leases

    @property
    def store(self) -> Store:
        return self._store

    @property
    def feed(self) -> Feed:
        return self._feed

    def adopt(self, stored: Stored) -> None:
        """The resource was defined anew; its objects stay what they are, but watches end: what they show changes."""
        self.stored = self.cache.stored = stored
        self.cache.watchers.close()

    async def get(self, key: str) -> Entry | None:
        """The present object: from the cache where that is as fresh as the store, else from the store."""
        try:
            if self.cache.filled:
                revision = await self._store.revision()
                if self._feed.revision >= revision and self.cache.filled:
                    return self.cache.get(key)
            return await self.live(key)
        except StoreError as error:
            raise store_failure(error) from error

    async def live(self, key: str) -> Entry | None:
        try:
            return await read_live(self.stored, self._store, key)
        except StoreError as error:
            raise store_failure(error) from error
        except ValueError as error:
            raise errors.internal(f"the value of {key} in the store cannot be read: {error}") from error

    async def create(self, key: str, obj: Obj, ttl_s: int = 0) -> Entry:
        """Raises Lost where the key exists."""
        return await self._put(key, obj, 0, ttl_s)

    async def replace(self, entry: Entry, obj: Obj, ttl_s: int = 0) -> Entry:
        """Raises Lost where `entry` is no longer the present object."""
        return await self._put(entry.key, obj, entry.revision, ttl_s)

    async def _put(self, key: str, obj: Obj, revision: int, ttl_s: int) -> Entry:
        value = encode_value(self.stored, obj)
        raw = key.encode()
        self.cache.expect(key, value, obj)
        for last in (False, True):
            try:
                lease = await self._leases.lease(ttl_s) if ttl_s else 0
                result = await self._store.txn(
                    Txn([Compare(raw, "mod", "=", revision)], [Put(raw, value, lease)], [Range(raw)])
                )
                break
            except LeaseNotFound as error:
                self._leases.forget()
                if last:
                    raise store_failure(error) from error
            except StoreError as error:
                raise store_failure(error) from error
        if not result.succeeded:
            self.cache.unexpect(key, value)
            raise Lost(self._current(key, result))
        return self.cache.written(key, value, obj, result.revision)

    async def delete(self, entry: Entry) -> Entry:
        """The object as its deletion shows it. Raises Lost where `entry` is no longer the present object."""
        raw = entry.key.encode()
        try:
            result = await self._store.txn(Txn([Compare(raw, "mod", "=", entry.revision)], [Delete(raw)], [Range(raw)]))
        except StoreError as error:
            raise store_failure(error) from error
        if not result.succeeded:
            raise Lost(self._current(entry.key, result))
        return entry.at(result.revision)

    async def unreadable(self, key: str) -> int | None:
        """The revision of a value that is no object; 0 for one that is, None where there is no value. Raises StatusError."""
        try:
            found = await self._store.range(Range(key.encode()))
        except StoreError as error:
            raise store_failure(error) from error
        if not found.kvs:
            return None
        kv = found.kvs[0]
        try:
            _ = Entry.of_value(self.stored, key, kv.mod_revision, kv.value).obj
        except (ValueError, StatusError):
            return kv.mod_revision
        return 0

    async def remove(self, key: str, revision: int) -> bool:
        """Whatever it is; False where it has changed. Raises StatusError."""
        raw = key.encode()
        try:
            result = await self._store.txn(Txn([Compare(raw, "mod", "=", revision)], [Delete(raw)], []))
        except StoreError as error:
            raise store_failure(error) from error
        return result.succeeded

    def _current(self, key: str, result: TxnResult) -> Entry | None:
        found = cast(RangeResult, result.responses[0])
        if not found.kvs:
            return None
        kv = found.kvs[0]
        return Entry.of_value(self.stored, key, kv.mod_revision, kv.value)
