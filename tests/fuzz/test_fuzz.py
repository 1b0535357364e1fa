"""No request, however broken, gets a 500, a traceback or a hang, and none leaves anything behind that cannot be read again.

Every example is one seed: the same seed asks the same requests. The slow test takes PILOTHOUSE_FUZZ_EXAMPLES of them.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz_bodies import again, body, break_bytes, break_object, encode, junk, mix
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.api.scheme import GVK, GVR, Resource, Subresource, resources, split_api_version
from pilothouse.api.types import type_of
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store

ADMIN = UserInfo("admin", "admin", ("system:masters", "system:authenticated"))
NAMESPACE = "default"
SHIP = GVK("fuzz.example.com", "v1", "Ship")
SLOW_S = 5.0
_PARAMETERS = (
    "resourceVersion", "resourceVersionMatch", "limit", "continue", "labelSelector", "fieldSelector",
    "sendInitialEvents", "timeoutSeconds",
    "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation", "force", "pretty", "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents", "includeObject", "timeout", "nonsense",
)  # fmt: skip
_VALUES = (
    "", "0", "1", "-1", "true", "x", "All", "Strict", "Exact",
    "NotOlderThan", "99999999999999999999", "a=b", "a in (", "a,,b", "!a", "metadata.name=x",
    "spec.nodeName=,", "\x00", "é", "Foreground", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "%",
)  # fmt: skip
_READS = (
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
)  # fmt: skip
_ACCEPTS = (
    *["application/json"] * 12, "application/yaml", "application/vnd.kubernetes.protobuf", "*/*", "text/html", "",
    "application/json;as=Table;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;q=0.1", ";;;", "application/cbor",
)  # fmt: skip
_BODIES = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
    "application/cbor",
    "",
)
_PATCHES = (
    "application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json",
    "application/apply-patch+yaml", "application/json", "nonsense",
)  # fmt: skip
_OPS = ("add", "remove", "replace", "move", "copy", "test", "nope")


class Fuzzer:
    """Asks one server what one seed says."""

    def __init__(self, server: APIServer, seed: int) -> None:
        self.server, self.rng = server, random.Random(seed)
        self.asked: list[str] = []

    async def ask(
        self, method: str, path: str, content: bytes = b"", content_type: str = "", accept: str = ""
    ) -> Response:
        path, _, query = path.partition("?")
        pairs = [tuple(p.partition("=")[::2]) for p in query.split("&") if p] if query else []
        headers = {"authorization": "Bearer admintok"}
        if content_type:
            headers["content-type"] = content_type
        if accept:
            headers["accept"] = accept
        self.asked.append(f"{method} {path}?{query} {content_type} → {accept}\n    {content[:3000]!r}")
        began = time.monotonic()
        response = await self.server.handle(Request(method, path, pairs, headers, content))  # type: ignore[arg-type]
        if response.chunks is not None:
            await response.chunks.aclose()  # type: ignore[attr-defined]
        took_s = time.monotonic() - began
        assert response.status < 500 or response.status == 504, self.report(
            f"{response.status} {response.body[:500]!r}"
        )
        assert took_s < SLOW_S, self.report(f"took {took_s:.1f} s")
        return response

    def report(self, why: str) -> str:
        return "\n".join([why, *self.asked[-4:]])

    def query(self) -> str:
        chosen = self.rng.sample(_PARAMETERS, self.rng.choice((0, 0, 1, 2)))
        return "&".join(f"{p}={self.rng.choice(_VALUES)}" for p in chosen)

    async def resource(self, resource: Resource) -> None:
        """One object's whole life."""
        rng, gvk = self.rng, resource.gvk
        base = f"/apis/{gvk.group}/{gvk.version}" if gvk.group else f"/api/{gvk.version}"
        if resource.namespaced:
            base += f"/namespaces/{NAMESPACE}"
        collection = f"{base}/{resource.gvr.resource}"
        obj = self.object(gvk, resource.namespaced)
        name = obj["metadata"]["name"]
        one = f"{collection}/{name}"
        if "create" in resource.verbs:
            await self.ask("POST", f"{collection}?{self.query()}", *self.content(obj), rng.choice(_ACCEPTS))
        await self.ask("GET", f"{collection}?{self.query()}", accept=rng.choice(_ACCEPTS))
        for _ in range(2):
            await self.change(resource, one, obj)
        sub = rng.choice(sorted(resource.subresources)) if resource.subresources else ""
        if sub and sub not in ("proxy", "exec", "attach", "portforward", "log"):
            kind = resource.subresources[sub].kind
            sent = self.object(kind, resource.namespaced, name)
            method = "POST" if "create" in resource.subresources[sub].verbs else "PUT"
            await self.ask(method, f"{one}/{sub}?{self.query()}", *self.content(sent), rng.choice(_ACCEPTS))
            await self.change(resource, f"{one}/{sub}", sent)
        await self.read_back(collection, one)
        if "delete" in resource.verbs:
            options = self.object(GVK("", "v1", "DeleteOptions"), False, "")
            await self.ask("DELETE", f"{one}?{self.query()}", *(self.content(options) if rng.random() < 0.5 else ()))
            await self.ask("PATCH", one, b'{"metadata":{"finalizers":null}}', "application/merge-patch+json")
            await self.ask("DELETE", f"{one}?gracePeriodSeconds=0")

    async def change(self, resource: Resource, path: str, obj: Any) -> None:
        rng = self.rng
        changed = break_object(rng, again(obj))
        if rng.random() < 0.3:
            await self.ask("PUT", f"{path}?{self.query()}", *self.content(changed), rng.choice(_ACCEPTS))
            return
        kind = rng.choice(_PATCHES)
        sent = self.json_patch(obj) if kind == "application/json-patch+json" else changed
        query = self.query()
        if kind == "application/apply-patch+yaml" and rng.random() < 0.8:
            query = "fieldManager=fuzz&force=true"
        content = encode(sent)
        if rng.random() < 0.15:
            content = break_bytes(rng, content)
        await self.ask("PATCH", f"{path}?{query}", content, kind, rng.choice(_ACCEPTS))

    def json_patch(self, obj: Any) -> Any:
        rng, patch = self.rng, []
        for _ in range(rng.choice((0, 1, 1, 2, 4))):
            row: dict[str, Any] = {"op": rng.choice(_OPS), "path": self.pointer(obj), "value": junk(rng)}
            if row["op"] in ("move", "copy"):
                row["from"] = self.pointer(obj)
            patch.append(row)
        return break_object(rng, patch) if rng.random() < 0.3 else patch

    def pointer(self, obj: Any) -> str:
        path = ""
        while isinstance(obj, dict | list) and obj and self.rng.random() < 0.8:
            key = self.rng.choice(list(obj)) if isinstance(obj, dict) else self.rng.randrange(len(obj))
            path, obj = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}", obj[key]
        return path + self.rng.choice(("", "", "/-", "/x", "/0", "/~", "/-1"))

    def object(self, gvk: GVK, namespaced: bool, name: str = "") -> Any:
        """A sound object, one made of the type's fields alone, or one with parts of both."""
        type_ = type_of(gvk)
        obj = again(exemplars().get(gvk, {}))
        made = body(self.rng, type_) if type_ is not None and (not obj or self.rng.random() < 0.5) else {}
        if not obj or self.rng.random() < 0.1:
            obj = made
        for key in made:
            if self.rng.random() < 0.2:
                mix(self.rng, obj, made, key)
        obj["apiVersion"], obj["kind"] = gvk.api_version, gvk.kind
        if "metadata" in obj or name or gvk.kind != "DeleteOptions":
            meta = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else {}
            obj["metadata"] = {
                **{k: v for k, v in (meta or {}).items() if self.rng.random() < 0.3},
                "name": name or (meta or {}).get("name") or f"fuzz-{self.rng.randrange(1000)}",
            }
            if namespaced:
                obj["metadata"]["namespace"] = NAMESPACE
            for key in ("uid", "resourceVersion", "deletionTimestamp", "managedFields", "finalizers"):
                if self.rng.random() < 0.7:
                    obj["metadata"].pop(key, None)
        return obj

    def content(self, obj: Any) -> tuple[bytes, str]:
        """An object's bytes, most often sound ones, and the media type they claim."""
        sent = encode(break_object(self.rng, again(obj)) if self.rng.random() < 0.5 else obj)
        if self.rng.random() < 0.15:
            sent = break_bytes(self.rng, sent)
        return sent, "application/json" if self.rng.random() < 0.8 else self.rng.choice(_BODIES)

    async def read_back(self, collection: str, one: str) -> None:
        """Whatever was stored can be read in every form."""
        for accept in _READS:
            await self.ask("GET", one, accept=accept)
            found = await self.ask("GET", collection, accept=accept)
            assert found.status in (200, 404, 405, 406), self.report(str(found.status))

    async def address(self) -> None:
        """Paths that mean nothing."""
        rng = self.rng
        parts = [
            "api",
            "apis",
            "v1",
            "apps",
            "namespaces",
            "default",
            "pods",
            "x",
            "",
            "..",
            "%2f",
            "status",
            "watch",
            "openapi",
            "v3",
            "metrics",
            "é",
        ]
        path = "/" + "/".join(rng.choice(parts) for _ in range(rng.randrange(1, 8)))
        method = rng.choice(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "nonsense"))
        await self.ask(method, f"{path}?{self.query()}", encode(junk(rng)), rng.choice(_BODIES), rng.choice(_ACCEPTS))


