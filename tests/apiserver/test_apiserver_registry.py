"""The watch cache over a store: filling, sharing, replaying, cutting off."""

from __future__ import annotations

import asyncio
import random

import orjson
import pytest
from memory_store import MemoryStore

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.apiserver.registry import watchcache
from pilothouse.apiserver.registry.entries import Entry, encode_value, with_revision
from pilothouse.apiserver.registry.feed import Feed
from pilothouse.apiserver.registry.resources import Registry, ServedResource, built_in, version_order
from pilothouse.apiserver.registry.storage import Leases, Lost, Storage
from pilothouse.apiserver.registry.watching import Delivery, Trigger, Watcher
from pilothouse.clock import RealClock
from pilothouse.store.interface import Delete, Put


def config_map(name: str, namespace: str = "a", **data: str) -> Obj:
    meta = {"name": name, "namespace": namespace, "creationTimestamp": None}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta, "data": data}


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    found.add(*built_in({}))
    return found


@pytest.fixture
def served(registry: Registry) -> ServedResource:
    found = registry.get("", "v1", "configmaps")
    assert found is not None
    return found


async def storage_of(store: MemoryStore, served: ServedResource) -> tuple[Feed, Storage]:
    clock = RealClock()
    feed = Feed(store, clock)
    await feed.start()
    return feed, Storage(served.stored, store, feed, clock, Leases(store, clock))


def test_keys(registry: Registry) -> None:
    def prefix(group: str, resource: str) -> str:
        stored = registry.stored(group, resource)
        assert stored is not None
        return stored.prefix

    assert prefix("", "services") == "/registry/services/specs/"
    assert prefix("", "endpoints") == "/registry/services/endpoints/"
    assert prefix("", "nodes") == "/registry/minions/"
    assert prefix("networking.k8s.io", "ingresses") == "/registry/ingress/"
    assert prefix("events.k8s.io", "events") == "/registry/events/"
    assert prefix("apiregistration.k8s.io", "apiservices") == "/registry/apiregistration.k8s.io/apiservices/"
    assert registry.stored("events.k8s.io", "events") is registry.stored("", "events")
    assert registry.get("autoscaling", "v1", "horizontalpodautoscalers").stored.gvk.version == "v2"  # type: ignore[union-attr]


def test_runtime_config() -> None:
    def served(**settings: bool) -> set[str]:
        named = {k.replace("__", "/").replace("_", "."): v for k, v in settings.items()}
        return {s.gvr.api_version for s in built_in(named)}

    assert "resource.k8s.io/v1beta1" not in served()
    assert "resource.k8s.io/v1beta1" in served(resource_k8s_io__v1beta1=True)
    assert "batch/v1" not in served(batch__v1=False)
    assert "resource.k8s.io/v1alpha3" in served(api__alpha=True)


def test_version_order() -> None:
    versions = ["v1beta1", "v1", "foo", "v2", "v1alpha1", "v1beta2", "v10"]
    assert sorted(versions, key=version_order) == ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]


def test_the_revision_has_its_place(served: ServedResource) -> None:
    obj = {"kind": "X", "apiVersion": "v1", "metadata": {"name": "a", "uid": "u", "labels": {}}}
    assert list(with_revision(obj, 7)["metadata"]) == ["name", "uid", "resourceVersion", "labels"]
    assert "resourceVersion" not in orjson.loads(encode_value(served.stored, with_revision(obj, 7)))["metadata"]


async def test_a_write_is_one_entry_for_all(store: MemoryStore, served: ServedResource) -> None:
    feed, storage = await storage_of(store, served)
    await storage.cache.ready()
    entry = await storage.create("/registry/configmaps/a/x", config_map("x"))
    await feed.fresh()
    assert storage.cache.get("/registry/configmaps/a/x") is entry
    assert orjson.loads(entry.json(served)) == entry.obj
    with pytest.raises(Lost) as lost:
        await storage.create("/registry/configmaps/a/x", config_map("x"))
    assert lost.value.current is not None
    assert lost.value.current.revision == entry.revision
    newer = await storage.replace(entry, config_map("x", k="v"))
    with pytest.raises(Lost):
        await storage.replace(entry, config_map("x", k="w"))
    await feed.fresh()
    assert storage.cache.get(entry.key) is newer
    gone = await storage.delete(newer)
    assert gone.obj["metadata"]["resourceVersion"] == str(store.now)
    await feed.fresh()
    assert storage.cache.get(entry.key) is None
    await feed.stop()


