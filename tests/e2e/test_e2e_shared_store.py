"""Two `pilothouse up` on one etcd (ours): one leads, and the other goes on when it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from e2e_tools import environment, free_port, start

pytestmark = pytest.mark.slow


def test_the_other_goes_on(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "pilothouse", "etcd", "--data-dir", str(tmp_path / "etcd")]
    etcd = subprocess.Popen(
        [*command, "--listen-client-urls", url], env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    assert etcd.stderr is not None
    assert etcd.stderr.readline().startswith("ready to serve")
    one = two = None
    try:
        one = start(tmp_path, tmp_path / "one", "--port", str(free_port()), "--etcd-servers", url)
        two = start(tmp_path, tmp_path / "two", "--port", str(free_port()), "--etcd-servers", url)
        kubectl = two.kubectl()
        leases = ("get", "leases", "-n", "kube-system", "-o", "jsonpath={.items[*].spec.holderIdentity}")
        before = set(kubectl(*leases).split())
        kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")
        kubectl("rollout", "status", "deployment/web", "--timeout=20s")
        assert len(kubectl("get", "pods", "-o", "name").split()) == 3
        one.stop(signal.SIGKILL)
        killed_s = time.monotonic()
        kubectl("create", "deployment", "next", "--image=nginx", "--replicas=2")
        kubectl("rollout", "status", "deployment/next", "--timeout=40s")
        assert time.monotonic() - killed_s < 25  # a lease lasts 15 s
        assert not before & set(kubectl(*leases).split())
        one = start(tmp_path, tmp_path / "one")  # it joins again, and leads no more
        assert one.kubectl()("get", "pods", "-o", "name").split() == kubectl("get", "pods", "-o", "name").split()
    finally:
        for cluster in (one, two):
            if cluster is not None and cluster.process.poll() is None:
                cluster.stop()
        etcd.terminate()
        etcd.communicate(timeout=10)
