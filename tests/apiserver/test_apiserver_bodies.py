"""Bodies and answers in every media type, over the wire: what upstream says to each."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from asking import Call

from pilothouse.api.codec import protobuf, protowrite, yamltext

CM = "/api/v1/namespaces/default/configmaps"
HEAD = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
PROTOBUF = "application/vnd.kubernetes.protobuf"
UNREAD = "the object provided is unrecognized (must be of type ConfigMap): "
PARSE = UNREAD + "couldn't get version/kind; json parse error: "
NO_KIND = 'in scheme "pkg/runtime/scheme.go:111"'


def handled(kind: str, why: str, version: str = "v1") -> str:
    return f'{kind} in version "{version}" cannot be handled as a ConfigMap: {why}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", PARSE + "unexpected end of JSON input ({)"),
        (b"[]", f"{PARSE}json: cannot unmarshal array into Go value of type {HEAD} (5b5d)"),
        (b'{"kind":1}', PARSE + 'json: cannot unmarshal number into Go struct field .kind of type string ({"kind":1})'),
        (b'{"apiVersion":"a/b/c"}', UNREAD + 'unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})'),
        (b'{"kind":"Nope"}', handled("Nope", f'no kind "Nope" is registered for version "v1" {NO_KIND}')),
        (
            b'{"apiVersion":"v2"}',
            handled("ConfigMap", f'no kind "ConfigMap" is registered for version "v2" {NO_KIND}', "v2"),
        ),
        (b'{"kind":"Secret"}', handled("Secret", "converting (v1.Secret) to (core.ConfigMap): unknown conversion")),
        (
            b'{"kind":"Deployment","apiVersion":"apps/v1"}',
            handled("Deployment", "converting (v1.Deployment) to (core.ConfigMap): unknown conversion"),
        ),
        (
            b'{"data":[]}',
            handled(
                "ConfigMap",
                "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
            ),
        ),
    ],
)
async def test_refused_json(wire: Call, body: bytes, message: str) -> None:
    answer = await wire("POST", CM, body)
    status = orjson.loads(answer.body)
    assert (answer.status, status["reason"], status["message"]) == (400, "BadRequest", message)


async def test_strictness(wire: Call) -> None:
    body = b'{"metadata":{"name":"x","name":"x"},"nope":1}'
    faults = ['duplicate field "metadata.name"', 'unknown field "nope"']
    strict = await wire("POST", f"{CM}?fieldValidation=Strict&dryRun=All", body)
    assert orjson.loads(strict.body)["message"] == handled("ConfigMap", f"strict decoding error: {', '.join(faults)}")
    warned = await wire("POST", f"{CM}?fieldValidation=Warn&dryRun=All", body)
    assert (warned.status, warned.warnings) == (201, faults)
    assert (await wire("POST", f"{CM}?dryRun=All", body)).warnings == faults
    ignored = await wire("POST", f"{CM}?fieldValidation=Ignore&dryRun=All", body)
    assert (ignored.status, ignored.warnings) == (201, [])


async def test_yaml_in_and_out(wire: Call) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: b\n  a: c\nnope: 1\n"
    made = await wire("POST", CM, body, content_type="application/yaml", accept="application/yaml")
    assert (made.status, made.headers["Content-Type"]) == (201, "application/yaml")
    assert yamltext.from_yaml(made.body)["data"] == {"a": "c"}
    assert made.warnings == ['line 7: key "a" already set in map', 'unknown field "nope"']
    strict = await wire("POST", f"{CM}?fieldValidation=Strict", body, content_type="application/yaml")
    told = 'strict decoding error: yaml: unmarshal errors:\n  line 7: key "a" already set in map, unknown field "nope"'
    assert orjson.loads(strict.body)["message"] == handled("ConfigMap", told)
    bad = await wire("POST", CM, b"a: b: c", content_type="application/yaml")
    told = UNREAD + "yaml: mapping values are not allowed in this context (613a20623a2063)"
    assert orjson.loads(bad.body)["message"] == told
    listed = await wire("GET", CM, accept="application/yaml")
    assert yamltext.from_yaml(listed.body)["kind"] == "ConfigMapList"


async def test_protobuf_in_and_out(wire: Call) -> None:
    sent: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"a": "b"}}
    body = protowrite.encode(sent)
    assert body is not None
    made = await wire("POST", CM, body, content_type=PROTOBUF, accept=PROTOBUF)
    assert (made.status, made.headers["Content-Type"]) == (201, PROTOBUF)
    found = protobuf.decode_stored(made.body)
    assert found["data"] == {"a": "b"}
    assert protobuf.decode_stored((await wire("GET", f"{CM}/x", accept=PROTOBUF)).body) == found
    assert orjson.loads((await wire("GET", f"{CM}/x")).body) == found
    listed = protobuf.decode_stored((await wire("GET", CM, accept=PROTOBUF)).body)
    assert listed["kind"] == "ConfigMapList"
    assert {k: found[k] for k in ("metadata", "data")} in listed["items"]
    missing = protobuf.decode_stored((await wire("GET", f"{CM}/nope", accept=PROTOBUF)).body)
    assert (missing["kind"], missing["code"]) == ("Status", 404)
    bad = await wire("POST", CM, b"x", content_type=PROTOBUF)
    told = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (78)"
    assert orjson.loads(bad.body)["message"] == UNREAD + told


async def test_watch_in_protobuf(wire: Call) -> None:
    await wire("POST", CM, b'{"metadata":{"name":"x"}}')
    answer = await wire("GET", f"{CM}?watch=1&fieldSelector=metadata.name%3Dx&timeoutSeconds=1", accept=PROTOBUF)
    assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
    assert answer.chunks is not None
    chunk = await anext(aiter(answer.chunks))
    assert int.from_bytes(chunk[:4], "big") == len(chunk) - 4
    event = dict(protobuf.fields(chunk[4:]))
    assert event[1] == b"ADDED"
    raw = event[2]
    assert isinstance(raw, bytes)
    inner = dict(protobuf.fields(raw))[1]
    assert isinstance(inner, bytes)
    assert protobuf.decode_stored(inner)["metadata"]["name"] == "x"
    await answer.chunks.aclose()  # type: ignore[attr-defined]


async def test_objects_within_the_process_are_judged_too(call: Call) -> None:
    answer = await call("POST", CM, {"metadata": {"name": "x", "labels": {"a": 1}}})
    told = "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
    assert answer.object["message"] == handled("ConfigMap", told)
    made = await call("POST", CM, {"metadata": {"name": "x", "labels": None}, "data": {"a": None}})
    assert "labels" not in made.object["metadata"]
    assert made.object["data"] == {"a": ""}


async def test_media_types(wire: Call) -> None:
    for content_type in ("text/plain", "json", "application/json;a=b;c", "application/cbor"):
        answer = await wire("POST", CM, b"{}", content_type=content_type)
        assert answer.status == 415
    assert (
        await wire("POST", f"{CM}?dryRun=All", b'{"metadata":{"name":"y"}}', content_type="APPLICATION/json; a=b")
    ).status == 201


async def test_selectors(wire: Call) -> None:
    for n in "ab":
        await wire("POST", CM, orjson.dumps({"metadata": {"name": n, "labels": {"n": n}}}))

    async def names(query: str) -> list[str]:
        answer = await wire("GET", f"{CM}?{query}")
        return [o["metadata"]["name"] for o in orjson.loads(answer.body)["items"] if o["metadata"]["name"] in "ab"]

    assert await names("labelSelector=n%3Da") == ["a"]
    assert await names("labelSelector=n+in+(a,b),n!%3Db") == ["a"]
    assert await names("fieldSelector=metadata.name%3Db") == ["b"]
    assert await names("fieldSelector=metadata.name!%3Db,metadata.namespace%3Ddefault") == ["a"]
    assert await names("fieldSelector=metadata.name%3Db&labelSelector=n%3Da") == []
    for query, message in (
        ("labelSelector=a+b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("fieldSelector=a%3Db", '"a" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ):
        answer = await wire("GET", f"{CM}?{query}")
        assert (answer.status, orjson.loads(answer.body)["message"]) == (400, message)
    answer = await wire("GET", "/api/v1/pods?fieldSelector=a%3Db")
    assert orjson.loads(answer.body)["message"] == "field label not supported: a"


async def test_options_are_of_every_group(wire: Call, call: Call) -> None:
    """Typed clients of client-go send them as protobuf, under the name of the resource's group."""
    await call("POST", CM, {"metadata": {"name": "x"}})
    encoded = protowrite.encode({"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]})
    assert encoded is not None
    body = encoded.replace(b"\n\x02v1\x12\rDeleteOptions", b"\n\x07apps/v1\x12\rDeleteOptions")
    body = body.replace(b"\x0a\x13", b"\x0a\x18", 1)
    answer = await wire("DELETE", f"{CM}/x", body, content_type=PROTOBUF)
    assert (answer.status, orjson.loads(answer.body)["status"]) == (200, "Success")
    assert (await call("GET", f"{CM}/x")).status == 200