async def test_what_others_wrote(store: MemoryStore, served: ServedResource) -> None:
    await store.put(Put(b"/registry/configmaps/a/old", orjson.dumps(config_map("old"))))
    feed, storage = await storage_of(store, served)
    await store.put(Put(b"/registry/configmaps/a/during", orjson.dumps(config_map("during"))))
    await storage.cache.ready()
    await store.put(Put(b"/registry/configmaps/b/new", orjson.dumps(config_map("new", "b"))))
    await store.put(Put(b"/registry/configmaps/b/bad", b"not json"))
    await store.put(Put(b"/registry/elsewhere", b"x"))
    await feed.fresh()
    names = [e.obj["metadata"]["name"] for e in storage.cache.entries()]
    assert names == ["during", "old", "new"]
    assert [e.obj["metadata"]["name"] for e in storage.cache.entries("b")] == ["new"]
    await feed.stop()


async def test_replay_and_its_limit(store: MemoryStore, served: ServedResource) -> None:
    await store.put(Put(b"/registry/configmaps/a/x", orjson.dumps(config_map("x"))))
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    await cache.ready()
    first = store.now
    for i in range(3):
        await store.put(Put(b"/registry/configmaps/a/x", orjson.dumps(config_map("x", n=str(i)))))
    await feed.fresh()
    watcher = cache.watch(after=first + 1, limit=10)
    taken = await watcher.take()
    assert taken is not None
    assert [(d.type, d.entry.obj["data"]["n"]) for d in taken] == [("MODIFIED", "1"), ("MODIFIED", "2")]
    with pytest.raises(StatusError) as gone:
        cache.watch(after=first - 1, limit=10)
    assert (gone.value.code, gone.value.reason) == (410, "Expired")
    await feed.stop()


async def test_the_past_is_packed_and_reads_as_it_was(
    store: MemoryStore, served: ServedResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchcache, "_FRESH_MOST", 2)
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    await cache.ready()
    first, key = store.now, b"/registry/configmaps/a/x"
    said = [{"n": str(i), "long": "".join(chr(97 + j * j % 26) for j in range(900))} for i in range(8)]
    for data in said:
        await store.put(Put(key, orjson.dumps(config_map("x", **data))))
        await feed.fresh()
    await store.delete(Delete(key))
    await feed.fresh()
    packed = [event.entry for event in cache._history if event.entry._packed is not None]
    assert len(packed) >= 5
    meta = [entry.metadata() for entry in packed[:2]]
    watcher = cache.watch(after=first, predicate=lambda entry: entry.obj["data"]["n"] != "3", limit=10)
    taken = await watcher.take()
    assert taken is not None
    assert [d.type for d in taken] == [
        "ADDED",
        "MODIFIED",
        "MODIFIED",
        "DELETED",
        "ADDED",
        *["MODIFIED"] * 3,
        "DELETED",
    ]
    assert [d.entry.obj["data"] for d in taken] == [*said[:3], said[2], *said[4:], said[7]]
    for one in taken:
        assert orjson.loads(one.entry.json(served)) == one.entry.obj
        assert one.entry.obj["metadata"]["resourceVersion"] == str(one.entry.revision)
    assert [orjson.loads(found)["name"] for found in meta] == ["x", "x"]
    await feed.stop()


async def test_a_slow_watcher_is_cut_off(store: MemoryStore, served: ServedResource) -> None:
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    await cache.ready()
    slow = cache.watch(after=None, limit=3)
    fast = cache.watch(after=None, limit=3)
    for i in range(5):
        await store.put(Put(b"/registry/configmaps/a/x", orjson.dumps(config_map("x", n=str(i)))))
        await feed.fresh()
        assert await fast.take()
    assert await slow.take() is None
    cache.watchers.discard(slow)
    cache.watchers.discard(fast)
    assert len(cache.watchers) == 0
    await feed.stop()


async def test_an_object_that_ceases_to_match_is_deleted(store: MemoryStore, served: ServedResource) -> None:
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    await cache.ready()

    def on(entry: Entry) -> bool:
        return bool(entry.obj["data"].get("on") == "yes")

    watcher = cache.watch(predicate=on, after=None, limit=10)
    for value in ("no", "yes", "yes", "no", "no", "yes"):
        await store.put(Put(b"/registry/configmaps/a/x", orjson.dumps(config_map("x", on=value))))
    await feed.fresh()
    taken = await watcher.take()
    assert taken is not None
    assert [d.type for d in taken] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    # The deletion shows the object as it last matched, at the revision that made it cease to.
    assert taken[2].entry.obj["data"] == {"on": "yes"}
    assert taken[2].entry.obj["metadata"]["resourceVersion"] == str(taken[2].revision)
    await feed.stop()


