"""What is answered where a conversion webhook cannot be reached."""

from __future__ import annotations

from asking import Call

from pilothouse.api.objects import Obj
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
