"""A cluster's state on the move: between directories by snapshot, and on etcd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_tools import free_port, pilothouse, start

from real_etcd import Etcd

pytestmark = pytest.mark.slow


def test_a_snapshot_of_a_running_cluster_becomes_another(tmp_path: Path) -> None:
    cluster = start(tmp_path, tmp_path / "a", "--port", str(free_port()), "--nodes", "1")
    cluster.kubectl()("create", "configmap", "hello", "--from-literal=a=b")
    file = str(tmp_path / "s.db")
    saved = pilothouse(tmp_path, "snapshot", "save", file, "--data-dir", str(tmp_path / "a"))
    assert saved.returncode == 0 and saved.stdout.startswith(f"saved {file} ("), saved.stderr
    refused = pilothouse(tmp_path, "snapshot", "restore", file, "--data-dir", str(tmp_path / "a"))
    assert refused.returncode == 1 and "is running already" in refused.stderr
    restored = pilothouse(tmp_path, "snapshot", "restore", file, "--data-dir", str(tmp_path / "b"))
    assert restored.returncode == 0, restored.stderr
    other = start(tmp_path, tmp_path / "b", "--port", str(free_port()))
    assert other.kubectl()("get", "configmap", "hello", "-o", "jsonpath={.data.a}") == "b"
    for one in (cluster, other):
        assert "Traceback" not in one.stop()
    stopped = pilothouse(tmp_path, "snapshot", "save", file, "--data-dir", str(tmp_path / "a"), "-o", "json")
    assert json.loads(stopped.stdout)["file"] == file


def test_a_cluster_on_etcd(tmp_path: Path) -> None:
    with Etcd(tmp_path / "etcd", 3) as etcd:
        on_etcd = ["--etcd-servers", ",".join(etcd.urls), "--etcd-prefix", "/pilothouse"]
        cluster = start(tmp_path, tmp_path / "a", "--port", str(free_port()), "--nodes", "1", *on_etcd)
        cluster.kubectl()("create", "deployment", "web", "--image=nginx", "--replicas=2")
        cluster.kubectl()("rollout", "status", "deployment/web", "--timeout=30s")
        assert "Traceback" not in cluster.stop()
        assert not (tmp_path / "a" / "store").exists()
        again = start(tmp_path, tmp_path / "a")  # the options are remembered
        again.kubectl().until("2", "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}")
        file = str(tmp_path / "s.db")
        saved = pilothouse(tmp_path, "snapshot", "save", file, "--data-dir", str(tmp_path / "a"))
        assert saved.returncode == 0, saved.stderr
        assert "Traceback" not in again.stop()
    told = pilothouse(tmp_path, "snapshot", "status", file, "-o", "json")
    assert json.loads(told.stdout)["totalKey"] > 100
    gone = pilothouse(tmp_path, "snapshot", "save", "--endpoint", etcd.urls[0], file)
    assert gone.returncode == 1 and gone.stderr.startswith(f"Error: {etcd.urls[0]}: ")