async def test_a_broken_watch_on_the_store(store: MemoryStore, served: ServedResource) -> None:
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    await cache.ready()
    watcher = cache.watch(after=None, limit=10)
    waiting = asyncio.create_task(watcher.take())
    await asyncio.sleep(0)
    for watch in list(store.watches):
        await watch.cancel()
    assert await waiting is None
    await store.put(Put(b"/registry/configmaps/a/x", orjson.dumps(config_map("x"))))
    await feed.fresh()
    await cache.ready()
    assert len(cache) == 1
    await feed.stop()


async def test_leases_are_shared(store: MemoryStore) -> None:
    leases = Leases(store, RealClock())
    assert await leases.lease(3600) == await leases.lease(3600)
    assert await leases.lease(60) != await leases.lease(3600)
    assert sorted(store.leases.values()) == [120, 3660]


async def test_watchers_by_field(store: MemoryStore, registry: Registry) -> None:
    """Those of one value of a field are found by it, when an object comes to have it and when it ceases to."""
    served = registry.get("", "v1", "pods")
    assert served is not None
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    await cache.ready()
    at = sorted(served.kind.field_names).index("spec.nodeName")
    asked = 0

    def watch(node: str) -> Watcher:
        def on(entry: Entry) -> bool:
            nonlocal asked
            asked += 1
            return entry.fields(served.kind)[at] == node

        return cache.watch(predicate=on, trigger=Trigger(served.kind, at, node), after=None, limit=10)

    watchers = {f"n{i}": watch(f"n{i}") for i in range(50)}
    for node in ("", "n1", "n1", "n2"):
        pod = {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "p", "namespace": "a"},
            "spec": {"nodeName": node},
        }
        await store.put(Put(b"/registry/pods/a/p", orjson.dumps(pod)))
    await store.delete(Delete(b"/registry/pods/a/p"))
    await feed.fresh()
    seen = {node: [d.type for d in await w.take() or ()] for node, w in watchers.items() if not w.idle}
    assert seen == {"n1": ["ADDED", "MODIFIED", "DELETED"], "n2": ["ADDED", "DELETED"]}
    assert asked < 20, "the others were not asked"
    for watcher in watchers.values():
        cache.watchers.discard(watcher)
    assert len(cache.watchers) == 0
    await feed.stop()


async def test_bytes_are_made_once_for_all(store: MemoryStore, served: ServedResource) -> None:
    feed, storage = await storage_of(store, served)
    await storage.cache.ready()
    many = [storage.cache.watch(after=None, limit=10) for _ in range(20)]
    await store.put(Put(b"/registry/configmaps/a/x", orjson.dumps(config_map("x"))))
    await feed.fresh()
    made = []

    def make(delivery: Delivery) -> bytes:
        made.append(delivery)
        return b"bytes"

    for watcher in many:
        taken = await watcher.take()
        assert taken is not None
        assert [d.frame("form", make) for d in taken] == [b"bytes"]
    assert len(made) == 1
    await feed.stop()


async def test_an_index_keeps_up(store: MemoryStore, registry: Registry) -> None:
    """What an index finds is what a look at every entry finds, whatever happens while it is made and after."""
    served = registry.get("", "v1", "pods")
    assert served is not None
    rules = served.kind
    feed, storage = await storage_of(store, served)
    cache = storage.cache
    at = sorted(rules.field_names).index("spec.nodeName")
    chance = random.Random(7)

    async def change() -> None:
        name = f"p{chance.randrange(300):03}"
        key = f"/registry/pods/a/{name}".encode()
        if chance.random() < 0.3:
            await store.delete(Delete(key))
            return
        spec = {"nodeName": chance.choice(["", "n1", "n2"])}
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "a"}, "spec": spec}
        await store.put(Put(key, orjson.dumps(pod)))

    def check() -> None:
        for node in ("", "n1", "n2", "none"):
            found = cache.having(Trigger(rules, at, node))
            assert found == [e for e in cache.entries() if e.fields(rules)[at] == node]

    for _ in range(600):
        await change()
    await cache.ready()
    assert cache.having(Trigger(rules, at, "n1")) is None
    building = asyncio.create_task(cache.index(Trigger(rules, at, "n1")))
    await asyncio.sleep(0)
    for _ in range(50):
        await change()
    await building
    await feed.fresh()
    check()
    for _ in range(200):
        await change()
    await feed.fresh()
    check()
    cache.reset()
    await cache.ready()
    assert cache.having(Trigger(rules, at, "n1")) is None, "what was lost is not shown"
    cut = asyncio.create_task(cache.index(Trigger(rules, at, "n1")))
    await asyncio.sleep(0)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    await cache.index(Trigger(rules, at, "n1"))
    check()
    await feed.stop()
