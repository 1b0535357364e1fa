"""The servers that are measured: ours in one process, upstream's etcd and kube-apiserver in two; their CPU time and memory."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import click

TOKEN = "admintok"
_READY_S = 120.0
_POLL_S = 0.005
_BATCH = 100  # keys written at once: etcd takes 128 operations a transaction
_BATCH_BYTES = 1 << 20

Pairs = Iterable[tuple[str, bytes]]


def free_ports(count: int, first: int = 26_700) -> int:
    """The first of `count` free ports in a row. Two runs at a time look in different places: they bind them much later."""
    for port in range(first + os.getpid() % 300 * 10, 32_000, 10):
        try:
            for offset in range(count):
                with socket.create_server(("127.0.0.1", port + offset)):
                    pass
        except OSError:
            continue
        return port
    raise click.ClickException("no free ports")


def insecure() -> ssl.SSLContext:
    """TLS without a look at the server's certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def wait(url: str, alive: list[subprocess.Popen[bytes]]) -> None:
    """Until a GET answers 200."""
    context = insecure() if url.startswith("https") else None
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


def memory_mib(pids: list[int]) -> float:
    """Resident memory of the processes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def _batches(pairs: Pairs) -> Iterator[list[tuple[str, bytes]]]:
    source = iter(pairs)
    while batch := list(islice(source, _BATCH)):
        yield batch


class Server:
    """`start()` returns once it is ready, with the seconds that took; `fill()` puts objects into its store before that."""

    name = ""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self._processes: list[subprocess.Popen[bytes]] = []

    def fill(self, pairs: Pairs) -> None:
        raise NotImplementedError

    def start(self) -> float:
        raise NotImplementedError

    def stop(self) -> None:
        """At once: upstream's takes a minute to end in peace."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        self._processes.clear()

    def _run(self, *command: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        with open(self.directory / "log", "ab") as log:
            process = subprocess.Popen(command, cwd=cwd or self.directory, stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used, all threads."""
        total = 0
        for process in self._processes:
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def held_ms(self) -> tuple[float, float]:
        """How long its event loop was held since the last call, 99th percentile and most; zeros of a server without one."""
        return 0.0, 0.0

    def memory_mib(self) -> float:
        """Resident memory of its processes."""
        return memory_mib([process.pid for process in self._processes])


class Ours(Server):
    name = "ours"

    def fill(self, pairs: Pairs) -> None:
        asyncio.run(self._fill(pairs))

    async def _fill(self, pairs: Pairs) -> None:
        from pilothouse.clock import RealClock
        from pilothouse.store.embedded import open_store
        from pilothouse.store.interface import Put, Txn

        store = await open_store(self.directory / "store", RealClock())
        for batch in _batches(pairs):
            await store.txn(Txn(success=[Put(key.encode(), value) for key, value in batch]))
        await store.close()

    def start(self) -> float:
        begin = time.monotonic()
        root = Path(__file__).resolve().parent.parent
        self._run(sys.executable, "-m", "bench.ours", str(self.directory), str(self.port), TOKEN, cwd=root)
        wait(f"https://127.0.0.1:{self.port}/readyz", self._processes)
        return time.monotonic() - begin

    def held_ms(self) -> tuple[float, float]:
        told = self.directory / "held"
        told.unlink(missing_ok=True)
        self._processes[0].send_signal(signal.SIGUSR1)
        while not told.exists():
            time.sleep(_POLL_S)
        p99, most = told.read_text().split()
        return float(p99), float(most)


class Upstream(Server):
    """etcd and kube-apiserver of upstream, from the programs in `peers`."""

    name = "upstream"

    def __init__(self, directory: Path, port: int, peers: Path) -> None:
        super().__init__(directory, port)
        self._peers = peers
        self._etcd = f"http://127.0.0.1:{port + 1}"

    def _start_etcd(self) -> None:
        peer = f"http://127.0.0.1:{self.port + 2}"
        self._run(
            str(self._peers / "etcd"), "--data-dir", "etcd", "--listen-client-urls", self._etcd, "--advertise-client-urls",
            self._etcd, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
            f"default={peer}", "--log-level", "error", "--quota-backend-bytes", str(8 << 30),
        )  # fmt: skip

    def fill(self, pairs: Pairs) -> None:
        self._start_etcd()
        wait(f"{self._etcd}/health", self._processes)
        for batch in _batches(pairs):
            puts = [
                {"request_put": {"key": base64.b64encode(k.encode()).decode(), "value": base64.b64encode(v).decode()}}
                for k, v in batch
            ]
            body = json.dumps({"success": puts}).encode()
            with urllib.request.urlopen(urllib.request.Request(f"{self._etcd}/v3/kv/txn", body), timeout=60) as answer:
                answer.read()
        self.stop()

    def start(self) -> float:
        # What it needs that is not its own to make, outside of the measured time.
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if not (self.directory / "sa.key").exists():
            subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=self.directory, **quiet)  # type: ignore[call-overload]
        (self.directory / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        begin = time.monotonic()
        self._start_etcd()
        self._run(
            str(self._peers / "kube-apiserver"), "--etcd-servers", self._etcd, "--secure-port", str(self.port),
            "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--cert-dir", "certs",
            "--authorization-mode", "Node,RBAC", "--token-auth-file", "tokens.csv",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", "sa.key",
            "--service-account-signing-key-file", "sa.key", "--service-cluster-ip-range", "10.96.0.0/16",
            "--endpoint-reconciler-type", "none",
        )  # fmt: skip
        wait(f"https://127.0.0.1:{self.port}/readyz", self._processes)
        return time.monotonic() - begin
