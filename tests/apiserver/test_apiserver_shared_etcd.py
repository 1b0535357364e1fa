"""Ours and upstream's API server on one etcd: each reads what the other wrote, every built-in kind."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from asking import ADMIN, request_of

from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.bootstrap import pki
from pilothouse.clock import RealClock
from pilothouse.store.interface import Put
from pilothouse.store.remote import Options, open_remote
from real_etcd import Etcd, free_ports, program

pytestmark = pytest.mark.slow

EXEMPLARS = Path(__file__).parents[3] / "shared" / "oracle" / "exemplars.yaml"
Answer = tuple[int, Any]


class Upstream:
    """A kube-apiserver on an etcd."""

    def __init__(self, path: Path, etcd: Etcd) -> None:
        path.mkdir()
        pki.ensure(path / "pki", RealClock(), ("127.0.0.1",))
        file = {p.name: str(p) for p in (path / "pki").iterdir()}
        (path / "tokens.csv").write_text("admintok,admin,admin,system:masters\n")
        (self._port,) = free_ports(1)
        self._process = subprocess.Popen(
            [
                program("kube-apiserver"), "--etcd-servers", etcd.urls[0], "--secure-port", str(self._port),
                "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none",
                "--tls-cert-file", file["apiserver.crt"], "--tls-private-key-file", file["apiserver.key"],
                "--token-auth-file", str(path / "tokens.csv"), "--authorization-mode", "Node,RBAC",
                "--service-account-issuer", "https://kubernetes.default.svc", "--allow-privileged",
                "--service-account-key-file", file["sa.pub"], "--service-account-signing-key-file", file["sa.key"],
                "--service-cluster-ip-range", "10.96.0.0/16", "--disable-admission-plugins", "ServiceAccount",
            ],
            stdout=subprocess.DEVNULL,
            stderr=open(path / "log", "wb"),  # noqa: SIM115
        )  # fmt: skip
        self._tls = ssl.create_default_context(cafile=file["ca.crt"])

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._tls, timeout=30)
        with contextlib.closing(connection):
            sent = orjson.dumps(body) if body is not None else None
            headers = {"Authorization": "Bearer admintok", "Content-Type": "application/json"}
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, orjson.loads(content) if content.startswith(b"{") else content.decode()

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    if (await asyncio.to_thread(self.ask, "GET", "/readyz"))[0] == 200:
                        return
                await asyncio.sleep(0.2)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextlib.asynccontextmanager
async def ours_on(etcd: Etcd) -> AsyncIterator[Callable[..., Any]]:
    store = await open_remote(Options(tuple(etcd.urls)), RealClock())
    server = APIServer(store, RealClock(), Config(disable_admission_plugins=("ServiceAccount",)))
    await server.start()

    async def ask(method: str, path: str, body: Any = None) -> Answer:
        answer = await server.handle(request_of(method, path, body, ADMIN, "application/json", {}))
        return answer.status, answer.object if answer.object is not None else orjson.loads(answer.body)

    yield ask
    await server.stop()
    await store.close()


def exemplars() -> list[dict[str, Any]]:
    if not EXEMPLARS.is_file():
        pytest.skip("the oracle's exemplars are not part of this repository")
    return [obj for obj in yaml.safe_load_all(EXEMPLARS.read_text()) if obj]


async def resources(ask: Callable[..., Any]) -> dict[tuple[str, str], tuple[str, bool]]:
    """(apiVersion, kind) → the collection's path, with {} for the namespace, by discovery."""
    found = {}
    groups = (await ask("GET", "/apis"))[1]["groups"]
    versions = ["v1"] + [v["groupVersion"] for g in groups for v in g["versions"]]
    for version in versions:
        root = f"/{'api' if '/' not in version else 'apis'}/{version}"
        for resource in (await ask("GET", root))[1]["resources"]:
            if "/" in resource["name"] or "create" not in resource["verbs"]:
                continue
            place = "/namespaces/{}" if resource["namespaced"] else ""
            found[version, resource["kind"]] = (f"{root}{place}/{resource['name']}", resource["namespaced"])
    return found


async def create_all(ask: Callable[..., Any], paths: dict[tuple[str, str], tuple[str, bool]]) -> list[str]:
    """Creates what can be; the objects' paths."""
    created = []
    await ask("POST", "/api/v1/namespaces", {"metadata": {"name": "ora"}})
    for obj in exemplars():
        place = paths.get((obj["apiVersion"], obj["kind"]))
        if place is None:  # a kind of a custom resource, or one that is never stored
            continue
        collection = place[0].format(obj["metadata"].get("namespace", "default"))
        status, answer = await ask("POST", collection, obj)
        if status == 201 and (answer.get("metadata") or {}).get("name") and (answer["metadata"]).get("uid"):
            created.append(f"{collection}/{answer['metadata']['name']}")
    return created


