"""Discovery, health, version and metrics."""

from __future__ import annotations

import hashlib

import orjson
import pytest
from asking import Call

from pilothouse.api.scheme import GVR
from pilothouse.apiserver.server import APIServer

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_groups(call: Call) -> None:
    groups = (await call("GET", "/apis")).object["groups"]
    names = [g["name"] for g in groups]
    assert names[:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]
    autoscaling = next(g for g in groups if g["name"] == "autoscaling")
    assert autoscaling["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert (await call("GET", "/api/")).object["versions"] == ["v1"]
    assert (await call("GET", "/apis/apps/")).object["kind"] == "APIGroup"


async def test_resources(call: Call) -> None:
    rows = {r["name"]: r for r in (await call("GET", "/apis/apps/v1")).object["resources"]}
    assert rows["deployments"] == {
        "name": "deployments",
        "singularName": "deployment",
        "namespaced": True,
        "kind": "Deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
        "storageVersionHash": "8aSe+NMegvE=",
    }
    assert rows["deployments/scale"]["group"] == "autoscaling"
    core = (await call("GET", "/api/v1")).object
    assert "apiVersion" not in core, "upstream leaves it out of the oldest document only"
    hashes = {r["name"]: r.get("storageVersionHash") for r in core["resources"]}
    assert (hashes["configmaps"], hashes["bindings"]) == ("qFsyl6wFWjQ=", None)


async def test_aggregated(wire: Call, server: APIServer) -> None:
    answer = await wire("GET", "/apis", accept=AGGREGATED + ",application/json")
    assert answer.headers["Content-Type"] == AGGREGATED
    assert answer.headers["Cache-Control"] == "public"
    body = orjson.loads(answer.body)
    apps = next(i for i in body["items"] if i["metadata"]["name"] == "apps")
    deployments = next(r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments")
    assert deployments["subresources"][0] == {
        "subresource": "scale",
        "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
        "verbs": ["get", "patch", "update"],
    }
    # Upstream's tag is a hash of the document before it is given a kind.
    bare = answer.body.strip().replace(b'"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2",', b"", 1)
    assert answer.headers["ETag"] == f'"{hashlib.sha512(bare).hexdigest().upper()}"'
    again = await wire("GET", "/apis", accept=AGGREGATED, if_none_match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    server.registry.remove(GVR("apps", "v1", "deployments"))
    changed = await wire("GET", "/apis", accept=AGGREGATED, if_none_match=answer.headers["ETag"])
    assert changed.status == 200
    assert b'"deployments"' not in changed.body


async def test_a_resource_comes_and_goes(call: Call, server: APIServer) -> None:
    gvr = GVR("", "v1", "configmaps")
    served = server.registry.get(*gvr)
    assert served is not None
    server.registry.remove(gvr)
    assert (await call("GET", "/api/v1/configmaps")).status == 404
    server.registry.add(served)
    assert (await call("GET", "/api/v1/configmaps")).status == 200


async def test_health(wire: Call) -> None:
    for root in ("healthz", "livez", "readyz"):
        assert (await wire("GET", f"/{root}", token="")).body == b"ok"
        verbose = (await wire("GET", f"/{root}?verbose")).body.decode()
        assert verbose.startswith("[+]ping ok\n[+]log ok\n")
        assert verbose.endswith(f"{root} check passed\n")
    assert (await wire("GET", "/livez/ping")).body == b"ok"
    assert (await wire("GET", "/livez/nope")).status == 404
    excluded = (await wire("GET", "/readyz?verbose&exclude=ping&exclude=blah")).body.decode()
    assert excluded.startswith("[+]ping excluded: ok\n")
    assert 'warn: some health checks cannot be excluded: no matches for "blah"\n' in excluded


async def test_unreadiness(wire: Call, server: APIServer) -> None:
    server.ready = False
    answer = await wire("GET", "/readyz")
    assert answer.status == 500
    assert b"[-]informer-sync failed: reason withheld" in answer.body


async def test_version_and_paths(wire: Call) -> None:
    version = orjson.loads((await wire("GET", "/version")).body)
    assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "37", "v1.37.2")
    paths = orjson.loads((await wire("GET", "/")).body)["paths"]
    assert {"/api/v1", "/apis/apps/v1", "/readyz/etcd", "/openapi/v3", "/version"} <= set(paths)


async def test_metrics(wire: Call) -> None:
    await wire("GET", "/api/v1/pods")
    await wire("GET", "/api/v1/namespaces/a/pods/x")
    text = (await wire("GET", "/metrics")).body.decode()
    assert (
        'apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="pods",scope="cluster",'
        'subresource="",verb="LIST",version="v1"} 1.0'
    ) in text
    assert 'apiserver_request_duration_seconds_bucket{component="apiserver",' in text
    assert 'apiserver_storage_objects{resource="namespaces"} 4.0' in text
    assert "process_resident_memory_bytes" in text


YAML, PROTOBUF = "application/yaml", "application/vnd.kubernetes.protobuf"
WHOLE = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
ONLY = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"


@pytest.mark.parametrize(
    ("address", "accept", "media_type"),
    [
        ("/api", PROTOBUF, PROTOBUF),
        ("/api/v1", YAML, YAML),
        ("/apis/apps", "application/*", "application/json"),
        ("/apis/apps/v1", "application/json;q=0.1, application/yaml", YAML),
        ("/api", f"{YAML};{WHOLE}", f"{YAML};{WHOLE}"),
        ("/apis", f"{PROTOBUF};{WHOLE}", f"{PROTOBUF};{WHOLE}"),
        ("/apis", f"{PROTOBUF};profile=nopeer;{WHOLE}", f"{PROTOBUF};{WHOLE}"),
        (
            "/apis",
            f"application/json;{WHOLE.replace('v2', 'v2beta1')},application/json;{WHOLE}",
            f"application/json;{WHOLE}",
        ),
        ("/apis", f"application/json;{WHOLE.replace('v2', 'v3')},application/json", "application/json"),
    ],
)
async def test_media_types(wire: Call, address: str, accept: str, media_type: str) -> None:
    answer = await wire("GET", address, accept=accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
    if media_type.startswith(PROTOBUF):
        assert answer.body.startswith(b"k8s\0")


@pytest.mark.parametrize(
    ("address", "accept", "message"),
    [
        ("/apis", "text/html", ONLY),
        ("/apis/apps", "text/html", ONLY),
        ("/apis", "application/json;as=APIGroupDiscoveryList", ONLY),
        ("/api", f"application/json;{WHOLE.replace('v2', 'v3')}", ONLY),
        ("/api/v1", "text/html", f"406: Not Acceptable\n\nAvailable representations: {ONLY.partition(': ')[2]}"),
    ],
)
async def test_not_acceptable(wire: Call, address: str, accept: str, message: str) -> None:
    answer = await wire("GET", address, accept=accept)
    assert (answer.status, orjson.loads(answer.body)["message"]) == (406, message)


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("POST", "/apis", 200), ("POST", "/apis/apps", 200), ("POST", "/api/v1", 405), ("HEAD", "/version", 405)],
)
async def test_methods(wire: Call, method: str, address: str, status: int) -> None:
    assert (await wire(method, address)).status == status


@pytest.mark.parametrize(
    ("address", "plain"),
    [("/api/v2", False), ("/api/v2/pods", False), ("/apis/apps/v9", False), ("/apis/nope/v1", True), ("/apis//", True)],
)
async def test_unknown(wire: Call, address: str, plain: bool) -> None:
    answer = await wire("GET", address)
    assert answer.status == 404
    assert (answer.body == b"404 page not found\n") is plain


async def test_the_checks_are_counted(wire: Call) -> None:
    await wire("GET", "/livez")
    found = await wire("GET", "/metrics/slis")
    assert found.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    assert b'kubernetes_healthcheck{name="etcd",type="livez"} 1.0\n' in found.body
    assert b'kubernetes_healthchecks_total{name="etcd",status="success",type="livez"} 1.0\n' in found.body


async def test_status_and_flags_of_the_process(wire: Call) -> None:
    text = await wire("GET", "/statusz")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert b"Binary version: 1.37.2\n" in text.body
    structured = "application/json;v=v1beta1;g=config.k8s.io;as="
    status = await wire("GET", "/statusz", accept=f"{structured}Statusz")
    assert status.headers["Content-Type"] == "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"
    assert orjson.loads(status.body)["emulationVersion"] == "1.37"
    flags = orjson.loads((await wire("GET", "/flagz", accept=f"{structured}Flagz")).body)["flags"]
    assert flags["authorization-modes"] == "[Node,RBAC]"
    assert not [name for name in flags if "key" in name or "token" in name]
    plain = await wire("GET", "/flagz", accept="application/json")
    assert plain.status == 406
    assert b"application/json, application/yaml, text/plain" in plain.body
