"""What a new cluster holds from the start, and what a later start puts right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from memory_store import MemoryStore
from security_fakes import FakeObjects

from pilothouse.api.objects import copy
from pilothouse.apiserver.bootstrap import ensure, policy
from pilothouse.apiserver.bootstrap.desired import configured, fixed
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.registry.resources import Registry, built_in
from pilothouse.clock import VirtualClock
from pilothouse.store.interface import Range

CONFIG = Config(client_ca=b"pem", advertise_port=7443)


@dataclass
class Server:
    objects: FakeObjects
    store: MemoryStore
    clock: VirtualClock

    def store_of(self, group: str, resource: str) -> MemoryStore:
        return self.store


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    yield Server(FakeObjects(), MemoryStore(), VirtualClock(1))


async def stored(server: Server) -> dict[str, Any]:
    found = await server.store.range(Range(b"/registry/", b"/registry0"))
    return {kv.key.decode(): orjson.loads(kv.value) for kv in found.kvs}


async def test_a_new_cluster(server: Server) -> None:
    await ensure(server, CONFIG)
    found = await stored(server)
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        assert found[f"/registry/namespaces/{name}"]["status"] == {"phase": "Active"}
    assert sum(key.startswith("/registry/clusterroles/") for key in found) == 73
    service = found["/registry/services/specs/default/kubernetes"]
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    assert service["spec"]["ports"][0]["targetPort"] == 7443
    assert found["/registry/ipaddresses/10.96.0.1"]["spec"]["parentRef"]["name"] == "kubernetes"
    assert found["/registry/configmaps/kube-system/extension-apiserver-authentication"]["data"] == {
        "client-ca-file": "pem"
    }
    slice_ = found["/registry/endpointslices/default/kubernetes"]
    assert slice_["endpoints"][0]["addresses"] == ["127.0.0.1"]
    uids = [obj["metadata"]["uid"] for obj in found.values()]
    assert len(set(uids)) == len(uids)
    schema = found["/registry/flowschemas/exempt"]
    assert list(schema["metadata"])[:4] == ["name", "uid", "generation", "creationTimestamp"]
    assert schema["status"]["conditions"][0]["lastTransitionTime"] == "2026-01-02T03:00:00Z"


async def test_the_keys_are_those_of_the_registry(server: Server) -> None:
    registry = Registry()
    registry.add(*built_in({}))
    for desired in [*fixed(), *configured(CONFIG, 0.0)]:
        kept = registry.stored(desired.group, desired.resource)
        assert kept is not None, desired.resource
        assert kept.key_of(desired.obj).encode() == desired.key
        assert kept.api_version == desired.obj["apiVersion"]


async def test_a_second_start_changes_nothing(server: Server) -> None:
    await ensure(server, CONFIG)
    before = await stored(server)
    for desired in [*fixed(), *configured(CONFIG, 0.0)]:
        server.objects.put(desired.group, desired.resource, before[desired.key.decode()])
    revision = server.objects.revision
    await ensure(server, CONFIG)
    assert await stored(server) == before
    assert server.objects.revision == revision


async def test_what_is_missing_comes_back_and_what_moved_is_put_right(server: Server) -> None:
    await ensure(server, CONFIG)
    from pilothouse.store.interface import Delete

    await server.store.delete(Delete(b"/registry/clusterroles/view"))
    before = await stored(server)
    key = "/registry/services/endpoints/default/kubernetes"
    found = (await server.store.range(Range(key.encode()))).kvs[0]
    server.objects.revision = found.mod_revision - 1
    server.objects.put("", "endpoints", before[key])
    await ensure(server, Config(client_ca=b"pem", advertise_address="127.0.0.1", advertise_port=7444))
    after = await stored(server)
    assert "/registry/clusterroles/view" in after
    moved = after[key]
    assert "resourceVersion" not in moved["metadata"]
    assert moved["subsets"][0]["addresses"] == [{"ip": "127.0.0.1"}]
    assert moved["subsets"][0]["ports"][0]["port"] == 7444
    await ensure(server, Config(client_ca=b"pem", advertise_address="10.0.0.9"))  # with what was there before
    assert (await stored(server))[key] == moved


def test_roles_are_added_to_and_never_cut() -> None:
    wanted = next(d.obj for d in fixed() if d.obj["metadata"]["name"] == "system:discovery" and "rules" in d.obj)
    present = copy(wanted)
    assert policy.reconcile(present, wanted) is None
    extra = {"verbs": ["get"], "nonResourceURLs": ["/own"]}
    present["rules"] = [extra]
    new = policy.reconcile(present, wanted)
    assert new is not None
    assert new["rules"][0] == extra
    assert policy.reconcile(new, wanted) is None
    present["metadata"]["annotations"] = {"rbac.authorization.kubernetes.io/autoupdate": "false"}
    assert policy.reconcile(present, wanted) is None
