"""CBOR on the wire, behind its gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asking import ADMIN, Call, request_of
from memory_store import MemoryStore

from pilothouse.api.codec import cbor, cborread
from pilothouse.api.exchange import Response
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock

CBOR, SECRETS = "application/cbor", "/api/v1/namespaces/default/secrets"
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "aGk="}}


@pytest.fixture
async def cborside() -> AsyncIterator[Call]:
    config = Config(tokens=(TokenEntry("admintok", ADMIN),), feature_gates={"CBORServingAndStorage": True})
    server = APIServer(MemoryStore(), RealClock(), config)
    await server.start()

    async def ask(
        method: str, address: str, body: Any = None, content_type: str = CBOR, accept: str = CBOR
    ) -> Response:
        request = request_of(method, address, None, None, content_type, {"accept": accept})
        request.headers = {**request.headers, "authorization": "Bearer admintok"}
        request.body = b"" if body is None else cbor.encode(body)
        return await server.handle(request)

    yield ask
    await server.stop()


async def whole(response: Response) -> bytes:
    return response.body + b"".join(response.slices or ())


async def test_objects_in_and_out(cborside: Call) -> None:
    made = await cborside("POST", SECRETS, SECRET)
    assert (made.status, made.headers["Content-Type"]) == (201, CBOR)
    assert cborread.decode(made.body)["data"] == {"k": "aGk="}
    got = cborread.decode((await cborside("GET", f"{SECRETS}/a")).body)
    assert (got["kind"], got["type"]) == ("Secret", "Opaque")
    found = cborread.decode(await whole(await cborside("GET", SECRETS)))
    assert (found["kind"], [i["metadata"]["name"] for i in found["items"]]) == ("SecretList", ["a"])
    assert "kind" not in found["items"][0]
    bare = await cborside("GET", SECRETS, accept=f"{CBOR};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    assert cborread.decode(await whole(bare))["kind"] == "PartialObjectMetadataList"
    missing = await cborside("GET", f"{SECRETS}/b")
    assert cborread.decode(missing.body)["message"] == 'secrets "b" not found'
    assert (await cborside("GET", SECRETS, accept=f"{CBOR};as=Table;g=meta.k8s.io;v=v1")).status == 406


async def test_apply(cborside: Call) -> None:
    address = f"{SECRETS}/a?fieldManager=me"
    applied = await cborside("PATCH", address, SECRET, content_type="application/apply-patch+cbor")
    assert applied.status == 201
    (manager,) = cborread.decode(applied.body)["metadata"]["managedFields"]
    assert (manager["operation"], manager["fieldsV1"]) == ("Apply", {"f:data": {"f:k": {}}})


async def test_a_watch_is_a_sequence(cborside: Call) -> None:
    await cborside("POST", SECRETS, SECRET)
    response = await cborside("GET", f"{SECRETS}?watch=true&timeoutSeconds=1")
    assert response.headers["Content-Type"] == "application/cbor-seq"
    assert response.chunks is not None
    async for chunk in response.chunks:
        event = cborread.decode(chunk)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        break


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xa1", "unable to determine group/version/kind: unexpected EOF"),
        (b"\xa2AaA1AaA2", "found duplicate map key"),
        (b"\x80", "cannot unmarshal array"),
    ],
)
async def test_what_cannot_be_read(cborside: Call, body: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbor, "encode", lambda value: body if value == "raw" else b"")
    refused = await cborside("POST", SECRETS, "raw", accept="application/json")
    assert refused.status == 400
    assert words in refused.body.decode()


async def test_discovery(cborside: Call) -> None:
    found = cborread.decode((await cborside("GET", "/api/v1")).body)
    assert found["kind"] == "APIResourceList"


async def test_the_gate_is_closed_by_default(wire: Call) -> None:
    refused = await wire("GET", "/api/v1/namespaces", accept=CBOR)
    assert refused.status == 406
    assert b"cbor" not in refused.body
    assert (await wire("POST", "/api/v1/namespaces", b"\xa0", content_type=CBOR)).status == 415
