"""Custom resources: their versions, subresources, rules, and what becomes of them when their definition goes."""

from __future__ import annotations

import asyncio
from typing import Any

from asking import Call

from pilothouse.api.exchange import Response
from pilothouse.api.objects import Obj
from pilothouse.clock import RealClock

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
MERGE = "application/merge-patch+json"
BOATS = "/apis/sea.example.com/{}/namespaces/default/boats"


def _version(name: str, spec: Obj, **more: Any) -> Obj:
    properties = {"spec": {"type": "object", "properties": spec}, "status": {"type": "object", "properties": spec}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    return {"name": name, "served": True, "storage": False, "schema": schema, **more}


def _definition(*versions: Obj) -> Obj:
    names = {"plural": "boats", "kind": "Boat"}
    spec = {"group": "sea.example.com", "scope": "Namespaced", "names": names, "versions": list(versions)}
    metadata = {"name": "boats.sea.example.com"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


def _boat(version: str, **content: Any) -> Obj:
    return {"apiVersion": f"sea.example.com/{version}", "kind": "Boat", "metadata": {"name": "ark"}, **content}


def _object(response: Response) -> Obj:
    assert response.object is not None
    return response.object


async def _until(call: Call, address: str, status: int) -> Response:
    for _ in range(500):
        response = await call("GET", address)
        if response.status == status:
            return response
        await RealClock().sleep(0.02)
    raise AssertionError(f"{address}: {response.status}")


async def _define(call: Call, *versions: Obj) -> None:
    assert (await call("POST", DEFINITIONS, _definition(*versions))).status == 201
    await _until(call, BOATS.format(versions[0]["name"]), 200)


async def test_each_version_shows_its_own_schema(call: Call) -> None:
    a = _version("v1", {"a": {"type": "string"}, "one": {"type": "integer", "default": 1}}, storage=True)
    b = _version("v2", {"a": {"type": "string"}, "two": {"type": "integer", "default": 2}}, deprecated=True)
    await _define(call, a, b)
    made = await call("POST", BOATS.format("v1"), _boat("v1", spec={"a": "x", "unknown": 1}))
    assert (made.status, _object(made)["spec"]) == (201, {"a": "x", "one": 1})
    assert made.warnings == ['unknown field "spec.unknown"']
    shown = await call("GET", BOATS.format("v2") + "/ark")
    assert _object(shown)["apiVersion"] == "sea.example.com/v2"
    assert _object(shown)["spec"] == {"a": "x"}  # its defaults come with writes in it
    assert shown.warnings == ["sea.example.com/v2 Boat is deprecated"]


async def test_status_is_written_by_itself(call: Call) -> None:
    await _define(call, _version("v1", {"n": {"type": "integer"}}, storage=True, subresources={"status": {}}))
    address = BOATS.format("v1")
    made = await call("POST", address, _boat("v1", spec={"n": 1}, status={"n": 9}))
    assert "status" not in _object(made)
    change = {"spec": {"n": 5}, "status": {"n": 7}}
    written = await call("PATCH", f"{address}/ark/status", change, content_type=MERGE)
    assert (_object(written)["spec"], _object(written)["status"]) == ({"n": 1}, {"n": 7})
    assert _object(written)["metadata"]["generation"] == 1
    written = await call("PATCH", f"{address}/ark", change, content_type=MERGE)
    assert (_object(written)["spec"], _object(written)["metadata"]["generation"]) == ({"n": 5}, 2)


async def test_rules_that_come_later_let_be_what_is_not_changed(call: Call) -> None:
    await _define(call, _version("v1", {"n": {"type": "integer"}, "m": {"type": "integer"}}, storage=True))
    address = f"{BOATS.format('v1')}/ark"
    assert (await call("POST", BOATS.format("v1"), _boat("v1", spec={"n": 9}))).status == 201
    rule = {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 5"}]}
    version = _version("v1", {"n": rule, "m": {"type": "integer"}}, storage=True)
    changed = await call(
        "PATCH", f"{DEFINITIONS}/boats.sea.example.com", {"spec": {"versions": [version]}}, content_type=MERGE
    )
    assert changed.status == 200
    for _ in range(500):
        response = await call("PATCH", f"{address}?dryRun=All", {"spec": {"n": 8}}, content_type=MERGE)
        if response.status == 422:
            break
        await RealClock().sleep(0.02)
    assert "spec.n: Invalid value: 8: failed rule: self < 5" in _object(response)["message"]
    response = await call("PATCH", address, {"spec": {"m": 1}}, content_type=MERGE)
    assert response.status == 200
    assert response.warnings == ["spec.n: Invalid value: 9: failed rule: self < 5"]


async def _terminating(call: Call, definition: str) -> list[str]:
    found = _object(await call("GET", definition))["status"]["conditions"]
    return [c["status"] for c in found if c["type"] == "Terminating"]


async def test_objects_go_before_their_definition(call: Call) -> None:
    await _define(call, _version("v1", {"n": {"type": "integer"}}, storage=True))
    address, definition = BOATS.format("v1"), f"{DEFINITIONS}/boats.sea.example.com"
    held = _boat("v1", spec={"n": 1})
    held["metadata"] = {"name": "ark", "finalizers": ["example.com/held"]}
    assert (await call("POST", address, held)).status == 201
    assert (await call("DELETE", definition)).status == 200
    assert await _terminating(call, definition) == ["True"]
    assert _object(await call("GET", definition))["metadata"]["finalizers"] == [FINALIZER]
    held["metadata"]["name"] = "raft"
    while (made := await call("POST", f"{address}?dryRun=All", held)).status == 201:  # until the deletion is noticed
        await RealClock().sleep(0.02)
    assert made.status == 403
    freed = await call("PATCH", f"{address}/ark", {"metadata": {"finalizers": None}}, content_type=MERGE)
    assert freed.status == 200
    await _until(call, definition, 404)
    await _until(call, address, 404)


async def test_no_patch_takes_the_kind_away(call: Call) -> None:
    await _define(call, _version("v1", {"n": {"type": "integer"}}, storage=True))
    address = BOATS.format("v1")
    assert (await call("POST", address, _boat("v1", spec={"n": 1}))).status == 201
    for patch in ({"kind": None}, {"kind": ""}, {"kind": None, "apiVersion": None}):
        refused = await call("PATCH", f"{address}/ark", patch, content_type=MERGE)
        assert refused.status == 422
        assert "Object 'Kind' is missing in '{" in _object(refused)["message"]
    assert _object(await call("GET", f"{address}/ark"))["kind"] == "Boat"


async def test_objects_of_unserved_versions_go_too(call: Call) -> None:
    version = _version("v1", {"n": {"type": "integer"}}, storage=True)
    await _define(call, version)
    address, definition = BOATS.format("v1"), f"{DEFINITIONS}/boats.sea.example.com"
    assert (await call("POST", address, _boat("v1", spec={"n": 1}))).status == 201
    unserved = {"spec": {"versions": [{**version, "served": False}]}}
    assert (await call("PATCH", definition, unserved, content_type=MERGE)).status == 200
    await _until(call, address, 404)
    assert (await call("DELETE", definition)).status == 200
    await _until(call, definition, 404)
    await _define(call, version)
    assert _object(await call("GET", address))["items"] == []


async def _watched(call: Call, address: str) -> tuple[list[tuple[str, str]], asyncio.Task[None]]:
    """A watch that has begun: what it sees of the one object that there is, until it ends."""
    seen: list[tuple[str, str]] = []
    response = await call("GET", f"{address}?watch=true")
    events = response.events
    assert events is not None

    async def read() -> None:
        async for batch in events:
            seen.extend((e.type, e.object["apiVersion"]) for e in batch)

    task = asyncio.create_task(read())
    while not seen:
        await RealClock().sleep(0.01)
    return seen, task


async def test_watches_end_where_what_they_show_changes(call: Call) -> None:
    one, two = (_version(v, {"n": {"type": "integer"}}, storage=v == "v1") for v in ("v1", "v2"))
    await _define(call, one, two)
    definition = f"{DEFINITIONS}/boats.sea.example.com"
    assert (await call("POST", BOATS.format("v1"), _boat("v1", spec={"n": 1}))).status == 201
    wider = _version("v1", {"n": {"type": "integer"}, "m": {"type": "integer"}}, storage=True)
    for versions in (
        [one, {**two, "served": False}],
        [wider, two],
        [{**one, "storage": False}, {**two, "storage": True}],
    ):
        watches = [await _watched(call, BOATS.format("v1")), await _watched(call, BOATS.format("v1"))]
        changed = {"spec": {"versions": versions}}
        assert (await call("PATCH", definition, changed, content_type=MERGE)).status == 200
        for seen, task in watches:
            await asyncio.wait_for(task, 5)
            assert seen == [("ADDED", "sea.example.com/v1")]


async def test_watches_see_the_objects_go_with_their_definition(call: Call) -> None:
    await _define(call, _version("v1", {"n": {"type": "integer"}}, storage=True))
    definition = f"{DEFINITIONS}/boats.sea.example.com"
    assert (await call("POST", BOATS.format("v1"), _boat("v1", spec={"n": 1}))).status == 201
    seen, task = await _watched(call, BOATS.format("v1"))
    label = {"metadata": {"labels": {"a": "b"}}}
    assert (await call("PATCH", definition, label, content_type=MERGE)).status == 200
    assert (await call("DELETE", definition)).status == 200
    await asyncio.wait_for(task, 5)
    assert seen == [("ADDED", "sea.example.com/v1"), ("DELETED", "sea.example.com/v1")]


async def test_rules_bear_lists_where_a_format_lets_them_in(call: Call) -> None:
    schema = {"n": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}}
    version = _version("v1", schema, storage=True)
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [
        {"rule": "self.n > 0"},
        {"rule": "!has(self.at) || self.n < 2 || string(self.at) != ''"},
    ]
    await _define(call, version)
    assert (await call("POST", BOATS.format("v1"), _boat("v1", spec={"n": 1, "at": [1]}))).status == 201
    other = _boat("v1", spec={"n": 2, "at": [1]})
    other["metadata"]["name"] = "raft"
    refused = await call("POST", BOATS.format("v1"), other)
    assert refused.status == 422
    assert "expected string" in _object(refused)["message"]
