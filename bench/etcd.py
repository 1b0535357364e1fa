"""`pilothouse etcd` beside real etcd: the same load over gRPC, from the same program, on the same cores, in turns."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from bench import etcdload
from bench.servers import free_ports, wait
from pilothouse.store.etcd import encoding
from pilothouse.store.rpc.messages import etcdserverpb as pb

VALUE = b"v" * 500
KEYS = 10_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    name: str
    process: subprocess.Popen[bytes]
    port: int

    @property
    def cpu_s(self) -> float:
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / _TICKS


@dataclass
class Row:
    name: str
    path: str
    clients: int
    message: Callable[[int], bytes]


def name_of(number: int) -> bytes:
    return b"/registry/pods/default/pod-%06d" % number


def key_of(number: int) -> bytes:
    return name_of(number % KEYS)


def _put(number: int) -> bytes:
    return encoding.field(b"\x0a", key_of(number)) + encoding.field(b"\x12", VALUE)


def _get(number: int) -> bytes:
    return encoding.field(b"\x0a", key_of(number))


def _range(count: int) -> Callable[[int], bytes]:
    request: bytes = pb.RangeRequest(key=key_of(0), range_end=b"/registry/pods0", limit=count).SerializeToString()
    return lambda _: request


def _txn(number: int) -> bytes:
    """As the API server creates: put where the key is new, else read it."""
    key = b"/registry/events/default/event-%09d" % number
    absent = pb.Compare(key=key, target=2, mod_revision=0)
    put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=VALUE))
    read = pb.RequestOp(request_range=pb.RangeRequest(key=key))
    request: bytes = pb.TxnRequest(compare=[absent], success=[put], failure=[read]).SerializeToString()
    return request


_KV = "/etcdserverpb.KV/"
ROWS = [
    Row("durable puts, 1 client", _KV + "Put", 1, _put),
    Row("durable puts, 64 clients", _KV + "Put", 64, _put),
    Row("durable puts, 512 clients", _KV + "Put", 512, _put),
    Row("create transactions, 64 clients", _KV + "Txn", 64, _txn),
    Row("ranges of 1 key, 64 clients", _KV + "Range", 64, _get),
    Row("ranges of 100 keys, 16 clients", _KV + "Range", 16, _range(100)),
    Row("ranges of 10,000 keys, 2 clients", _KV + "Range", 2, _range(10_000)),
]
WATCH_ROW = "events to 1,000 watches"


def start(name: str, directory: Path, peers: Path) -> Server:
    port = free_ports(2)
    urls = [f"--{kind}-client-urls=http://127.0.0.1:{port}" for kind in ("listen", "advertise")]
    flags = [f"--data-dir={directory / name}", *urls, "--quota-backend-bytes=8589934592", "--log-level=error"]
    if name == "etcd":
        peer = f"http://127.0.0.1:{port + 1}"
        flags += [
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        ]
        command = [str(peers / "etcd"), *flags]
    else:
        command = [sys.executable, "-m", "pilothouse", "etcd", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait(f"http://127.0.0.1:{port}/health", [process])
    return Server(name, process, port)


async def measure(server: Server, row: Row, seconds: float, offset: int) -> dict[str, float]:
    before = server.cpu_s
    outcome = await etcdload.run(server.port, row.path, lambda n: row.message(n + offset), row.clients, seconds)
    if outcome.failed:
        raise click.ClickException(f"{server.name}: {outcome.failed} of {outcome.calls} calls failed: {row.name}")
    return {
        "rate": outcome.rate,
        "cpu_us": 1e6 * (server.cpu_s - before) / outcome.calls,
        "p50_ms": outcome.quantile_ms(0.5),
        "p99_ms": outcome.quantile_ms(0.99),
    }


async def watches(server: Server, seconds: float) -> dict[str, float]:
    """1,000 watches of one prefix on ten streams, and 16 clients that put: events a second that arrive."""
    received = 0
    buffers: dict[int, bytes] = {}

    def got(stream: int, data: bytes) -> None:
        nonlocal received
        data = buffers.pop(stream, b"") + data
        pos = 0
        while len(data) - pos >= 5:
            stop = pos + 5 + int.from_bytes(data[pos + 1 : pos + 5], "big")
            if stop > len(data):
                break
            received += data.count(b"\x5a", pos, pos + 60) and data.count(VALUE[:64], pos, stop) // (500 // 64)
            pos = stop
        if pos < len(data):
            buffers[stream] = data[pos:]

    channel = await etcdload.connect(server.port, lambda stream, ok: None, got)
    block = etcdload.block_of("/etcdserverpb.Watch/Watch", f"127.0.0.1:{server.port}")
    create = pb.WatchCreateRequest(key=b"/registry/pods/", range_end=b"/registry/pods0")
    one = etcdload.framed(pb.WatchRequest(create_request=create).SerializeToString())
    for _ in range(10):
        stream = channel.call(block, one, end=False)
        for _ in range(99):
            channel.send(stream, one)
    await asyncio.sleep(1)
    received, before, begun = 0, server.cpu_s, time.perf_counter()
    puts = await etcdload.run(server.port, _KV + "Put", _put, 16, seconds)
    deadline = time.perf_counter() + 30
    while received < puts.calls * 1000 and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
    spent = time.perf_counter() - begun
    channel.transport.close()
    if received < puts.calls * 1000:
        raise click.ClickException(f"{server.name}: {received} events came of {puts.calls * 1000}")
    return {"rate": received / spent, "cpu_us": 1e6 * (server.cpu_s - before) / received, "p50_ms": 0.0, "p99_ms": 0.0}


async def _round(
    number: int, servers: list[Server], only: tuple[str, ...], seconds: float
) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in ROWS:
        if not only or any(part in row.name for part in only):
            found[row.name] = {s.name: await measure(s, row, seconds, number * 10_000_000) for s in servers}
    if not only or any(part in WATCH_ROW for part in only):
        found[WATCH_ROW] = {s.name: await watches(s, seconds) for s in servers}
    return found


async def fill(server: Server, keys: int = KEYS) -> None:
    numbers = iter(range(0, keys, 100))

    async def client() -> None:
        for first in numbers:
            puts = [pb.PutRequest(key=name_of(number), value=VALUE) for number in range(first, first + 100)]
            request = pb.TxnRequest(success=[pb.RequestOp(request_put=put) for put in puts])
            message: bytes = request.SerializeToString()
            outcome = await etcdload.run(server.port, _KV + "Txn", lambda _: message, 1, 0.0)  # noqa: B023
            assert not outcome.failed, server.name

    await asyncio.gather(*(client() for _ in range(64)))


async def _run(
    rounds: int, peers: Path, only: tuple[str, ...], seconds: float
) -> list[dict[str, dict[str, dict[str, float]]]]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as directory:
        servers: list[Server] = []
        try:
            servers.append(start("etcd", Path(directory), peers))
            servers.append(start("ours", Path(directory), peers))
            for server in servers:
                await fill(server)
            return [await _round(number, servers, only, seconds) for number in range(rounds)]
        finally:
            for server in servers:
                server.process.terminate()
            for server in servers:
                server.process.wait()


def run(rounds: int, peers: Path, output: str, only: tuple[str, ...], seconds: float) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(_run(rounds, peers, only, seconds))
    table = {}
    for name in results[0]:
        row = {
            server: {
                figure: statistics.median(r[name][server][figure] for r in results)
                for figure in results[0][name][server]
            }
            for server in ("etcd", "ours")
        }
        ratios = [r[name]["ours"]["rate"] / r[name]["etcd"]["rate"] for r in results]
        table[name] = {**row, "ratio": statistics.median(ratios)}
    if output == "json":
        click.echo(json.dumps(table, indent=2))
        return
    click.echo(f"{'':34}{'etcd/s':>10}{'ours/s':>10}{'ratio':>7}   server's CPU, µs each   p99, ms")
    for name, row in table.items():
        etcd, ours = row["etcd"], row["ours"]
        cpu = (
            f"{etcd['cpu_us']:.0f} / {ours['cpu_us']:.0f}"
            if etcd["cpu_us"] >= 10
            else f"{etcd['cpu_us']:.2f} / {ours['cpu_us']:.2f}"
        )
        click.echo(
            f"{name:34}{etcd['rate']:>10,.0f}{ours['rate']:>10,.0f}{row['ratio']:>7.2f}   {cpu:^21}   "
            f"{etcd['p99_ms']:.1f} / {ours['p99_ms']:.1f}"
        )
