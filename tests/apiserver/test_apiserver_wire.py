"""Wire forms: escapes, lists and objects without a type, metadata alone, refused options and tokens."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from asking import Call

from pilothouse.api.codec import text
from pilothouse.apiserver import negotiation
from pilothouse.clock import RealClock

CM = "/api/v1/namespaces/default/configmaps"
PROTOBUF = "application/vnd.kubernetes.protobuf"
ONLY = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"


def config_map(name: str, **meta: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, **meta}}


@pytest.mark.parametrize(
    ("value", "written"),
    [("a<b>&c", rb'"a\u003cb\u003e\u0026c"'), ("\u2028\u2029é", '"\\u2028\\u2029é"'.encode()), ("plain", b'"plain"')],
)
def test_escapes(value: str, written: bytes) -> None:
    assert text.to_json(value) == written
    assert orjson.loads(written) == value


@pytest.mark.parametrize(
    ("accept", "order"),
    [
        ("a/b;q=0.1, c/d", ["c/d", "a/b"]),
        ("*/*, a/b;q=0.1", ["a/b", "*/*"]),
        ("a/*, a/b", ["a/b", "a/*"]),
        ("*", ["*/*"]),
        ("a/b;q=x, c/d", ["c/d", "a/b"]),
        ("nothing, a/b/c, d/e", ["d/e"]),
    ],
)
def test_clauses(accept: str, order: list[str]) -> None:
    assert [clause.media_type for clause in negotiation.clauses(accept)] == order


async def gadgets(call: Call) -> str:
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    }  # fmt: skip
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"}, "spec": spec,
    }  # fmt: skip
    await call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    address = "/apis/example.com/v1/namespaces/default/gadgets"
    body = {"kind": "Gadget", "apiVersion": "example.com/v1", "metadata": {"name": "g"}, "zone": 1, "area": "<"}
    clock = RealClock()
    while (await call("GET", address)).status != 200:
        await clock.sleep(0.01)
    assert (await call("POST", address, body)).status == 201
    return address


async def test_lists_without_a_type(wire: Call, call: Call) -> None:
    address = await gadgets(call)
    one = (await wire("GET", f"{address}/g")).body
    assert b'"area":"\\u003c"' in one
    many = orjson.loads((await wire("GET", address)).body)
    assert many["items"] == [orjson.loads(one)]
    assert many["metadata"]["continue"] == ""


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_metadata_as_protobuf(wire: Call, call: Call, version: str) -> None:
    address = await gadgets(call)
    for path, kind in ((f"{address}/g", "PartialObjectMetadata"), (address, "PartialObjectMetadataList")):
        answer = await wire("GET", path, accept=f"{PROTOBUF};as={kind};g=meta.k8s.io;v={version}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, PROTOBUF)
        assert kind.encode() in answer.body
    refused = await wire("GET", address, accept=f"{PROTOBUF}, text/html")
    assert refused.status == 406
    assert ONLY.encode() in refused.body


async def test_empty_lists_of_metadata(wire: Call) -> None:
    answer = await wire(
        "GET", f"{CM}?labelSelector=nope", accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    )
    assert answer.body.endswith(b'"items":null}\n')


async def test_columns_are_described(wire: Call) -> None:
    answer = await wire("GET", CM, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    columns = orjson.loads(answer.body)["columnDefinitions"]
    assert columns[0]["description"].startswith("Name must be unique within a namespace.")


def token(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("abc", "invalid character 'i' looking for beginning of value"),
        (token([]), "json: cannot unmarshal array into Go value of type storage.continueToken"),
        (token({"rv": "a"}), "json: cannot unmarshal string into Go struct field continueToken.rv of type int64"),
        (token({"v": "x"}), "server does not recognize this encoded version x"),
        (token({"v": "meta.k8s.io/v1", "rv": 0}), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token({"v": "meta.k8s.io/v1", "rv": 1}), "encoded start key empty (version meta.k8s.io/v1)"),
        (token({"v": "meta.k8s.io/v1", "rv": 1, "start": "../a"}), "../a"),
    ],
)
async def test_bad_continue_tokens(wire: Call, given: str, why: str) -> None:
    answer = await wire("GET", f"{CM}?continue={quote(given)}")
    message = orjson.loads(answer.body)["message"]
    assert (answer.status, message) == (400, f"invalid continue token: continue key is not valid: {why}")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"kind": "Pod", "apiVersion": "v1"}, 400, 'no kind "Pod" is registered for version "v1" in scheme'),
        (
            {"ignoreStoreReadErrorWithClusterBreakingPotential": True},
            422,
            'DeleteOptions.meta.k8s.io "" is invalid: ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: '
            "is not allowed with DELETECOLLECTION, try again after removing the option",
        ),
    ],
)
async def test_refused_options_of_deletecollection(wire: Call, body: Any, status: int, message: str) -> None:
    answer = await wire("DELETE", f"{CM}?labelSelector=nope", orjson.dumps(body))
    assert answer.status == status
    assert orjson.loads(answer.body)["message"].startswith(message)


async def test_revision_of_a_new_object(call: Call) -> None:
    refused = await call("POST", CM, config_map("a", resourceVersion="1"))
    assert (refused.status, refused.object["message"]) == (
        400, "resourceVersion should not be set on objects to be created",
    )  # fmt: skip
    assert (await call("POST", CM, config_map("a", resourceVersion="0"))).status == 201
    tried = await call("POST", f"{CM}?dryRun=All", config_map("b", resourceVersion="7"))
    assert tried.object["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize("kind", ["Service", "Endpoints"])
async def test_created_by_update(call: Call, kind: str) -> None:
    resource = {"Service": "services", "Endpoints": "endpoints"}[kind]
    body: dict[str, Any] = {"kind": kind, "apiVersion": "v1", "metadata": {"name": "x"}}
    if kind == "Service":
        body["spec"] = {"clusterIP": "None"}
    assert (await call("PUT", f"/api/v1/namespaces/default/{resource}/x", body)).status == 201


async def test_a_watch_of_one_name_takes_no_other(wire: Call) -> None:
    answer = await wire("GET", "/api/v1/watch/namespaces/default/configmaps/a?fieldSelector=metadata.name%3Db")
    message = "fieldSelector metadata.name doesn't match requested name"
    assert (answer.status, orjson.loads(answer.body)["message"]) == (400, message)


async def test_no_event_is_a_list(wire: Call) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = await wire("GET", f"{CM}?watch=true", accept=accept)
    assert answer.chunks is not None
    assert [chunk async for chunk in answer.chunks] == []
