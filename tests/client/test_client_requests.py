"""Requests through each transport: the same answers, the same errors."""

from contextlib import aclosing

import pytest

from pilothouse.api import errors
from pilothouse.api.errors import StatusError


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_an_object_is_created_read_changed_and_deleted(client):
    maps = client.resource("", "v1", "configmaps")
    made = await maps.create(config_map("a", key="1"))
    assert made["metadata"]["uid"] and made["data"] == {"key": "1"}
    assert await maps.get("a", "default") == made
    changed = await maps.update({**made, "data": {"key": "2"}})
    assert changed["data"] == {"key": "2"}
    patched = await maps.patch("a", "default", {"data": {"other": "3"}})
    assert patched["data"] == {"key": "2", "other": "3"}
    patched = await maps.patch("a", "default", [{"op": "remove", "path": "/data/key"}], "json")
    assert patched["data"] == {"other": "3"}
    await maps.delete("a", "default", uid=made["metadata"]["uid"])
    with pytest.raises(StatusError) as failure:
        await maps.get("a", "default")
    assert (failure.value.code, failure.value.reason) == (404, "NotFound")
    assert failure.value.message == 'configmaps "a" not found'


async def test_failures_are_status_errors_with_their_details(client):
    maps = client.resource("", "v1", "configmaps")
    made = await maps.create(config_map("a"))
    with pytest.raises(StatusError) as failure:
        await maps.create(config_map("a"))
    assert failure.value.status() == errors.already_exists("", "configmaps", "a").status()
    with pytest.raises(StatusError, match="the object has been modified"):
        await maps.update({**made, "metadata": {**made["metadata"], "resourceVersion": "1"}})
    with pytest.raises(StatusError, match="Precondition failed"):
        await maps.delete("a", "default", uid="another")


async def test_items_of_a_list_have_their_kind(client, server):
    await client.resource("", "v1", "configmaps").create(config_map("a"))
    found = await client.resource("", "v1", "configmaps").list()
    bare = server.list

    def without_kinds(*args):
        answer = bare(*args)
        items = [{k: v for k, v in o.items() if k not in ("kind", "apiVersion")} for o in answer.object["items"]]
        answer.object = {**answer.object, "items": items}
        return answer

    server.list = without_kinds
    assert await client.resource("", "v1", "configmaps").list() == found
    assert (found["items"][0]["kind"], found["items"][0]["apiVersion"]) == ("ConfigMap", "v1")


async def test_selectors_reach_the_server(client):
    maps = client.resource("", "v1", "configmaps")
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"})):
        await maps.create({"metadata": {"name": name, "namespace": "default", "labels": labels}})
    assert [o["metadata"]["name"] for o in (await maps.list(label_selector="x=2"))["items"]] == ["b"]
    assert [o["metadata"]["name"] for o in (await maps.list(field_selector="metadata.name=a"))["items"]] == ["a"]
    await maps.delete_collection("default", label_selector="x=2")
    assert [o["metadata"]["name"] for o in (await maps.list("default"))["items"]] == ["a"]


async def test_a_watch_brings_what_happened_since_a_version(client):
    maps = client.resource("", "v1", "configmaps")
    first = await maps.create(config_map("a"))
    version = (await maps.list())["metadata"]["resourceVersion"]
    await maps.create(config_map("b", text="ä" * 1000))
    await maps.delete("a", "default")
    events = []
    async with aclosing(maps.watch(resource_version=version)) as stream:
        async for batch in stream:
            events += batch
            if len(events) == 2:
                break
    assert [(e.type, e.object["metadata"]["name"]) for e in events] == [("ADDED", "b"), ("DELETED", "a")]
    assert events[0].object["data"]["text"] == "ä" * 1000
    assert events[1].object["metadata"]["uid"] == first["metadata"]["uid"]


async def test_an_error_in_a_watch_is_raised(client, server):
    server.compacted = 100_000
    with pytest.raises(StatusError) as failure:
        async with aclosing(client.resource("", "v1", "pods").watch(resource_version="1")) as stream:
            async for _ in stream:
                pass
    assert (failure.value.code, failure.value.reason) == (410, "Expired")


async def test_a_request_is_sent_again_where_the_server_asks_for_it(client, server):
    asked = []

    def busy(request):
        asked.append(request)
        return errors.too_many_requests("too many requests", 0) if len(asked) < 3 else None

    server.faults.append(busy)
    await client.resource("", "v1", "pods").list()
    assert len(asked) == 3


async def test_a_refusal_without_retry_after_is_final(client, server):
    server.faults.append(lambda _: StatusError(429, "TooManyRequests", "Cannot evict pod"))
    with pytest.raises(StatusError, match="Cannot evict pod"):
        await client.resource("", "v1", "pods").list()
    assert len(server.requests) == 1


async def test_agent_and_manager_are_named(client, server):
    named = client.named("kube-controller-manager/x", "boss")
    await named.resource("", "v1", "configmaps").create(config_map("a"))
    assert server.requests[-1].headers["user-agent"] == "kube-controller-manager/x"
    assert server.requests[-1].first("fieldManager") == "boss"


async def test_names_may_hold_any_character_of_a_path_segment(client):
    roles = client.resource("rbac.authorization.k8s.io", "v1", "clusterroles")
    await roles.create({"metadata": {"name": "system:a b%2F?#"}})
    assert (await roles.get("system:a b%2F?#"))["metadata"]["name"] == "system:a b%2F?#"


async def test_no_server_is_unavailable():
    from pilothouse.client import Client
    from pilothouse.client.https import Https
    from pilothouse.clock import RealClock

    client = Client(Https("http://127.0.0.1:1"), RealClock())
    with pytest.raises(StatusError) as failure:
        await client.resource("", "v1", "pods").list()
    assert failure.value.code == 503
    await client.close()
