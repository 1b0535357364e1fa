"""Real etcd for tests: a cluster of some members on this machine, that can be killed and started again; and a proxy before
one, that can cut connections and swallow answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

PEERS = Path(os.environ.get("PILOTHOUSE_PEERS", Path(__file__).parents[1] / ".peers" / "bin"))


def program(name: str) -> str:
    """The path of one of upstream's programs; the test is skipped where there is none."""
    found = shutil.which(name, path=f"{PEERS}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is neither in .peers/bin nor on the PATH; build it: ./dev peers {name}")
    return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Etcd:
    """`with Etcd(path, 3) as etcd:`; `etcd.urls` are the members' client addresses."""

    def __init__(self, path: Path, members: int = 1, flags: Sequence[str] = (), scheme: str = "http") -> None:
        self._program, self._path, self._flags = program("etcd"), path, list(flags)
        ports = free_ports(2 * members)
        self.ports = ports[:members]
        self.urls = [f"{scheme}://127.0.0.1:{port}" for port in self.ports]
        self.peers = [f"http://127.0.0.1:{port}" for port in ports[members:]]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * members

    def start(self, member: int) -> None:
        cluster = ",".join(f"m{i}={url}" for i, url in enumerate(self.peers))
        url, peer = self.urls[member], self.peers[member]
        self._processes[member] = subprocess.Popen(
            [
                self._program, "--name", f"m{member}", "--data-dir", str(self._path / f"m{member}"),
                "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, "--log-level", "error",
                "--unsafe-no-fsync", *self._flags,
            ],
            stdout=subprocess.DEVNULL,
            stderr=open(self._path / f"m{member}.log", "ab"),  # noqa: SIM115
        )  # fmt: skip

    def kill(self, member: int, number: int = signal.SIGKILL) -> None:
        process = self._processes[member]
        assert process is not None
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait()
            self._processes[member] = None

    def leader(self) -> int:
        """Which member leads, by the members' own word."""
        for _ in range(100):
            for i, url in enumerate(self.urls):
                if self._processes[i] is None:
                    continue
                try:
                    asked = urllib.request.Request(f"{url}/v3/maintenance/status", data=b"{}")
                    with urllib.request.urlopen(asked, timeout=1) as answer:
                        said = orjson.loads(answer.read())
                except OSError:
                    continue
                if said.get("leader", "0") == said["header"]["member_id"]:
                    return i
            time.sleep(0.1)
        raise AssertionError("no member leads")

    def __enter__(self) -> Etcd:
        self._path.mkdir(parents=True, exist_ok=True)
        for member in range(len(self.urls)):
            self.start(member)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process is not None:
                process.kill()
                process.wait()


class Proxy:
    """Before one member. `cut()` ends its connections; while `swallowing` answers are lost, and then the connection. `hold()`
    keeps what is asked next from the member until `let_go()`; what comes after that is lost."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.swallowing = False
        self.requests_seen = asyncio.Event()
        self._held: list[tuple[asyncio.StreamWriter, bytes]] | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._to)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, forth, False))
                    group.create_task(self._pump(back, writer, True))
            except* (ConnectionError, EOFError):
                pass
            finally:
                forth.close()
        except asyncio.CancelledError:
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        while data := await source.read(65536):
            if self._held is not None and not answers:
                if not self.requests_seen.is_set():
                    self._held.append((sink, data))
                    self.requests_seen.set()
                continue
            if self.swallowing:
                self.requests_seen.set()
                if answers:
                    continue
            sink.write(data)
            await sink.drain()
        raise EOFError

    def hold(self) -> None:
        self._held = []
        self.requests_seen.clear()

    async def let_go(self) -> None:
        for sink, data in self._held or ():
            sink.write(data)
            await sink.drain()

    async def cut(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
