"""Admission policies and webhooks through a whole server. Messages are those of kube-apiserver 1.37."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from memory_store import MemoryStore

from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock

ADMIN = UserInfo("admin", groups=("system:masters", "system:authenticated"))
JANE = UserInfo("jane", groups=("dev", "system:authenticated"))
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


class Cluster:
    def __init__(self, server: APIServer) -> None:
        self.server = server

    async def ask(
        self, method: str, address: str, body: Obj | None = None, user: UserInfo = ADMIN, **query: str
    ) -> Any:
        headers = {"content-type": "application/json"}
        answer = await self.server.handle(
            Request(method, address, list(query.items()), headers, object=body, user=user)
        )
        await self.server.objects.fresh()
        return answer

    async def made(self, address: str, body: Obj, **query: str) -> Any:
        answer = await self.ask("POST", address, body, **query)
        assert answer.status == 201, answer.object
        return answer.object

    async def policy(self, name: str, spec: Obj, *, mutating: bool = False, binding: Obj | None = None) -> None:
        kind = "mutating" if mutating else "validating"
        rules = [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
        whole = {
            "matchConstraints": {"resourceRules": rules},
            **({"reinvocationPolicy": "Never"} if mutating else {}),
            **spec,
        }
        await self.made(f"{REGISTRATION}/{kind}admissionpolicies", {"metadata": {"name": name}, "spec": whole})
        bound = {"policyName": name, **({} if mutating else {"validationActions": ["Deny"]}), **(binding or {})}
        await self.made(
            f"{REGISTRATION}/{kind}admissionpolicybindings", {"metadata": {"name": "b-" + name}, "spec": bound}
        )

    async def config_map(self, name: str = "x", **data: str) -> Any:
        return await self.ask("POST", CONFIG_MAPS, config_map(name, **data))


def config_map(name: str = "x", **data: str) -> Obj:
    return {"metadata": {"name": name, "labels": {"app": "a"}}, "data": data}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    server = APIServer(MemoryStore(), RealClock(), Config(disable_admission_plugins=("ServiceAccount",)))
    await server.start()
    yield Cluster(server)
    await server.stop()


async def test_a_policy_denies(cluster: Cluster) -> None:
    await cluster.policy("small", {"validations": [{"expression": "object.data.size() < 2"}]})
    assert (await cluster.config_map("ok", a="1")).status == 201
    refused = (await cluster.config_map("no", a="1", b="2")).object
    why = "ValidatingAdmissionPolicy 'small' with binding 'b-small' denied request: failed expression: object.data.size() < 2"
    assert refused["message"] == f'configmaps "no" is forbidden: {why}'
    assert (refused["code"], refused["reason"]) == (422, "Invalid")
    assert refused["details"] == {"name": "no", "kind": "configmaps", "causes": [{"message": why}]}


@pytest.mark.parametrize(
    ("validation", "told", "code", "reason"),
    [
        ({"expression": "false", "message": "never"}, "never", 422, "Invalid"),
        ({"expression": "false", "message": "m", "messageExpression": "'not ' + object.metadata.name"}, "not x", 422, "Invalid"),
        ({"expression": "false", "message": "m", "messageExpression": "'a\\nb'"}, "m", 422, "Invalid"),
        ({"expression": "false", "message": "m", "messageExpression": "string(object.nothing)"}, "m", 422, "Invalid"),
        ({"expression": "false", "message": "m", "reason": "Forbidden"}, "m", 403, "Forbidden"),
        ({"expression": "object.nothing == 1"},
         "expression 'object.nothing == 1' resulted in error: no such key: nothing", 422, "Invalid"),
        ({"expression": "variables.count == 2"}, "failed expression: variables.count == 2", 422, "Invalid"),
        ({"expression": "variables.broken"}, "expression 'variables.broken' resulted in error: composited variable "
         '"broken" fails to evaluate: no such key: nothing', 422, "Invalid"),
        ({"expression": "request.operation == 'UPDATE'"}, "failed expression: request.operation == 'UPDATE'", 422, "Invalid"),
        ({"expression": "request.userInfo.username == 'jane'"}, None, None, None),
        ({"expression": "namespaceObject.metadata.name != 'default'"}, None, None, None),
        ({"expression": "!authorizer.group('').resource('pods').namespace('default').check('create').allowed()"},
         None, None, None),
        ({"expression": "!authorizer.requestResource.check('create').allowed()"}, None, None, None),
        ({"expression": "oldObject == null && object.metadata.name == 'x'"}, "", 201, ""),
        ({"expression": "lists.range(900000).all(i, i >= 0)"},
         "expression 'lists.range(900000).all(i, i >= 0)' resulted in error: operation cancelled: actual cost limit exceeded",
         422, "Invalid"),
    ],
)  # fmt: skip
async def test_validations(
    cluster: Cluster, validation: Obj, told: str | None, code: int | None, reason: str | None
) -> None:
    variables = [
        {"name": "count", "expression": "object.data.size()"},
        {"name": "broken", "expression": "object.nothing == 1"},
    ]
    await cluster.policy("p", {"variables": variables, "validations": [validation]})
    answer = await cluster.config_map(a="1")
    assert answer.status == (code or 422), answer.object
    if told:
        assert answer.object["message"].endswith(f"denied request: {told}")
        assert answer.object["reason"] == (reason or "Invalid")


async def test_warnings_in_place_of_denials(cluster: Cluster) -> None:
    spec = {"validations": [{"expression": "false", "message": "careful"}]}
    await cluster.policy("p", spec, binding={"validationActions": ["Warn"]})
    answer = await cluster.config_map()
    assert answer.status == 201
    assert answer.warnings == ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b-p': careful"]


@pytest.mark.parametrize(
    ("spec", "binding", "status"),
    [
        ({"failurePolicy": "Ignore"}, {}, 422),
        ({"failurePolicy": "Ignore", "validations": [{"expression": "object.nothing == 1"}]}, {}, 201),
        ({"matchConditions": [{"name": "a", "expression": "object.metadata.name == 'other'"}]}, {}, 201),
        ({"matchConditions": [{"name": "a", "expression": "object.nothing == 1"}]}, {}, 422),
        ({}, {"matchResources": {"objectSelector": {"matchLabels": {"app": "b"}}}}, 201),
        ({}, {"matchResources": {"objectSelector": {"matchLabels": {"app": "a"}}}}, 422),
        ({}, {"matchResources": {"namespaceSelector": {"matchLabels": {"app": "a"}}}}, 201),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "'v'"}], "validations": []}, {}, 201),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "string(object.nothing)"}], "validations": []}, {}, 422),
    ],
)
async def test_what_a_policy_is_about(cluster: Cluster, spec: Obj, binding: Obj, status: int) -> None:
    await cluster.policy("p", {"validations": [{"expression": "false"}], **spec}, binding=binding)
    assert (await cluster.config_map()).status == status


async def test_parameters(cluster: Cluster) -> None:
    spec = {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.data.size() <= int(params.data.most)"}],
        "matchConditions": [{"name": "not-it", "expression": "object.metadata.name != 'limits'"}],
    }
    reference = {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}
    await cluster.policy("p", spec, binding={"paramRef": reference})
    missing = (await cluster.config_map()).object["message"]
    assert missing.endswith(
        "denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    policy = f"{REGISTRATION}/validatingadmissionpolicybindings/b-p"
    await cluster.ask("DELETE", policy)
    assert (await cluster.config_map("limits", most="1")).status == 201
    bound = {"policyName": "p", "validationActions": ["Deny"], "paramRef": reference}
    await cluster.made(
        f"{REGISTRATION}/validatingadmissionpolicybindings", {"metadata": {"name": "b-p"}, "spec": bound}
    )
    assert (await cluster.config_map("one", a="1")).status == 201
    assert (await cluster.config_map("two", a="1", b="2")).status == 422


async def test_other_versions_of_a_resource_are_met_as_well(cluster: Cluster) -> None:
    rules = [{"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"],
              "resources": ["horizontalpodautoscalers"]}]  # fmt: skip
    spec = {"matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "object.spec.targetCPUUtilizationPercentage == 1", "message": "seen"}]}  # fmt: skip
    await cluster.policy("p", spec)
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}},
    }
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    scaler = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 2, "scaleTargetRef": target, "metrics": [metric]}}
    answer = await cluster.ask("POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler)
    assert answer.object["message"].endswith("denied request: seen")


@pytest.mark.parametrize(
    ("mutation", "wanted"),
    [
        ({"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'added': 'yes'}}}"}}, {"app": "a", "added": "yes"}),
        ({"patchType": "JSONPatch", "jsonPatch": {
            "expression": "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'yes'}]"}},
         {"app": "a", "a/b": "yes"}),
        ({"patchType": "JSONPatch", "jsonPatch": {
            "expression": "[JSONPatch{op: 'test', path: '/metadata/labels/app', value: 'no'}]"}}, {"app": "a"}),
        ({"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.spec{labels: {'added': 'yes'}}}"}},
         "type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path "
         "from root Object type"),
        ({"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'x', path: object.nothing}]"}},
         "expression '[JSONPatch{op: 'x', path: object.nothing}]' resulted in error: no such key: nothing"),
    ],
)  # fmt: skip
async def test_mutations(cluster: Cluster, mutation: Obj, wanted: Any) -> None:
    await cluster.policy("p", {"mutations": [mutation]}, mutating=True)
    answer = await cluster.config_map()
    if isinstance(wanted, str):
        assert answer.object["message"] == f"policy 'p' with binding 'b-p' denied request: {wanted}"
        assert (answer.status, answer.object["reason"]) == (403, "Invalid")
    else:
        assert answer.status == 201, answer.object
        assert answer.object["metadata"]["labels"] == wanted


class Hook:
    """A webhook that answers as it is told, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Obj] = []
        self.answer: Callable[[Obj], Any] = lambda request: {"allowed": True}
        self.url = self.bundle = ""

    async def handle(self, http: web.Request) -> web.Response:
        review = json.loads(await http.read())
        self.asked.append(review["request"])
        found = self.answer(review["request"])
        if "kind" not in found:
            found = {**review, "response": {"uid": review["request"]["uid"], **found}}
        return web.json_response(found)


