"""The admission chain through a whole server. Messages are those of kube-apiserver 1.37.2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from memory_store import MemoryStore

from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver import admission
from pilothouse.apiserver.admission.podsecuritystandards import violations
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import RealClock

ADMIN = UserInfo("admin", groups=("system:masters", "system:authenticated"))
JANE = UserInfo("jane", groups=("dev", "system:authenticated"))
NODE = UserInfo("system:node:n1", groups=("system:nodes", "system:authenticated"))
RBAC = "/apis/rbac.authorization.k8s.io/v1/"
SECURITY = "pod-security.kubernetes.io/"


class Cluster:
    def __init__(self, server: APIServer) -> None:
        self.server = server
        self.warnings: list[str] = []

    async def ask(self, method: str, address: str, body: Obj | None = None, user: UserInfo = ADMIN) -> tuple[int, Any]:
        headers = {"content-type": "application/json"}
        answer = await self.server.handle(Request(method, address, [], headers, object=body, user=user))
        self.warnings = answer.warnings
        await self.server.objects.fresh()
        return answer.status, answer.object

    async def made(self, address: str, body: Obj, user: UserInfo = ADMIN) -> Any:
        status, found = await self.ask("POST", address, body, user)
        assert status == 201, found
        return found

    async def refused(self, address: str, body: Obj, user: UserInfo = ADMIN, code: int = 403) -> str:
        status, found = await self.ask("POST", address, body, user)
        assert status == code, found
        return str(found["message"])

    async def namespace(self, name: str, **labels: str) -> str:
        labels = {SECURITY + k.replace("_", "-"): v for k, v in labels.items()}
        await self.made("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        path = f"/api/v1/namespaces/{name}"
        await self.made(f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
        return path


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    config = Config(enable_admission_plugins=("NodeRestriction",))
    server = APIServer(MemoryStore(), RealClock(), config)
    await server.start()
    yield Cluster(server)
    await server.stop()


def pod(name: str = "a", spec: Obj | None = None, **container: Any) -> Obj:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", **container}], **(spec or {})},
    }


def test_the_order_is_upstreams() -> None:
    names = [name for name, _, _ in admission.PLUGINS]
    assert names.index("NamespaceLifecycle") == 0
    assert names.index("ServiceAccount") < names.index("PodSecurity") < names.index("Priority")
    assert names[-1] == "ResourceQuota"


def test_an_unknown_plugin_is_an_error() -> None:
    with pytest.raises(ValueError, match="admission plugin 'Nope' is unknown"):
        admission.build(Config(enable_admission_plugins=("Nope",)), None, RealClock())  # type: ignore[arg-type]


async def test_what_a_pod_gets(cluster: Cluster) -> None:
    path = await cluster.namespace("n")
    spec = (await cluster.made(f"{path}/pods", pod()))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    name = spec["volumes"][0]["name"]
    assert name.startswith("kube-api-access-")
    assert len(name) == len("kube-api-access-") + 5
    mount = {"name": name, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    assert spec["containers"][0]["volumeMounts"] == [mount]
    assert spec["volumes"][0]["projected"] == {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ],
        "defaultMode": 420,
    }  # fmt: skip
    assert [t["key"].rpartition("/")[2] for t in spec["tolerations"]] == ["not-ready", "unreachable"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    plain = await cluster.made(f"{path}/pods", pod("b", {"automountServiceAccountToken": False}))
    assert "volumes" not in plain["spec"]


async def test_what_a_pod_may_not(cluster: Cluster) -> None:
    path = (await cluster.namespace("n")) + "/pods"
    start = 'pods "a" is forbidden: '
    assert await cluster.refused(path, pod(spec={"priorityClassName": "x"})) == (
        start + "no PriorityClass with name x was found"
    )
    assert await cluster.refused(path, pod(spec={"priority": 5})) == (
        start + "the integer value of priority (5) must not be provided in pod spec; "
        "priority admission controller computed 0 from the given PriorityClass name"
    )
    assert await cluster.refused(path, pod(spec={"runtimeClassName": "x"})) == (
        start + 'pod rejected: RuntimeClass "x" not found'
    )
    assert await cluster.refused(path, pod(spec={"overhead": {"cpu": "1"}})) == (
        start + "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
    )
    assert await cluster.refused(path, pod(spec={"serviceAccountName": "x"})) == (
        start + 'error looking up service account n/x: serviceaccount "x" not found'
    )


async def test_namespaces(cluster: Cluster) -> None:
    maps = "/api/v1/namespaces/nope/configmaps"
    assert await cluster.refused(maps, {"metadata": {"name": "a"}}, code=404) == 'namespaces "nope" not found'
    status, found = await cluster.ask("DELETE", "/api/v1/namespaces/default")
    assert (status, found["message"]) == (403, 'namespaces "default" is forbidden: this namespace may not be deleted')


async def test_limit_ranges(cluster: Cluster) -> None:
    path = await cluster.namespace("n")
    container = {
        "type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}, "default": {"cpu": "500m"},
        "defaultRequest": {"cpu": "200m"}, "maxLimitRequestRatio": {"cpu": "4"},
    }  # fmt: skip
    limits = [container, {"type": "Pod", "max": {"cpu": "2"}}]
    await cluster.made(f"{path}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    made = await cluster.made(f"{path}/pods", pod())
    text = "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == text
    assert made["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "200m"}, "limits": {"cpu": "500m"}}
    over = pod("b", resources={"limits": {"cpu": "3"}, "requests": {"cpu": "10m"}})
    assert await cluster.refused(f"{path}/pods", over) == (
        'pods "b" is forbidden: [minimum cpu usage per Container is 100m, but request is 10m, '
        "maximum cpu usage per Container is 1, but limit is 3, "
        "cpu max limit to request ratio per Container is 4, but provided ratio is 300.000000, "
        "maximum cpu usage per Pod is 2, but limit is 3]"
    )


async def test_quotas(cluster: Cluster) -> None:
    path = await cluster.namespace("n")
    hard = {"pods": "1", "requests.cpu": "1", "count/configmaps": "1"}
    quota = await cluster.made(f"{path}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    status = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    code, found = await cluster.ask("PUT", f"{path}/resourcequotas/q/status", {**quota, "status": status})
    assert code == 200, found
    assert await cluster.refused(f"{path}/pods", pod()) == (
        'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c'
    )
    await cluster.made(f"{path}/pods", pod(resources={"requests": {"cpu": "300m"}}))
    assert await cluster.refused(f"{path}/pods", pod("b", resources={"requests": {"cpu": "900m"}})) == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=900m, '
        "used: pods=1,requests.cpu=300m, limited: pods=1,requests.cpu=1"
    )
    await cluster.made(f"{path}/configmaps", {"metadata": {"name": "a"}})
    assert await cluster.refused(f"{path}/configmaps", {"metadata": {"name": "b"}}) == (
        'configmaps "b" is forbidden: exceeded quota: q, requested: count/configmaps=1, '
        "used: count/configmaps=1, limited: count/configmaps=1"
    )
    _, quota = await cluster.ask("GET", f"{path}/resourcequotas/q")
    assert quota["status"]["used"] == {"pods": "1", "requests.cpu": "300m", "count/configmaps": "1"}


async def test_pod_security(cluster: Cluster) -> None:
    path = await cluster.namespace("r", enforce="restricted")
    wanted = (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    message = await cluster.refused(f"{path}/pods", pod())
    assert message == f'pods "a" is forbidden: violates PodSecurity "restricted:latest": {wanted}'
    path = await cluster.namespace("w", enforce="baseline", warn="restricted")
    await cluster.made(f"{path}/pods", pod())
    assert cluster.warnings == [f'would violate PodSecurity "restricted:latest": {wanted}']
    labels = {SECURITY + "enforce": "x", SECURITY + "warn-version": "y"}
    body = {"metadata": {"name": "z", "labels": labels}}
    assert await cluster.refused("/api/v1/namespaces", body, code=422) == (
        f'Namespace "z" is invalid: [metadata.labels[{SECURITY}enforce]: Invalid value: "x": '
        f"must be one of privileged, baseline, restricted, metadata.labels[{SECURITY}warn-version]: "
        'Invalid value: "y": must be "latest" or "v1.x"]'
    )
    _, found = await cluster.ask("GET", path)
    found = {**found, "metadata": {**found["metadata"], "labels": {SECURITY + "enforce": "restricted"}}}
    assert (await cluster.ask("PUT", path, found))[0] == 200
    reasons = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert cluster.warnings == [
        'existing pods in namespace "w" violate the new PodSecurity enforce level "restricted:latest"',
        f"a: {reasons}",
    ]


def test_all_that_baseline_forbids() -> None:
    context = {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}
    container = {"name": "c", "securityContext": context, "ports": [{"hostPort": 1}]}
    spec = {
        "containers": [container], "hostNetwork": True, "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
        "securityContext": {
            "sysctls": [{"name": "kernel.x"}], "seLinuxOptions": {"type": "q", "user": "u"},
            "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"},
        },
    }  # fmt: skip
    assert [f"{v.reason} ({v.detail})" for v in violations("baseline", 37, {}, spec)] == [
        'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
        'non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add)',
        "host namespaces (hostNetwork=true)",
        'hostPath volumes (volume "h")',
        'hostPort (container "c" uses hostPort 1)',
        'privileged (container "c" must not set securityContext.privileged=true)',
        'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "q"; user may not be set)',
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        "forbidden sysctls (kernel.x)",
    ]


async def test_nobody_grants_what_they_do_not_have(cluster: Cluster) -> None:
    group = "rbac.authorization.k8s.io"
    rules = [{"verbs": ["create", "get"], "apiGroups": [group], "resources": ["*"]}]
    await cluster.made(RBAC + "clusterroles", {"metadata": {"name": "rb"}, "rules": rules})
    ref = {"apiGroup": group, "kind": "ClusterRole"}
    subjects = [{"apiGroup": group, "kind": "User", "name": "jane"}]
    binding = {"metadata": {"name": "rb"}, "roleRef": {**ref, "name": "rb"}, "subjects": subjects}
    await cluster.made(RBAC + "clusterrolebindings", binding)
    held = 'user "jane" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:'
    wanted = [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "secrets"], "resourceNames": ["x"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
    ]
    assert await cluster.refused(RBAC + "clusterroles", {"metadata": {"name": "e"}, "rules": wanted}, JANE) == (
        f'clusterroles.{group} "e" is forbidden: {held}\n'
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["x"], Verbs:["get" "list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], ResourceNames:["x"], Verbs:["get" "list"]}\n'
        '{NonResourceURLs:["/x"], Verbs:["get"]}'
    )
    binding = {"metadata": {"name": "e"}, "roleRef": {**ref, "name": "cluster-admin"}}
    assert await cluster.refused(RBAC + "clusterrolebindings", binding, JANE) == (
        f'clusterrolebindings.{group} "e" is forbidden: {held}\n'
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}'
    )
    binding = {"metadata": {"name": "e"}, "roleRef": {**ref, "name": "zz"}}
    message = await cluster.refused(RBAC + "clusterrolebindings", binding, JANE, 404)
    assert message == f'clusterrolebindings.{group} "zz" not found'
    own = [{"verbs": ["get"], "apiGroups": [group], "resources": ["roles"]}]
    await cluster.made(RBAC + "clusterroles", {"metadata": {"name": "e"}, "rules": own}, JANE)


async def test_a_node_writes_only_what_is_its_own(cluster: Cluster) -> None:
    body = {"metadata": {"name": "n2"}}
    assert await cluster.refused("/api/v1/nodes", body, NODE) == (
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    )
    body = {"metadata": {"name": "n1", "labels": {"kubernetes.io/other": "x", "kubernetes.io/os": "linux"}}}
    assert await cluster.refused("/api/v1/nodes", body, NODE) == (
        'nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: kubernetes.io/other'
    )
    node = await cluster.made("/api/v1/nodes", {"metadata": {"name": "n1"}}, NODE)
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    status, found = await cluster.ask("GET", "/api/v1/nodes", user=NODE)
    reason = "node: node 'n1' cannot read all nodes, only its own Node object"
    assert (status, found["message"].endswith(reason)) == (403, True)
    path = await cluster.namespace("n")
    assert "can only create mirror pods" in await cluster.refused(f"{path}/pods", pod(), NODE)
