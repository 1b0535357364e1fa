"""`pilothouse etcd` in a process of its own, and etcdctl to ask it with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from real_etcd import PEERS, free_ports

ETCDCTL = PEERS / "etcdctl"

needs_etcdctl = pytest.mark.skipif(not ETCDCTL.exists(), reason="etcdctl is missing; build it: ./dev peers etcdctl")
_START_S = 20.0


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ETCD_", "ETCDCTL_"))}


@dataclass
class Etcd:
    port: int
    process: subprocess.Popen[bytes]
    scheme: str = "http"
    tls: list[str] = field(default_factory=list)  # etcdctl's flags

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def run(self, *args: str, stdin: str | None = None, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        command = [str(ETCDCTL), "--endpoints", self.url, "--command-timeout=10s", *self.tls, *args]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=timeout_s, env=environment(), check=False
        )

    def __call__(self, *args: str, stdin: str | None = None, timeout_s: float = 20) -> str:
        """What etcdctl prints."""
        done = self.run(*args, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"etcdctl {' '.join(args)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "-w", "json"))

    def fails(self, *args: str) -> str:
        done = self.run(*args)
        assert done.returncode != 0, f"etcdctl {' '.join(args)} should have failed: {done.stdout}"
        return done.stderr.strip().splitlines()[-1].removeprefix("Error: ")

    @contextmanager
    def going(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on."""
        command = [str(ETCDCTL), "--endpoints", self.url, *self.tls, *args]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), bufsize=1
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not start"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)


@contextmanager
def ours(
    directory: Path, *flags: str, scheme: str = "http", tls: list[str] | None = None, port: int = 0
) -> Iterator[Etcd]:
    port = port or free_ports(1)[0]
    url = f"{scheme}://127.0.0.1:{port}"
    command = [sys.executable, "-m", "pilothouse", "etcd", "--data-dir", str(directory), "--listen-client-urls", url]
    process = subprocess.Popen(
        [*command, *flags], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield Etcd(port, process, scheme, tls or [])
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
