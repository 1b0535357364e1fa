"""PATCH: what comes of patches that touch what an object says of itself, and of bodies in odd media types."""

from __future__ import annotations

import orjson
import pytest
from asking import Call

CM = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
UNNAMED = "the name of the object (c based on URL) was undeterminable: name must be provided"
SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'
ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@pytest.fixture
async def patched(wire: Call) -> Call:
    assert (await wire("POST", CM, b'{"metadata":{"name":"c"},"data":{"k":"v"}}')).status == 201
    return wire


@pytest.mark.parametrize("media_type", [MERGE, STRATEGIC])
@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        (b'{"kind":null}', 200, ""),
        (b'{"metadata":null}', 400, UNNAMED),
        (b'{"metadata":{"name":"z"}}', 400, "the name of the object (z) does not match the name on the URL (c)"),
        (b'{"metadata":{"uid":"z"}}', 422, 'metadata.uid: Invalid value: "z": field is immutable'),
    ],
)
async def test_identity(patched: Call, media_type: str, patch: bytes, code: int, message: str) -> None:
    answer = await patched("PATCH", f"{CM}/c", patch, content_type=media_type)
    assert answer.status == code
    assert orjson.loads(answer.body).get("message", "").endswith(message)


@pytest.mark.parametrize(
    ("media_type", "patch", "code", "message"),
    [
        (MERGE, b'{"apiVersion":null}', 400, UNNAMED),
        (MERGE, b'{"kind":"Pod"}', 422, "converting (v1.Pod) to (core.ConfigMap): unknown conversion"),
        (MERGE, b'{"apiVersion":"v2"}', 422, f'no kind "ConfigMap" is registered for version "v2" {SCHEME}'),
        (STRATEGIC, b"null", 200, ""),
        (STRATEGIC, b'{"kind":"Pod","apiVersion":"v2"}', 200, ""),
        (STRATEGIC, b'{"$patch":"delete"}', 400, UNNAMED),
        (STRATEGIC, b'{"$patch":"replace"}', 400, UNNAMED),
        (
            APPLY,
            b'{"a',
            400,
            "error decoding patch: error converting YAML to JSON: yaml: found unexpected end of stream",
        ),
    ],
)
async def test_kind(patched: Call, media_type: str, patch: bytes, code: int, message: str) -> None:
    answer = await patched("PATCH", f"{CM}/c?fieldManager=m", patch, content_type=media_type)
    status = orjson.loads(answer.body)
    assert answer.status == code, status
    if code == 200:
        assert (status["kind"], status["apiVersion"], status["data"]) == ("ConfigMap", "v1", {"k": "v"})
    elif code == 422:
        assert status["details"]["causes"][0]["field"] == "patch"
        assert status["message"].endswith(f": {message}")
    else:
        assert status["message"] == message


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/json; x=y; x=y", 201),
        ("application/json; x=y; x=z", 415),
        ("application/json;", 201),
        ("application/json;x", 415),
        ("application/cbor", 415),
    ],
)
async def test_media_types(wire: Call, content_type: str, code: int) -> None:
    answer = await wire("POST", f"{CM}?dryRun=All", b'{"metadata":{"name":"c"}}', content_type=content_type)
    assert answer.status == code
    if code == 415:
        message = orjson.loads(answer.body)["message"]
        assert message == f"the body of the request was in an unknown format - accepted media types include: {ACCEPTED}"