def _load(name: str) -> list[Any]:
    return [obj for obj in yaml.safe_load_all(Path(__file__).with_name(name).read_text()) if obj]


@cache
def exemplars() -> dict[GVK, Any]:
    found = _load("exemplars.yaml") + _load("custom.yaml")[1:]
    return {GVK(*split_api_version(obj["apiVersion"]), obj["kind"]): obj for obj in found}


def served() -> Sequence[Resource]:
    """Every built-in resource, and custom ones of two versions, more often than their share."""
    verbs = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    subresources = {
        "status": Subresource("status", SHIP, ("get", "patch", "update")),
        "scale": Subresource("scale", GVK("autoscaling", "v1", "Scale"), ("get", "patch", "update")),
    }
    custom = Resource(GVR(SHIP.group, SHIP.version, "ships"), SHIP.kind, "ship", True, verbs, subresources=subresources)
    older = Resource(GVR(SHIP.group, "v1beta1", "ships"), SHIP.kind, "ship", True, verbs)
    return [r for r in resources().values() if r.default] + [custom] * 8 + [older] * 2


async def define(server: APIServer) -> None:
    """The custom resource, and waits until it is served."""
    headers = {"authorization": "Bearer admintok", "content-type": "application/json"}
    definition = _load("custom.yaml")[0]
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = await server.handle(Request("POST", path, [], headers, encode(definition)))
    assert made.status == 201, made.body
    address = f"/apis/{SHIP.group}/{SHIP.version}/ships"
    while (await server.handle(Request("GET", address, [], headers))).status != 200:
        await server.clock.sleep(0.01)