@pytest.fixture
async def hook(tmp_path: Any) -> AsyncIterator[Hook]:
    import datetime
    import ipaddress
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hook")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "tls").write_bytes(
        pem + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls")
    found = Hook()
    app = web.Application()
    app.router.add_post("/hook", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    found.url = f"https://127.0.0.1:{port}/hook"
    found.bundle = base64.b64encode(pem).decode()
    yield found
    await runner.cleanup()


async def register(cluster: Cluster, hook: Hook, *, mutating: bool, **fields: Any) -> None:
    kind = "mutating" if mutating else "validating"
    rules = [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
    one = {
        "name": "hook.example.com", "rules": rules, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": hook.url, "caBundle": hook.bundle}, **fields,
    }  # fmt: skip
    await cluster.made(f"{REGISTRATION}/{kind}webhookconfigurations", {"metadata": {"name": "w"}, "webhooks": [one]})


async def test_a_webhook_is_told_everything(cluster: Cluster, hook: Hook) -> None:
    hook.answer = lambda request: {"allowed": True, "warnings": ["mind"]}
    await register(cluster, hook, mutating=False)
    answer = await cluster.config_map(a="1")
    assert (answer.status, answer.warnings) == (201, ["mind"])
    [asked] = hook.asked
    assert asked["object"]["data"] == {"a": "1"}
    assert (asked["operation"], asked["name"], asked["namespace"], asked["dryRun"]) == ("CREATE", "x", "default", False)
    assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["userInfo"]["username"] == "admin"
    assert asked["oldObject"] is None


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ({"allowed": False}, 400, 'admission webhook "hook.example.com" denied the request without explanation'),
        ({"allowed": False, "status": {"message": "no", "code": 403, "reason": "Forbidden"}}, 403,
         'admission webhook "hook.example.com" denied the request: no'),
        ({"allowed": True, "patch": "W10="}, 500, 'Internal error occurred: failed calling webhook "hook.example.com": '
         "received invalid webhook response: validating webhook may not return response.patch"),
        ({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}, 500, "Internal error occurred: failed calling "
         'webhook "hook.example.com": received invalid webhook response: webhook response was absent'),
    ],
)  # fmt: skip
async def test_refusals(cluster: Cluster, hook: Hook, answer: Obj, code: int, message: str) -> None:
    hook.answer = lambda request: answer
    await register(cluster, hook, mutating=False)
    refused = await cluster.config_map()
    assert (refused.status, refused.object["message"]) == (code, message)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"matchConditions": [{"name": "a", "expression": "object.metadata.name != 'x'"}]}, 201),
        ({"matchConditions": [{"name": "a", "expression": "object.nothing == 1"}]}, 403),
        ({"matchConditions": [{"name": "a", "expression": "object.nothing == 1"}], "failurePolicy": "Ignore"}, 201),
        ({"objectSelector": {"matchLabels": {"app": "b"}}}, 201),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, 201),
    ],
)
async def test_which_requests_a_webhook_is_asked_about(cluster: Cluster, hook: Hook, fields: Obj, status: int) -> None:
    hook.answer = lambda request: {"allowed": False}
    await register(cluster, hook, mutating=False, **fields)
    assert (await cluster.config_map()).status == status
    assert hook.asked == []


