"""`/openapi/v2` and `/openapi/v3` as they are served: media types, hashes, caching, and what definitions change."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from asking import Call

from pilothouse.clock import RealClock

V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "kind": "Gadget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
            }
        ],
    },
}


async def index(wire: Call) -> dict[str, str]:
    body = orjson.loads((await wire("GET", "/openapi/v3")).body)
    return {name: at["serverRelativeURL"] for name, at in body["paths"].items()}


async def test_index(wire: Call) -> None:
    found = await index(wire)
    assert {"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version", "openid/v1/jwks"} <= set(found)
    for name in ("api/v1", "apis/apps", "version"):
        answer = await wire("GET", found[name])
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, immutable"
        assert answer.headers["Etag"] == f'"{found[name].partition("hash=")[2]}"'
        assert orjson.loads(answer.body)["openapi"] == "3.0.0"


@pytest.mark.parametrize("address", ["/openapi/v2", "/openapi/v3/apis/batch/v1"])
async def test_caching(wire: Call, address: str) -> None:
    first = await wire("GET", address)
    for tag in (first.headers["Etag"], f"W/{first.headers['Etag']}", "*", f'"other", {first.headers["Etag"]}'):
        answer = await wire("GET", address, if_none_match=tag)
        assert (answer.status, answer.body) == (304, b"")
    assert (await wire("GET", address, if_none_match='"other"')).status == 200


async def test_outdated_hash(wire: Call) -> None:
    answer = await wire("GET", "/openapi/v3/apis/batch/v1?hash=ABC")
    assert answer.status == 301
    assert answer.headers["Location"] == (await index(wire))["apis/batch/v1"]


@pytest.mark.parametrize(
    ("address", "accept", "media_type"),
    [
        ("/openapi/v2", V2, V2),
        ("/openapi/v2", V2.replace(".v1.0", "@v1.0"), V2),
        ("/openapi/v2", "*/*", "application/json"),
        ("/openapi/v2", f"{V2};q=0.5, application/json", "application/json"),
        ("/openapi/v3/apis/batch/v1", V3, V3),
        ("/openapi/v3/apis/batch/v1", "text/html, application/*", "application/json"),
        ("/openapi/v3/apis/batch/v1", "text/html", None),
        ("/openapi/v2", "text/html", None),
    ],
)
async def test_media_types(wire: Call, address: str, accept: str, media_type: str | None) -> None:
    answer = await wire("GET", address, accept=accept)
    assert answer.status == (200 if media_type else 406)
    assert answer.headers.get("Content-Type") == media_type


@pytest.mark.parametrize(
    ("address", "body"),
    [("/openapi/v3/apis/nope/v1", b""), ("/openapi/v3/", b""), ("/openapi/v4", b"404 page not found\n")],
)
async def test_unknown(wire: Call, address: str, body: bytes) -> None:
    answer = await wire("GET", address)
    assert (answer.status, answer.body) == (404, body)


async def test_gzip(wire: Call) -> None:
    plain = await wire("GET", "/openapi/v2")
    packed = await wire("GET", "/openapi/v2", accept_encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


async def test_custom_resources_come_and_go(wire: Call, call: Call) -> None:
    before = await index(wire)
    etag = (await wire("GET", "/openapi/v2")).headers["Etag"]
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await call("POST", definitions, CRD)).status == 201
    clock = RealClock()
    while "apis/example.com/v1" not in await index(wire):
        await clock.sleep(0.01)
    found = await index(wire)
    assert {n: u for n, u in found.items() if n != "apis/example.com/v1"} == before
    answer = await wire("GET", "/openapi/v2", if_none_match=etag)
    assert answer.status == 200
    whole = orjson.loads(answer.body)
    assert whole["definitions"]["com.example.v1.Gadget"]["properties"]["size"] == {"type": "integer"}
    assert "/apis/example.com/v1/namespaces/{namespace}/gadgets" in whole["paths"]
    await call("DELETE", f"{definitions}/gadgets.example.com")
    while await index(wire) != before:
        await clock.sleep(0.01)
    assert (await wire("GET", "/openapi/v2")).headers["Etag"] == etag