async def run(seeds: Sequence[int]) -> None:
    store = await open_store(None, RealClock())
    server = APIServer(
        store,
        RealClock(),
        Config(tokens=(TokenEntry("admintok", ADMIN),), disable_admission_plugins=("ServiceAccount",)),
    )
    await server.start()
    await define(server)
    try:
        for seed in seeds:
            fuzzer = Fuzzer(server, seed)
            found = served()
            await fuzzer.resource(found[seed % len(found)])
            await fuzzer.address()
    finally:
        await server.stop()
        await store.close()


def _examples() -> int:
    return int(os.environ.get("PILOTHOUSE_FUZZ_EXAMPLES", "20000"))


def _ask(seeds: Sequence[int], caplog: pytest.LogCaptureFixture) -> None:
    import asyncio

    caplog.clear()
    with caplog.at_level(logging.ERROR):
        asyncio.run(run(seeds))
    assert not [r for r in caplog.records if r.exc_info], caplog.text


@settings(
    max_examples=3,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=st.integers(0, 2**31))
def test_broken_requests_are_refused(first: int, caplog: pytest.LogCaptureFixture) -> None:
    _ask(range(first, first + 80), caplog)


@pytest.mark.slow
def test_broken_requests_are_refused_for_long(caplog: pytest.LogCaptureFixture) -> None:
    first = random.SystemRandom().randrange(2**31)
    for start in range(first, first + _examples(), 500):
        _ask(range(start, start + 500), caplog)
