"""A real `pilothouse up` in a process of its own, and kubectl as its users run it."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN_KUBECTL = Path(sys.executable).with_name("kubectl")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's: no kubeconfig, no clusters."""
    kept = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "XDG_DATA_HOME")}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")}


@dataclass
class Kubectl:
    """`kubectl("get", "pods")` is what it printed; `check=False` gives the whole result."""

    program: str
    home: Path
    kubeconfig: Path

    def run(self, *args: str, stdin: str | None = None, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        env = {**environment(self.home), "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(
            [self.program, *args], input=stdin, capture_output=True, text=True, timeout=timeout_s, env=env, check=False
        )

    def __call__(self, *args: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        done = self.run(*args, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def watching(self, *args: str) -> Iterator[Iterator[str]]:
        """The lines of a command that goes on, as they come."""
        env = {**environment(self.home), "KUBECONFIG": str(self.kubeconfig)}
        process = subprocess.Popen([self.program, *args], stdout=subprocess.PIPE, text=True, env=env)
        try:
            assert process.stdout is not None
            yield iter(process.stdout)
        finally:
            process.kill()
            process.communicate()

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "-o", "json"))

    def fails(self, *args: str, stdin: str | None = None) -> str:
        done = self.run(*args, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(args)} should have failed: {done.stdout}"
        return done.stderr

    def until(self, what: str, *args: str, timeout_s: float = 30) -> None:
        """Asks again until the output is `what`."""
        deadline = time.monotonic() + timeout_s
        while (found := self.run(*args).stdout.strip()) != what:
            assert time.monotonic() < deadline, f"kubectl {' '.join(args)}: {found!r}, not {what!r}"
            time.sleep(0.1)


@dataclass
class Cluster:
    directory: Path
    home: Path
    process: subprocess.Popen[str]
    summary: str

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    def kubectl(self, program: str | None = None) -> Kubectl:
        return Kubectl(program or str(OWN_KUBECTL), self.home, self.kubeconfig)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """What it said on standard error until it ended."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return err


def pilothouse(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pilothouse", *args], capture_output=True, text=True, timeout=60, env=environment(home),
        check=False,
    )  # fmt: skip


def start(home: Path, directory: Path, *args: str) -> Cluster:
    command = [sys.executable, "-m", "pilothouse", "up", "--data-dir", str(directory), *args]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home), bufsize=1
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(("export KUBECONFIG", "kubectl's context")):
            break
    else:
        _, err = process.communicate()
        raise AssertionError(f"pilothouse up ended: {err}")
    return Cluster(directory, home, process, "".join(lines))
