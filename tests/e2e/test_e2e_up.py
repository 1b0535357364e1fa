"""`pilothouse up` and its siblings as programs: what they print, how they fail, and what a `kill -9` leaves."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from e2e_tools import Cluster, environment, free_port, pilothouse, start


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_the_life_of_a_detached_cluster(home: Path) -> None:
    port = str(free_port())
    up = pilothouse(home, "up", "--name", "test", "--port", port, "--nodes", "2", "--detach", "--kubeconfig")
    assert up.returncode == 0, up.stderr
    assert 'cluster "test" is ready in' in up.stdout
    assert f"https://127.0.0.1:{port}" in up.stdout
    merged = (home / ".kube" / "config").read_text()
    assert "current-context: pilothouse-test" in merged
    told = json.loads(pilothouse(home, "status", "--name", "test", "-o", "json").stdout)
    assert (told["state"], told["ready"], told["nodes"], told["nodesReady"]) == ("running", True, 2, 2)
    assert [c["name"] for c in json.loads(pilothouse(home, "list", "-o", "json").stdout)] == ["test"]
    again = pilothouse(home, "up", "--name", "test")
    assert again.returncode == 1
    assert 'cluster "test" is running already' in again.stderr
    stopped = pilothouse(home, "node", "stop", "node-1", "--name", "test")
    assert stopped.stdout == "node/node-1 stopped\n"
    assert pilothouse(home, "node", "start", "node-1", "--name", "test").returncode == 0
    missing = pilothouse(home, "node", "stop", "node-9", "--name", "test")
    assert missing.returncode == 1
    assert missing.stderr == 'Error: nodes "node-9" not found\n'
    assert pilothouse(home, "down", "--name", "test").stdout == 'cluster "test" stopped\n'
    assert pilothouse(home, "status", "--name", "test").returncode == 3
    assert pilothouse(home, "delete", "--name", "test").returncode == 0
    assert "pilothouse-test" not in (home / ".kube" / "config").read_text()
    assert json.loads(pilothouse(home, "list", "-o", "json").stdout) == []


def test_two_clusters_side_by_side(home: Path) -> None:
    first = start(home, home / "a", "--port", str(free_port()), "--nodes", "1")
    second = start(home, home / "b", "--port", str(free_port()), "--nodes", "1")
    first.kubectl()("create", "namespace", "only-here")
    assert "NotFound" in second.kubectl().fails("get", "namespace", "only-here")
    for cluster in (first, second):
        assert "Traceback" not in cluster.stop(signal.SIGINT)
        assert cluster.process.returncode == 0


def test_what_was_acknowledged_survives_kill_9(home: Path) -> None:
    directory = home / "c"
    cluster = start(home, directory, "--port", str(free_port()), "--nodes", "1")
    kubectl = cluster.kubectl()
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    acknowledged: list[str] = []

    def write(lane: int) -> None:
        for i in range(200):
            name = f"w-{lane}-{i}"
            if kubectl.run("create", "configmap", name).returncode != 0:
                return
            acknowledged.append(name)

    lanes = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for lane in lanes:
        lane.start()
    while len(acknowledged) < 8:
        pass
    cluster.process.kill()
    cluster.process.communicate()
    for lane in lanes:
        lane.join()
    cluster = start(home, directory)
    kubectl = cluster.kubectl()
    there = set(kubectl("get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}").split())
    assert set(acknowledged) <= there
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert "Traceback" not in cluster.stop()


def fails(home: Path, *args: str) -> str:
    """What it said: one line, and a non-zero exit."""
    done = pilothouse(home, *args)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("starting ")]
    assert len(said) == 1, done.stderr
    return said[0]


def test_a_port_in_use(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use" in fails(home, "up", "--port", str(port))


def test_bad_options(home: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert f"no etcd server answers: {nowhere}" in fails(home, "up", "--etcd-servers", nowhere)
    assert "cannot be the name of a cluster" in fails(home, "up", "--name", "No Good")
    assert 'cluster "none" does not exist' in fails(home, "down", "--name", "none")
    assert 'cluster "none" does not exist' in fails(home, "status", "--name", "none")
    (home / "file").write_text("")
    assert "choose another with --data-dir" in fails(home, "up", "--data-dir", str(home / "file"))


def test_damaged_data(home: Path) -> None:
    directory = home / "d"
    start(home, directory, "--port", str(free_port()), "--nodes", "1").stop()
    kept = (directory / "cluster.json").read_bytes()
    (directory / "cluster.json").write_text("{")
    assert "cluster.json is damaged" in fails(home, "up", "--data-dir", str(directory))
    (directory / "cluster.json").write_bytes(kept)
    key = directory / "pki" / "apiserver.key"
    pem = key.read_bytes()
    key.write_text("garbage")
    assert "apiserver.key is damaged" in fails(home, "up", "--data-dir", str(directory))
    key.write_bytes(pem)
    for file in (directory / "store").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(b"\x55" * file.stat().st_size)
    assert "damaged" in fails(home, "up", "--data-dir", str(directory))


def test_interrupted_while_starting(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse", "up", "--data-dir", str(home / "e"), "--port", str(free_port())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "API server" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (0, 1)
    assert "Traceback" not in err


def test_nodes_are_added(home: Path) -> None:
    directory = home / "f"
    start(home, directory, "--port", str(free_port()), "--nodes", "2").stop()
    cluster: Cluster = start(home, directory, "--nodes", "4")
    assert cluster.kubectl()("get", "nodes", "-o", "name").split() == [f"node/node-{i}" for i in range(1, 5)]
    cluster.stop()
