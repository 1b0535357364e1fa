"""Brings a cluster's own objects into being at the API server's start, and up to date on a later one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import orjson

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import copy
from pilothouse.apiserver import allocators
from pilothouse.apiserver.bootstrap import policy
from pilothouse.apiserver.bootstrap.desired import Desired, configured, fixed, stamp
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Objects
from pilothouse.clock import Clock
from pilothouse.store.interface import Compare, Put, Range, RangeResult, Store, Txn

_BATCH = 100  # operations a transaction: etcd takes 128
_ATTEMPTS = 5
# What follows from the configuration is put right on each start: these fields of each.
_FOLLOWS_CONFIGURATION = {"endpoints": ("subsets",), "endpointslices": ("endpoints", "ports"), "configmaps": ("data",)}
_SINCE = "kube-apiserver-legacy-service-account-token-tracking"  # says when tracking began: never changes


class Server(Protocol):
    """What of the API server is needed here."""

    @property
    def objects(self) -> Objects: ...

    def store_of(self, group: str, resource: str) -> Store: ...

    @property
    def clock(self) -> Clock: ...


async def ensure(server: Server, config: Config) -> None:
    """Idempotent, and safe with several API servers starting at once. On an empty store this is four transactions: the
    objects are written as they stand, for nothing can be wrong with them that a pipeline would find."""
    objects, clock = server.objects, server.clock
    await allocators.repair(objects)
    by_store: dict[Store, list[Desired]] = {}
    for desired in (*fixed(), *configured(config, clock.now())):
        by_store.setdefault(server.store_of(desired.group, desired.resource), []).append(desired)
    for store, wanted in by_store.items():
        missing: list[Desired] = wanted
        for _ in range(_ATTEMPTS):
            missing = await _absent(store, missing)
            if not missing or await _create(store, clock, missing):
                break
        created = {id(d) for d in missing}
        for desired in wanted:
            if id(desired) not in created:
                await _renew(objects, store, desired)


def _batches(wanted: Sequence[Desired]) -> Iterator[Sequence[Desired]]:
    return (wanted[i : i + _BATCH] for i in range(0, len(wanted), _BATCH))


async def _absent(store: Store, wanted: Sequence[Desired]) -> list[Desired]:
    found: list[Desired] = []
    for batch in _batches(wanted):
        result = await store.txn(Txn(success=[Range(d.key, keys_only=True) for d in batch]))
        for desired, response in zip(batch, result.responses, strict=True):
            assert isinstance(response, RangeResult)
            if not response.kvs:
                found.append(desired)
    return found


async def _create(store: Store, clock: Clock, missing: Sequence[Desired]) -> bool:
    """False: another API server wrote one of them meanwhile."""
    whole = True
    for batch in _batches(missing):
        compare = [Compare(d.key, "version", "=", 0) for d in batch]
        puts = [Put(d.key, orjson.dumps(stamp(d.obj, clock))) for d in batch]
        whole &= (await store.txn(Txn(compare, puts))).succeeded
    return whole


async def _renew(objects: Objects, store: Store, desired: Desired) -> None:
    """An object from an earlier start: what this version or this configuration says otherwise is changed."""
    meta = desired.obj["metadata"]
    present = objects.get(desired.group, desired.resource, meta.get("namespace", ""), meta["name"])
    if present is None:
        return
    new = None
    if desired.group == policy.GROUP:
        new = policy.reconcile(present, desired.obj)
    elif desired.group == "flowcontrol.apiserver.k8s.io":
        annotations = present["metadata"].get("annotations") or {}
        if annotations.get("apf.kubernetes.io/autoupdate-spec") == "true" and present["spec"] != desired.obj["spec"]:
            new = {**copy(present), "spec": desired.obj["spec"]}
    elif desired.resource in _FOLLOWS_CONFIGURATION and meta["name"] != _SINCE:
        fields = _FOLLOWS_CONFIGURATION[desired.resource]
        if any(present.get(field) != desired.obj[field] for field in fields):
            new = {**copy(present), **{field: desired.obj[field] for field in fields}}
            # As it was created: a loopback address would not pass a pipeline. If somebody else changes it now it is theirs.
            revision = int(new["metadata"].pop("resourceVersion"))
            await store.txn(Txn([Compare(desired.key, "mod", "=", revision)], [Put(desired.key, orjson.dumps(new))]))
            return
    if new is None:
        return
    try:
        await objects.update(desired.group, desired.resource, new)
    except StatusError as error:
        if error.code not in (404, 409):  # somebody else has just changed it: then it is theirs
            raise