async def test_a_webhook_that_nobody_reaches(cluster: Cluster, hook: Hook) -> None:
    unreachable = {"url": "https://127.0.0.1:1/hook", "caBundle": hook.bundle}
    await register(cluster, hook, mutating=False, clientConfig=unreachable)
    message = (await cluster.config_map()).object["message"]
    assert message == (
        'Internal error occurred: failed calling webhook "hook.example.com": failed to call webhook: '
        'Post "https://127.0.0.1:1/hook?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    )


async def test_patches_and_dry_runs(cluster: Cluster, hook: Hook) -> None:
    patch = base64.b64encode(json.dumps([{"op": "add", "path": "/data/b", "value": "2"}]).encode()).decode()
    hook.answer = lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": patch}
    await register(cluster, hook, mutating=True)
    assert (await cluster.config_map(a="1")).object["data"] == {"a": "1", "b": "2"}
    dry = await cluster.ask("POST", CONFIG_MAPS, config_map("y", a="1"), dryRun="All")
    assert (dry.status, hook.asked[-1]["dryRun"]) == (201, True)


async def test_a_webhook_with_side_effects_and_a_dry_run(cluster: Cluster, hook: Hook) -> None:
    await register(cluster, hook, mutating=False)
    path = f"{REGISTRATION}/validatingwebhookconfigurations/w"
    stored = (await cluster.ask("GET", path)).object
    for entry in cluster.server.objects.list("admissionregistration.k8s.io", "validatingwebhookconfigurations"):
        entry["webhooks"][0]["sideEffects"] = "Some"  # as an older version stored it
    assert stored["webhooks"][0]["sideEffects"] in ("None", "Some")
    dry = await cluster.ask("POST", CONFIG_MAPS, config_map("y"), dryRun="All")
    assert dry.object["message"] == 'admission webhook "hook.example.com" does not support dry run'


async def test_those_that_were_asked_before_a_change_are_asked_again(cluster: Cluster, hook: Hook) -> None:
    seen: list[Any] = []

    def answer(request: Obj) -> Obj:
        seen.append(request["object"]["data"])
        return {"allowed": True}

    hook.answer = answer
    await register(cluster, hook, mutating=True, reinvocationPolicy="IfNeeded", name="a.example.com")
    other = Hook()
    other.url, other.bundle = hook.url, hook.bundle
    patch = base64.b64encode(json.dumps([{"op": "add", "path": "/data/b", "value": "2"}]).encode()).decode()
    hook.answer = lambda request: (
        answer(request) if "b" in request["object"]["data"] or len(seen) == 0
        else {"allowed": True, "patchType": "JSONPatch", "patch": patch}
    )  # fmt: skip
    configuration = (await cluster.ask("GET", f"{REGISTRATION}/mutatingwebhookconfigurations/w")).object
    second = {**configuration["webhooks"][0], "name": "b.example.com", "reinvocationPolicy": "Never"}
    await cluster.ask(
        "PUT", f"{REGISTRATION}/mutatingwebhookconfigurations/w",
        {**configuration, "webhooks": [*configuration["webhooks"], second]},
    )  # fmt: skip
    made = await cluster.config_map(a="1")
    assert made.object["data"] == {"a": "1", "b": "2"}
    assert seen == [{"a": "1"}, {"a": "1", "b": "2"}]
