"""Upstream's control plane on `pilothouse etcd`: kube-apiserver 1.37, its controllers and scheduler, and kwok."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_tools import OWN_KUBECTL, Kubectl

from real_etcd import PEERS

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT.parent / "shared" / "peers" / "cluster.sh"
PROGRAMS = ("etcdctl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
PORT = int(os.environ.get("PILOTHOUSE_TEST_PORT", "26180"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CLUSTER.exists() or not all((PEERS / program).exists() for program in PROGRAMS),
        reason=f"upstream's programs are missing; build them: ./dev peers {' '.join(PROGRAMS)}",
    ),
]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A cluster whose `etcd` is ours; the rest is upstream's."""
    directory = tmp_path_factory.mktemp("upstream")
    programs = directory / "bin"
    programs.mkdir()
    for program in PEERS.iterdir():
        if program.name != "etcd":
            (programs / program.name).symlink_to(program)
    etcd = programs / "etcd"
    etcd.write_text(f'#!/bin/sh\nexec {sys.executable} -m pilothouse etcd "$@" --watch-progress-notify-interval 2s\n')
    etcd.chmod(0o755)
    env = {**os.environ, "PORT": str(PORT), "API_FLAGS": "--etcd-compaction-interval 5s --event-ttl 5s"}
    command = ["bash", str(CLUSTER), str(programs), str(directory / "run")]
    try:
        started = subprocess.run(
            [*command, "up", "controllers", "scheduler", "kwok"],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert started.returncode == 0, started.stderr
        yield Kubectl(str(OWN_KUBECTL), directory, directory / "run" / "kubeconfig")
    finally:
        subprocess.run([*command, "down"], env=env, timeout=60, check=False)


def _etcdctl(*args: str) -> subprocess.CompletedProcess[str]:
    command = [str(PEERS / "etcdctl"), "--endpoints", f"127.0.0.1:{PORT + 1}", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def _until(what: str, timeout_s: float, condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _metrics(kubectl: Kubectl, start: str) -> list[str]:
    return [line for line in kubectl("get", "--raw", "/metrics").splitlines() if line.startswith(start)]


def test_a_session(kubectl: Kubectl) -> None:
    node = {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "status": {"capacity": {"cpu": "8", "memory": "16Gi", "pods": "110"}},
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(node))
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")
    kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    kubectl("set", "image", "deployment/web", "nginx=nginx:2")
    kubectl("rollout", "status", "deployment", "web", "--timeout=60s")
    kubectl("create", "namespace", "gone")
    kubectl("create", "configmap", "c", "-n", "gone", "--from-literal=a=b")
    kubectl("delete", "namespace", "gone", "--timeout=60s")
    pages = kubectl("get", "pods", "-A", "--chunk-size=1", "-o", "name").split()
    assert len(pages) == 3
    assert "etcd ok" in kubectl("get", "--raw", "/readyz?verbose")


def test_watch_caches_fill_and_serve_consistent_reads(kubectl: Kubectl) -> None:
    kubectl("get", "pods")
    reads = _metrics(kubectl, "apiserver_watch_cache_consistent_read_total")
    assert any('fallback="false"' in line and 'success="true"' in line for line in reads)
    assert not any('success="false"' in line for line in reads)
    lists = _metrics(kubectl, "etcd_request_duration_seconds_count")
    assert any('operation="listStream"' in line for line in lists)  # etcd 3.7's RangeStream


def test_progress_arrives(kubectl: Kubectl) -> None:
    """A bookmark of a resource that nobody changes comes from etcd's progress alone."""
    before = int(json.loads(kubectl("get", "--raw", "/api/v1/namespaces/default/pods"))["metadata"]["resourceVersion"])
    kubectl("create", "configmap", "other", "--from-literal=a=b")
    watch = kubectl(
        "get", "--raw", "/api/v1/persistentvolumes?watch=1&allowWatchBookmarks=true&timeoutSeconds=65", timeout_s=90
    )
    marks = [json.loads(line) for line in watch.splitlines()]
    assert [m["type"] for m in marks if m["type"] == "BOOKMARK"], watch
    assert int(marks[-1]["object"]["metadata"]["resourceVersion"]) > before


def test_events_expire_with_their_leases(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "short", "--image=nginx", "--replicas=1")
    _until("events", 20, lambda: "deployment/short" in kubectl("get", "events"))
    _until("no events", 40, lambda: "deployment/short" not in kubectl("get", "events"))


def test_the_api_server_compacts(kubectl: Kubectl) -> None:
    _until(
        "a compaction",
        40,
        lambda: "required revision has been compacted" in _etcdctl("get", "a", "--rev=5").stderr,
    )
    assert kubectl("get", "pods", "-o", "name").count("pod/web") == 3
