"""How long until the API server is ready, and how much memory it holds then: `pilothouse up` with three nodes, controllers and
scheduler, beside upstream's etcd and kube-apiserver alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import click

_READY_S = 60.0
_POLL_S = 0.005
_SETTLE_S = 1.0


def _free_ports(count: int) -> int:
    """The first of `count` free ports in a row."""
    for port in range(17_000, 30_000, 10):
        try:
            for offset in range(count):
                with socket.create_server(("127.0.0.1", port + offset)):
                    pass
        except OSError:
            continue
        return port
    raise click.ClickException("no free ports")


def _memory_mib(pids: list[int]) -> float:
    """Resident memory of the processes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def _wait(url: str, alive: list[subprocess.Popen[bytes]]) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if any(process.poll() is not None for process in alive):
            break
        time.sleep(_POLL_S)
    raise click.ClickException(f"{url} did not become ready")


def _end(processes: list[subprocess.Popen[bytes]], number: int = signal.SIGTERM) -> None:
    for process in processes:
        process.send_signal(number)
    for process in processes:
        process.wait(30)


def _ours(directory: Path, port: int) -> tuple[float, float]:
    """(seconds until the summary: API ready, all nodes Ready; MiB)."""
    command = [sys.executable, "-m", "pilothouse", "up", "--data-dir", str(directory), "--port", str(port)]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(b"export"):
            break
    else:
        raise click.ClickException("pilothouse up ended early")
    seconds = time.monotonic() - begin
    time.sleep(_SETTLE_S)
    memory = _memory_mib([process.pid])
    _end([process])
    return seconds, memory


def _keys(directory: Path) -> None:
    """What kube-apiserver needs to start, made outside of the measured time."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=directory, **quiet)  # type: ignore[call-overload]


def _upstreams(directory: Path, peers: Path, port: int) -> tuple[float, float]:
    etcd, peer = f"http://127.0.0.1:{port + 1}", f"http://127.0.0.1:{port + 2}"
    processes: list[subprocess.Popen[bytes]] = []

    def run(*command: str) -> None:
        processes.append(subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    begin = time.monotonic()
    run(
        str(peers / "etcd"), "--data-dir", "etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
        "--log-level", "error",
    )  # fmt: skip
    run(
        str(peers / "kube-apiserver"), "--etcd-servers", etcd, "--secure-port", str(port), "--bind-address", "127.0.0.1",
        "--advertise-address", "127.0.0.1", "--cert-dir", "certs", "--authorization-mode", "Node,RBAC",
        "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", "sa.key",
        "--service-account-signing-key-file", "sa.key", "--service-cluster-ip-range", "10.96.0.0/16",
        "--endpoint-reconciler-type", "none",
    )  # fmt: skip
    try:
        _wait(f"https://127.0.0.1:{port}/readyz", processes)
        seconds = time.monotonic() - begin
        time.sleep(_SETTLE_S)
        return seconds, _memory_mib([p.pid for p in processes])
    finally:
        _end(processes, signal.SIGKILL)  # kube-apiserver takes a minute to end in peace


def run(rounds: int, peers: Path, output: str) -> None:
    """Prints min, median and max of each, and the ratios of the medians."""
    found: dict[str, list[tuple[float, float]]] = {
        "first start": [],
        "later start": [],
        "upstream first": [],
        "upstream later": [],
    }
    port = _free_ports(10)
    for number in range(rounds):
        click.echo(f"round {number + 1} of {rounds}", err=True)
        base = Path(tempfile.mkdtemp(prefix="bench-start-", dir=os.environ.get("TMPDIR")))
        try:
            found["first start"].append(_ours(base / "ours", port))
            found["later start"].append(_ours(base / "ours", port))
            theirs = base / "theirs"
            theirs.mkdir()
            _keys(theirs)
            found["upstream first"].append(_upstreams(theirs, peers, port))
            found["upstream later"].append(_upstreams(theirs, peers, port))
        finally:
            shutil.rmtree(base, ignore_errors=True)
    _report(found, output)


def _report(found: dict[str, list[tuple[float, float]]], output: str) -> None:
    rows = {}
    for name, values in found.items():
        for at, what in ((0, "seconds"), (1, "MiB")):
            numbers = [v[at] for v in values]
            rows[f"{name}, {what}"] = {
                "min": round(min(numbers), 3), "median": round(statistics.median(numbers), 3), "max": round(max(numbers), 3),
            }  # fmt: skip
    ratios = {
        f"{name}, {what}": round(
            rows[f"upstream {name.split()[0]}, {what}"]["median"] / rows[f"{name}, {what}"]["median"], 2
        )
        for name in ("first start", "later start")
        for what in ("seconds", "MiB")
    }
    if output == "json":
        click.echo(json.dumps({"figures": rows, "upstream/ours": ratios}, indent=2))
        return
    click.echo(f"{'':26}{'min':>10}{'median':>10}{'max':>10}")
    for name, row in rows.items():
        click.echo(f"{name:26}{row['min']:>10}{row['median']:>10}{row['max']:>10}")
    click.echo("\nupstream's median / ours (above 1: ours is less)")
    for name, ratio in ratios.items():
        click.echo(f"{name:26}{ratio:>10}")