async def test_what_upstream_wrote_is_read_as_it_stands(tmp_path: Path) -> None:
    with Etcd(tmp_path / "etcd") as etcd:
        upstream = Upstream(tmp_path / "upstream", etcd)
        try:
            await upstream.ready()

            async def theirs(method: str, path: str, body: Any = None) -> Answer:
                return await asyncio.to_thread(upstream.ask, method, path, body)

            paths = await resources(theirs)
            created = await create_all(theirs, paths)
            assert len(created) > 45
            async with ours_on(etcd) as ours:
                wrong = await different(created, ours, theirs)
                assert not wrong, "\n\n".join(wrong[:5])
        finally:
            upstream.kill()


async def test_what_ours_wrote_is_read_by_upstreams(tmp_path: Path) -> None:
    with Etcd(tmp_path / "etcd") as etcd:
        async with ours_on(etcd) as ours:
            paths = await resources(ours)
            created = await create_all(ours, paths)
            assert len(created) > 45
            upstream = Upstream(tmp_path / "upstream", etcd)
            try:
                await upstream.ready()

                async def theirs(method: str, path: str, body: Any = None) -> Answer:
                    return await asyncio.to_thread(upstream.ask, method, path, body)

                wrong = await different(created, ours, theirs)
                assert not wrong, "\n\n".join(wrong[:5])
                # And each goes on with what the other wrote.
                for path in created:
                    status, obj = await theirs("GET", path)
                    if obj["kind"] in ("Namespace", "PodCertificateRequest"):
                        continue
                    obj["metadata"].setdefault("labels", {})["theirs"] = "yes"
                    status, answer = await theirs("PUT", path, obj)
                    assert status == 200, (path, answer)
                wrong = await different(created, ours, theirs)
                assert not wrong, "\n\n".join(wrong[:5])
            finally:
                upstream.kill()


async def different(paths: list[str], ours: Callable[..., Any], theirs: Callable[..., Any]) -> list[str]:
    """What the two servers say differently of the objects. Theirs may still be taking in ours' last writes."""
    wrong = []
    for path in paths:
        for _ in range(20):
            left, right = await ours("GET", path), await theirs("GET", path)
            if left == right:
                break
            await asyncio.sleep(0.05)
        else:
            wrong.append("\n".join([path, *unequal("", left, right)]))
    return wrong


def unequal(where: str, left: Any, right: Any) -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        keys = sorted({*left, *right})
        return [text for key in keys for text in unequal(f"{where}.{key}", left.get(key), right.get(key))]
    if isinstance(left, list | tuple) and isinstance(right, list | tuple) and len(left) == len(right):
        return [
            text for i, pair in enumerate(zip(left, right, strict=True)) for text in unequal(f"{where}[{i}]", *pair)
        ]
    return [] if left == right else [f"  {where}: ours {left!r}, theirs {right!r}"]


OLDER = [
    ("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "/apis/autoscaling/v2", {
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3,
        "targetCPUUtilizationPercentage": 50}),
    ("batch/v1beta1", "CronJob", "cronjobs", "/apis/batch/v1", {
        "schedule": "* * * * *", "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}),
    ("policy/v1beta1", "PodDisruptionBudget", "poddisruptionbudgets", "/apis/policy/v1", {
        "minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}),
    ("networking.k8s.io/v1beta1", "Ingress", "ingress", "/apis/networking.k8s.io/v1", {
        "backend": {"serviceName": "s", "servicePort": 80}}),
    ("extensions/v1beta1", "Ingress", "ingress", "/apis/networking.k8s.io/v1", {
        "rules": [{"host": "h", "http": {"paths": [{"path": "/x", "backend": {"serviceName": "s", "servicePort": "web"}}]}}]}),
    ("apps/v1beta2", "StatefulSet", "statefulsets", "/apis/apps/v1", {
        "replicas": 1, "serviceName": "s", "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}),
    ("discovery.k8s.io/v1beta1", "EndpointSlice", "endpointslices", "/apis/discovery.k8s.io/v1", None),
]  # fmt: skip


async def test_values_of_older_storage_versions(tmp_path: Path) -> None:
    with Etcd(tmp_path / "etcd") as etcd:
        store = await open_remote(Options(tuple(etcd.urls)), RealClock())
        paths = []
        for number, (version, kind, resource, root, spec) in enumerate(OLDER):
            name = f"old-{number}"
            meta = {
                "name": name,
                "namespace": "default",
                "uid": f"u-{number}",
                "creationTimestamp": "2020-01-01T00:00:00Z",
            }
            obj: dict[str, Any] = {"kind": kind, "apiVersion": version, "metadata": meta}
            if spec is None:
                obj |= {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"], "topology": {
                    "kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "z"}}]}  # fmt: skip
            else:
                obj["spec"] = spec
            await store.put(Put(f"/registry/{resource}/default/{name}".encode(), orjson.dumps(obj)))
            plural = "ingresses" if resource == "ingress" else resource
            paths.append(f"{root}/namespaces/default/{plural}/{name}")
        await store.close()
        upstream = Upstream(tmp_path / "upstream", etcd)
        try:
            await upstream.ready()

            async def theirs(method: str, path: str, body: Any = None) -> Answer:
                return await asyncio.to_thread(upstream.ask, method, path, body)

            async with ours_on(etcd) as ours:
                wrong = await different(paths, ours, theirs)
                assert not wrong, "\n\n".join(wrong)
        finally:
            upstream.kill()
