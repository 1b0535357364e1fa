"""Custom resources whose versions a webhook converts: one that cannot be reached, and who owns fields through one that can."""

from __future__ import annotations

import pytest
from asking import Call

from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver.customresources.conversion import Converter
from pilothouse.clock import RealClock

BOATS = "/apis/sea.example.com/{}/namespaces/default/boats"
KEY = "/sea.example.com/boats/default/ark"


def _definition() -> Obj:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": v, "served": True, "storage": v == "v1", "schema": schema} for v in ("v1", "v2")]
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.sea.example.com"},
        "spec": {
            "group": "sea.example.com",
            "scope": "Namespaced",
            "names": {"plural": "boats", "kind": "Boat"},
            "versions": versions,
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }


async def test_each_verb_says_what_was_not_converted(call: Call) -> None:
    made = await call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition())
    assert made.status == 201, made.object
    while (await call("GET", BOATS.format("v1"))).status != 200:
        await RealClock().sleep(0.02)
    boat: Obj = {"apiVersion": "sea.example.com/v1", "kind": "Boat", "metadata": {"name": "ark"}}
    stored = (await call("POST", BOATS.format("v1"), boat)).object
    assert stored is not None
    many, one = BOATS.format("v2"), BOATS.format("v2") + "/ark"

    async def ask(method: str, address: str, body: Obj | None = None, content_type: str = "application/json") -> Obj:
        answer = (await call(method, address, body, content_type=content_type)).object
        assert answer is not None
        return answer

    patched = await ask("PATCH", one, {"spec": {"n": 1}}, "application/merge-patch+json")
    undecodable = patched["message"]
    head = f"object not decodable revision={stored['metadata']['resourceVersion']}: conversion webhook for "
    assert undecodable.startswith(f"{head}sea.example.com/v1, Kind=Boat failed: ")
    assert (patched["code"], patched.get("reason")) == (500, None)
    corrupt = f"StorageError: corrupt object, Code: 7, Key: {{}}{KEY}, ResourceVersion: 0, AdditionalErrorMsg: "
    for method in ("GET", "DELETE"):
        answer = await ask(method, one)
        assert answer["message"] == f"Internal error occurred: {corrupt.format('')}{undecodable}"
        assert (answer["code"], answer["reason"]) == (500, "InternalError")
    unread = (
        f"failed to read one or more boats.sea.example.com from the storage: {corrupt.format('/registry')}{undecodable}"
    )
    listed = await ask("GET", many)
    assert listed["message"] == f"storage is (re)initializing: failed to list <unspecified>: {unread}"
    assert (listed["code"], listed["reason"]) == (429, "TooManyRequests")
    cleared = await ask("DELETE", many)
    assert (cleared["code"], cleared["reason"], cleared["message"]) == (500, "StorageReadError", unread)
    assert cleared["details"]["causes"][0]["field"] == f"/registry{KEY}"
    events = (await call("GET", f"{many}?watch=true")).events
    assert events is not None
    seen = [event async for batch in events for event in batch]
    assert [(e.type, e.object["code"]) for e in seen] == [("ERROR", 429)]
    assert (await call("GET", BOATS.format("v1") + "/ark")).status == 200


async def test_fields_are_owned_through_conversion(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def renaming(_: Converter, objs: list[Obj], api_version: str) -> list[Obj]:
        """`spec.a` of v1 is `spec.b` of v2."""
        found = []
        for obj in objs:
            new = copy(obj)
            new["apiVersion"] = api_version
            spec = new.get("spec") or {}
            old_name, new_name = ("a", "b") if api_version.endswith("v2") else ("b", "a")
            if old_name in spec:
                spec[new_name] = spec.pop(old_name)
            found.append(new)
        return found

    monkeypatch.setattr(Converter, "_convert", renaming)
    await call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition())
    while (await call("GET", BOATS.format("v1"))).status != 200:
        await RealClock().sleep(0.02)

    async def apply(version: str, manager: str, spec: Obj) -> Obj:
        body = {"apiVersion": f"sea.example.com/{version}", "kind": "Boat", "metadata": {"name": "ark"}, "spec": spec}
        address = f"{BOATS.format(version)}/ark?fieldManager={manager}"
        answer = (await call("PATCH", address, body, content_type="application/apply-patch+yaml")).object
        assert answer is not None
        return answer

    assert (await apply("v1", "one", {"a": "1"}))["spec"] == {"a": "1"}
    refused = await apply("v2", "two", {"b": "2"})
    assert refused["code"] == 409
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "one": .spec.a'
    assert (await apply("v2", "two", {"b": "1"}))["spec"] == {"b": "1"}  # the same value: both own it
    left = await apply("v1", "one", {})
    assert left["spec"] == {"a": "1"}  # somebody else still does
