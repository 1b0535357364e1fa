"""The endpoints with a behaviour of their own, through a whole server. Messages are those of kube-apiserver 1.37.2."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from memory_store import MemoryStore

from pilothouse.api import kinds
from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock

ADMIN = UserInfo("admin", "admin", ("system:masters", "system:authenticated"))
JANE = UserInfo("jane", "jane", ("dev", "system:authenticated"))
KEY = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
PODS = "/api/v1/namespaces/default/pods"
AUTHORIZATION = "/apis/authorization.k8s.io/v1/"
AUTHENTICATION = "/apis/authentication.k8s.io/v1/"


class Cluster:
    def __init__(self, server: APIServer) -> None:
        self.server = server

    async def raw(
        self, method: str, address: str, body: Any = None, user: UserInfo = ADMIN, kind: str = "application/json"
    ) -> Response:
        path, _, query = address.partition("?")
        pairs = [(k, v) for k, _, v in (p.partition("=") for p in query.split("&") if p)]
        headers = {"content-type": kind, "user-agent": "test/1"}
        return await self.server.handle(Request(method, path, pairs, headers, object=body, user=user))

    async def ask(self, method: str, address: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        answer = await self.raw(method, address, body, **more)
        return answer.status, answer.object if answer.object is not None else answer.body.decode()

    async def message(self, method: str, address: str, body: Any = None, **more: Any) -> tuple[int, str]:
        status, found = await self.ask(method, address, body, **more)
        return status, found["message"]

    async def status(self, address: str, status: dict[str, Any]) -> None:
        """Writes the status of an object."""
        _, found = await self.ask("GET", address)
        code, found = await self.ask("PUT", f"{address}/status", {**found, "status": status})
        assert code == 200, found

    async def pod(self, name: str, phase: str = "", node: str = "", **spec: Any) -> None:
        containers = [{"name": "c", "image": "i"}]
        pod = {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"containers": containers, **spec}}
        status, found = await self.ask("POST", PODS, pod)
        assert status == 201, found
        if node:
            status, found = await self.ask("POST", f"{PODS}/{name}/binding", binding(name, node))
            assert status == 201, found
        if phase:
            ready = [{"type": "Ready", "status": "True"}]
            await self.status(f"{PODS}/{name}", {"phase": phase, "conditions": ready})


def binding(name: str, node: str, **meta: str) -> dict[str, Any]:
    return {"metadata": {"name": name, **meta}, "target": {"kind": "Node", "name": node}}


def eviction(name: str, **options: Any) -> dict[str, Any]:
    found = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    return {**found, "deleteOptions": options} if options else found


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    tokens = (TokenEntry("janetok", UserInfo("jane", "jane", ("dev",))),)
    server = APIServer(MemoryStore(), RealClock(), Config(service_account_signing_key=KEY, tokens=tokens))
    await server.start()
    found = Cluster(server)
    await found.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    node = {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}}
    status, _ = await found.ask("POST", "/api/v1/nodes", node)
    assert status == 201
    yield found
    await server.stop()


# Reviews


async def test_access_reviews(cluster: Cluster) -> None:
    asked: dict[str, Any] = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    status, found = await cluster.ask(
        "POST", AUTHORIZATION + "subjectaccessreviews", {"spec": {**asked, "user": "jane"}}
    )
    assert (status, found["status"]) == (201, {"allowed": False})
    _, found = await cluster.ask("POST", AUTHORIZATION + "selfsubjectaccessreviews", {"spec": asked})
    assert found["status"] == {"allowed": True}
    spec = {
        "user": "x",
        "groups": ["system:authenticated"],
        "nonResourceAttributes": {"path": "/healthz", "verb": "get"},
    }
    _, found = await cluster.ask("POST", AUTHORIZATION + "subjectaccessreviews", {"spec": spec})
    reason = 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group'
    assert found["status"] == {"allowed": True, "reason": f'{reason} "system:authenticated"'}
    local = AUTHORIZATION + "namespaces/default/localsubjectaccessreviews"
    status, found = await cluster.ask("POST", local, {"spec": {**asked, "user": "jane"}})
    assert (status, found["metadata"]["namespace"], found["status"]) == (201, "default", {"allowed": False})


@pytest.mark.parametrize(
    ("resource", "spec", "message"),
    [
        ("subjectaccessreviews", {},
         "[spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, "
         'spec.user: Invalid value: "": at least one of user or group must be specified]'),
        ("subjectaccessreviews",
         {"user": "x", "resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/a", "verb": "get"}},
         'spec: Invalid value: {"Path":"/a","Verb":"get"}: '
         "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        ("namespaces/default/localsubjectaccessreviews",
         {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}},
         'spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace'),
        ("namespaces/default/localsubjectaccessreviews",
         {"user": "jane", "nonResourceAttributes": {"verb": "get", "path": "/"}},
         'spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: disallowed on this kind of request'),
        ("subjectaccessreviews",
         {"user": "u", "resourceAttributes": {"fieldSelector": {"rawSelector": "a=b", "requirements": [{"operator": "X"}]}}},
         '[spec.resourceAttributes.fieldSelector.rawSelector: Invalid value: "a=b": '
         "may not specified at the same time as requirements, "
         "spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified]"),
    ],
)  # fmt: skip
async def test_bad_access_reviews(cluster: Cluster, resource: str, spec: dict[str, Any], message: str) -> None:
    found = await cluster.message("POST", AUTHORIZATION + resource, {"spec": spec})
    assert found == (422, f'.authorization.k8s.io "" is invalid: {message}')


async def test_rules_and_who_one_is(cluster: Cluster) -> None:
    address = AUTHORIZATION + "selfsubjectrulesreviews"
    _, found = await cluster.ask("POST", address, {"spec": {"namespace": "default"}}, user=JANE)
    assert found["spec"] == {}
    assert found["status"]["incomplete"] is False
    names = [r["resources"] for r in found["status"]["resourceRules"]]
    assert ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] in names
    assert await cluster.message("POST", address, {"spec": {}}) == (400, "no namespace on request")
    _, found = await cluster.ask("POST", AUTHENTICATION + "selfsubjectreviews", {}, user=JANE)
    user = {"username": "jane", "uid": "jane", "groups": ["dev", "system:authenticated"]}
    assert found["status"] == {"userInfo": user}


async def test_token_reviews(cluster: Cluster) -> None:
    async def review(**spec: Any) -> Any:
        return (await cluster.ask("POST", AUTHENTICATION + "tokenreviews", {"spec": spec}))[1]["status"]

    user = {"username": "jane", "uid": "jane", "groups": ["dev", "system:authenticated"]}
    audiences = ["https://kubernetes.default.svc"]
    assert await review(token="janetok") == {"authenticated": True, "user": user, "audiences": audiences}
    refused = {"user": {}, "error": "invalid bearer token"}
    assert await review(token="nix") == refused
    assert await review(token="janetok", audiences=["x"]) == refused
    token = (await cluster.ask("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {}))[1]["status"][
        "token"
    ]
    assert (await review(token=token))["user"]["username"] == "system:serviceaccount:default:default"
    error = '[invalid bearer token, token audiences ["https://kubernetes.default.svc"] is invalid for the target audiences ["v"]]'
    assert await review(token=token, audiences=["v"]) == {"user": {}, "error": error}


# Tokens

TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


async def test_a_token_request(cluster: Cluster) -> None:
    status, found = await cluster.ask("POST", TOKEN, {"spec": {"expirationSeconds": 7200}})
    assert status == 201
    assert found["spec"] == {
        "audiences": ["https://kubernetes.default.svc"], "expirationSeconds": 7200, "boundObjectRef": None,
    }  # fmt: skip
    claims = json.loads(base64.urlsafe_b64decode(found["status"]["token"].split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 7200
    assert claims["sub"] == "system:serviceaccount:default:default"
    assert claims["kubernetes.io"]["serviceaccount"]["uid"] == found["metadata"]["uid"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"spec": {"expirationSeconds": 5}}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5: '
         "may not specify a duration less than 10 minutes"),
        ({"spec": {"expirationSeconds": 99999999999}}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 99999999999: '
         "may not specify a duration larger than 2^32 seconds"),
        ({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "nope"}}}, 404, 'pods "nope" not found'),
        ({"spec": {"boundObjectRef": {"kind": "Deploy", "apiVersion": "apps/v1", "name": "x"}}}, 400,
         "cannot bind token to object of type apps/v1, Kind=Deploy"),
        ({"spec": {"attestations": {"a": ["b"]}}}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.attestations: Invalid value: {"a":["b"]}: '
         "attestations may only be specified with a webhook bound object reference"),
        ({"metadata": {"namespace": "y"}}, 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
    ],
)  # fmt: skip
async def test_bad_token_requests(cluster: Cluster, body: dict[str, Any], code: int, message: str) -> None:
    assert await cluster.message("POST", TOKEN, body) == (code, message)


async def test_key_documents(cluster: Cluster) -> None:
    answer = await cluster.raw("GET", "/openid/v1/jwks")
    assert answer.status == 200
    assert orjson.loads(answer.body)["keys"][0]["kty"] == "EC"
    answer = await cluster.raw("GET", "/.well-known/openid-configuration")
    assert orjson.loads(answer.body)["issuer"] == "https://kubernetes.default.svc"


# Binding and eviction

needs_pods = pytest.mark.skipif(("", "Pod") not in kinds.MODULES, reason="needs the Pod kind: phase and grace period")


async def test_binding(cluster: Cluster) -> None:
    await cluster.pod("p1")
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    assert await cluster.ask("POST", f"{PODS}/p1/binding", binding("p1", "n1")) == (201, success)
    _, pod = await cluster.ask("GET", f"{PODS}/p1")
    assert pod["spec"]["nodeName"] == "n1"
    assert pod["metadata"]["labels"] == {"app": "a", "topology.kubernetes.io/zone": "z1"}
    condition = pod["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["lastProbeTime"]) == ("PodScheduled", "True", None)
    again = 'Operation cannot be fulfilled on pods/binding "p1": pod p1 is already assigned to node "n1"'
    assert await cluster.message("POST", f"{PODS}/p1/binding", binding("p1", "n1")) == (409, again)
    mismatch = "name in URL does not match name in Binding object"
    assert await cluster.message("POST", f"{PODS}/p1/binding", binding("zz", "n1")) == (400, mismatch)
    assert await cluster.message("POST", f"{PODS}/no/binding", binding("no", "n1")) == (404, 'pods "no" not found')
    status, message = await cluster.message("POST", f"{PODS}/p1/binding", {"metadata": {"name": "p1"}})
    assert (status, message) == (422, 'Binding "p1" is invalid: target.name: Required value')


async def test_binding_of_another_pod_of_that_name(cluster: Cluster) -> None:
    await cluster.pod("p1")
    status, message = await cluster.message("POST", f"{PODS}/p1/binding", binding("p1", "n1", uid="z"))
    assert status == 409
    assert message.startswith(
        'Operation cannot be fulfilled on pods "p1": StorageError: invalid object, Code: 4, Key: '
    )
    assert "AdditionalErrorMsg: Precondition failed: UID in precondition: z, UID in object meta: " in message
    assert (await cluster.ask("POST", f"{PODS}/p1/binding?dryRun=All", binding("p1", "n1")))[0] == 201
    assert "nodeName" not in (await cluster.ask("GET", f"{PODS}/p1"))[1]["spec"]


async def budget(cluster: Cluster, name: str = "b", **status: Any) -> None:
    address = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    await cluster.ask("POST", address, {"metadata": {"name": name}, "spec": spec})
    if status:
        full = {"observedGeneration": 1, "desiredHealthy": 1, "expectedPods": 2, **status}
        await cluster.status(f"{address}/{name}", full)


@needs_pods
async def test_eviction_waits_for_the_budget(cluster: Cluster) -> None:
    await cluster.pod("p1", "Running", "n1")
    await budget(cluster)
    status, found = await cluster.ask("POST", f"{PODS}/p1/eviction", eviction("p1"))
    assert status == 429
    assert found["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    processed = {
        "reason": "DisruptionBudget",
        "message": "The disruption budget b is still being processed by the server.",
    }
    assert found["details"] == {"causes": [processed], "retryAfterSeconds": 10}
    await budget(cluster, disruptionsAllowed=0, currentHealthy=1)
    status, found = await cluster.ask("POST", f"{PODS}/p1/eviction", eviction("p1"))
    assert status == 429
    assert (
        found["details"]["causes"][0]["message"] == "The disruption budget b needs 1 healthy pods and has 1 currently"
    )
    await budget(cluster, disruptionsAllowed=1, currentHealthy=2)
    assert (await cluster.ask("POST", f"{PODS}/p1/eviction", eviction("p1", gracePeriodSeconds=7)))[0] == 201
    _, pod = await cluster.ask("GET", f"{PODS}/p1")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 7
    assert pod["status"]["conditions"][-1]["reason"] == "EvictionByEvictionAPI"
    _, pdb = await cluster.ask("GET", "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b")
    assert pdb["status"]["disruptionsAllowed"] == 0
    assert list(pdb["status"]["disruptedPods"]) == ["p1"]
    assert pdb["status"]["conditions"][0]["reason"] == "InsufficientPods"


@needs_pods
async def test_eviction_of_pods_that_no_budget_counts(cluster: Cluster) -> None:
    await cluster.pod("p1")
    await budget(cluster)
    assert (await cluster.ask("POST", f"{PODS}/p1/eviction", eviction("p1")))[0] == 201
    assert (await cluster.ask("GET", f"{PODS}/p1"))[0] == 404
    mismatch = "name in URL does not match name in Eviction object"
    assert await cluster.message("POST", f"{PODS}/p1/eviction", eviction("zz")) == (400, mismatch)
    await cluster.pod("p2", "Running", "n1")
    await budget(cluster, "b2")
    many = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    assert await cluster.message("POST", f"{PODS}/p2/eviction", eviction("p2")) == (500, many)


# Connections


async def kubelet(cluster: Cluster, port: int = 1, address: str = "127.0.0.1") -> None:
    status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await cluster.status("/api/v1/nodes/n1", status)


async def test_logs_before_there_is_a_node(cluster: Cluster) -> None:
    await cluster.pod("p1")
    assert (await cluster.raw("GET", f"{PODS}/p1/log")).status == 204
    assert await cluster.message("GET", f"{PODS}/p1/log?container=zz") == (400, "container zz is not valid for pod p1")
    code, message = await cluster.message("GET", f"{PODS}/p1/log?tailLines=-1")
    assert code == 422
    assert message == 'PodLogOptions "p1" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0'
    containers = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    await cluster.pod("p2", containers=containers)
    choose = "a container name must be specified for pod p2, choose one of: [a b]"
    assert await cluster.message("GET", f"{PODS}/p2/log") == (400, choose)


async def test_a_kubelet_that_does_not_answer(cluster: Cluster) -> None:
    await cluster.pod("p1", node="n1")
    none = "no preferred addresses found; known addresses: []"
    assert await cluster.message("GET", f"{PODS}/p1/log") == (500, none)
    await kubelet(cluster)
    refused = "dial tcp 127.0.0.1:1: connect: connection refused"
    text = f'Get "https://127.0.0.1:1/containerLogs/default/p1/c?tailLines=5": {refused}'
    assert await cluster.message("GET", f"{PODS}/p1/log?tailLines=5") == (500, text)


async def test_logs_come_from_the_kubelet(cluster: Cluster) -> None:
    from aiohttp import web

    async def logs(request: web.Request) -> web.Response:
        if request.match_info["container"] != "c":
            return web.Response(status=400, text="container is waiting to start")
        return web.Response(text=f"{request.path_qs}\n")

    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", logs)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        await kubelet(cluster, runner.addresses[0][1])
        await cluster.pod("p1", node="n1", initContainers=[{"name": "i", "image": "i"}])
        answer = await cluster.raw("GET", f"{PODS}/p1/log?follow=true&tailLines=2&container=c")
        assert answer.status == 200
        assert answer.chunks is not None
        text = b"".join([chunk async for chunk in answer.chunks])
        assert text == b"/containerLogs/default/p1/c?follow=true&tailLines=2\n"
        waiting = (400, "container is waiting to start")
        assert await cluster.message("GET", f"{PODS}/p1/log?container=i") == waiting
    finally:
        await runner.cleanup()


async def test_streams_and_proxies_that_cannot_be(cluster: Cluster) -> None:
    await cluster.pod("p1")
    unassigned = (400, "pod p1 does not have a host assigned")
    assert await cluster.message("POST", f"{PODS}/p1/exec?command=ls") == unassigned
    assert await cluster.message("POST", f"{PODS}/p1/portforward") == unassigned
    await cluster.pod("p2", node="n1")
    await kubelet(cluster)
    assert await cluster.message("POST", f"{PODS}/p2/exec?command=ls") == (400, "Upgrade request required")
    assert await cluster.message("GET", f"{PODS}/p2/proxy/") == (400, "address not allowed")
    assert await cluster.message("GET", "/api/v1/nodes/n1/proxy/stats") == (400, "address not allowed")
    assert await cluster.message("GET", "/api/v1/nodes/no/proxy/stats") == (404, 'nodes "no" not found')
    services = "/api/v1/namespaces/default/services"
    none = 'no endpoints available for service "no"'
    assert await cluster.message("GET", f"{services}/no/proxy/") == (503, none)
    assert await cluster.message("GET", f"{services}/ftp:a:1/proxy/") == (400, 'invalid service request "ftp:a:1"')
    assert await cluster.message("GET", f"{services}/kubernetes:9/proxy/") == (
        503, 'no service port 9 found for service "kubernetes"',
    )  # fmt: skip


async def test_component_statuses(cluster: Cluster) -> None:
    _, found = await cluster.ask("GET", "/api/v1/componentstatuses")
    assert [i["metadata"]["name"] for i in found["items"]] == ["scheduler", "controller-manager", "etcd-0"]
    _, found = await cluster.ask("GET", "/api/v1/componentstatuses/etcd-0")
    assert found["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    assert await cluster.message("GET", "/api/v1/componentstatuses/no") == (404, 'componentstatus "no" not found')


async def test_reviews_have_no_table(wire: Any) -> None:
    table = "application/json;as=Table;g=meta.k8s.io;v=v1"
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = b'{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}'
    refused = await wire("POST", path, body, accept=table)
    assert refused.status == 406
    assert (await wire("POST", path, body, accept=f"{table},application/json")).status == 201
