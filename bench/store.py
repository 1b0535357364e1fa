"""The embedded store in process beside real etcd over gRPC: the same load in one run, in turns; and with a million keys, how long
each takes to open, and its memory and disk. `pilothouse etcd` is measured over gRPC, too.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from bench import etcd as over_grpc
from bench.etcd import KEYS, ROWS, VALUE, WATCH_ROW, Server, key_of, name_of
from bench.servers import wait
from pilothouse.bootstrap import runtime
from pilothouse.clock import RealClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.interface import Compare, Put, Range, Txn, Watch

_PREFIX, _END = b"/registry/pods/", b"/registry/pods0"
_QUOTA = 16 << 30
_TICK_S = 0.001

Call = Callable[[EmbeddedStore, int], Awaitable[object]]
Figures = dict[str, dict[str, float]]


def _event(number: int) -> bytes:
    return b"/registry/events/default/event-%09d" % number


def _txn(store: EmbeddedStore, number: int) -> Awaitable[object]:
    key = _event(number)
    return store.txn(Txn([Compare(key, "mod", "=", 0)], [Put(key, VALUE)], [Range(key)]))


def _range(count: int) -> Call:
    return lambda store, _: store.range(Range(_PREFIX, _END, limit=count))


def _put(store: EmbeddedStore, number: int) -> Awaitable[object]:
    return store.put(Put(key_of(number), VALUE))


CALLS: dict[str, Call] = {
    "durable puts, 1 client": _put,
    "durable puts, 64 clients": _put,
    "durable puts, 512 clients": _put,
    "create transactions, 64 clients": _txn,
    "ranges of 1 key, 64 clients": lambda store, number: store.range(Range(key_of(number))),
    "ranges of 100 keys, 16 clients": _range(100),
    "ranges of 10,000 keys, 2 clients": _range(KEYS),
}


class Stalls:
    """How long the event loop worked at most before a timer of 1 ms had its turn, ms of CPU."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def __aenter__(self) -> Stalls:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(2 * _TICK_S)  # the last step counts, too
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(_TICK_S)
            self.longest_ms = max(self.longest_ms, 1000 * (time.thread_time() - before))


async def _measure(store: EmbeddedStore, call: Call, clients: int, seconds: float, offset: int) -> float:
    """Calls a second."""
    numbers = itertools.count(offset)
    begun = time.perf_counter()

    async def client() -> int:
        done = 0
        while time.perf_counter() - begun < seconds:
            await call(store, next(numbers))
            done += 1
            if not done % 64:
                await asyncio.sleep(0)  # reads never wait: let the others have their turn
        return done

    total = sum(await asyncio.gather(*(client() for _ in range(clients))))
    return total / (time.perf_counter() - begun)


async def _watches(store: EmbeddedStore, seconds: float) -> float:
    """Events a second that 1,000 watches of one prefix take, while 16 clients put."""
    received = 0

    async def read(watch: Watch) -> None:
        nonlocal received
        async for batch in watch:
            received += len(batch.events)

    watches = [store.watch(_PREFIX, _END) for _ in range(1000)]
    readers = [asyncio.create_task(read(watch)) for watch in watches]
    await asyncio.sleep(0.1)
    begun = time.perf_counter()
    puts = round(await _measure(store, _put, 16, seconds, 0) * seconds)
    while received < puts * 990:
        await asyncio.sleep(0.001)
    rate = received / (time.perf_counter() - begun)
    for watch in watches:  # or they would be brought what the next rows write
        await watch.cancel()
    await asyncio.gather(*readers)
    return rate


async def _fill(store: EmbeddedStore, keys: int) -> None:
    for first in range(0, keys, 100):
        await store.txn(Txn(success=[Put(name_of(n), VALUE) for n in range(first, min(keys, first + 100))]))


async def _round(
    number: int, store: EmbeddedStore, servers: list[Server], only: tuple[str, ...], seconds: float
) -> Figures:
    found: Figures = {}
    for row in ROWS:
        if not only or any(part in row.name for part in only):
            figures = {s.name: (await over_grpc.measure(s, row, seconds, number * 10_000_000))["rate"] for s in servers}
            mine = await _measure(store, CALLS[row.name], row.clients, seconds, number * 10_000_000)
            found[row.name] = {**figures, "process": mine}
    if not only or any(part in WATCH_ROW for part in only):
        figures = {s.name: (await over_grpc.watches(s, seconds))["rate"] for s in servers}
        found[WATCH_ROW] = {**figures, "process": await _watches(store, seconds)}
    return found


async def _rates(rounds: int, peers: Path, only: tuple[str, ...], seconds: float) -> list[Figures]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as directory:
        servers: list[Server] = []
        runtime.starting()  # as the process that holds a cluster does
        store = await open_store(Path(directory) / "process", RealClock(), quota_bytes=_QUOTA)
        try:
            servers += [over_grpc.start(name, Path(directory), peers) for name in ("etcd", "ours")]
            for server in servers:
                await over_grpc.fill(server)
            await _fill(store, KEYS)
            runtime.settled()
            return [await _round(number, store, servers, only, seconds) for number in range(rounds)]
        finally:
            await store.close()
            for server in servers:
                server.process.terminate()
                server.process.wait()


# A million keys


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _disk_mib(directory: Path) -> float:
    return sum(file.stat().st_blocks * 512 for file in directory.rglob("*") if file.is_file()) / (1 << 20)


async def _open_process(directory: Path) -> dict[str, float]:
    """In a fresh process: the time to open, memory then, and how long the loop stands still at each kind of work."""
    runtime.starting()
    begun = time.perf_counter()
    store = await open_store(directory, RealClock(), quota_bytes=_QUOTA)
    found = {"open s": time.perf_counter() - begun, "memory MiB": _resident_mib(os.getpid())}
    runtime.settled()
    revision = await store.revision()
    for name, work in (
        ("stall of a range of all keys, ms", lambda: store.range(Range(b"\0", b"\0"))),
        ("stall of the same, sorted, ms", lambda: store.range(Range(b"\0", b"\0", sort_target="mod", limit=500))),
        ("stall of HashKV, ms", store.hash_kv),
        ("stall of compaction, ms", lambda: store.compact(revision, physical=True)),
        ("stall of a snapshot, ms", store.defragment),
    ):
        async with Stalls() as stalls:
            result = await work()
        del result  # a million references: what the caller does with them is not the store's
        found[name] = stalls.longest_ms
    await store.close()
    return found


async def _many(keys: int, peers: Path) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as directory:
        base = Path(directory)
        store = await open_store(base / "process", RealClock(), quota_bytes=_QUOTA)
        begun = time.perf_counter()
        await _fill(store, keys)
        mine = {"fill s": time.perf_counter() - begun}
        await store.close()
        mine["disk MiB"] = _disk_mib(base / "process")
        command = [sys.executable, "-m", "bench.store", str(base / "process")]
        mine |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        server = over_grpc.start("etcd", base, peers)
        try:
            begun = time.perf_counter()
            await over_grpc.fill(server, keys)
            theirs = {"fill s": time.perf_counter() - begun}
            server.process.terminate()
            server.process.wait()
            theirs["disk MiB"] = _disk_mib(base / "etcd")
            begun = time.perf_counter()
            server = over_grpc.start("etcd", base, peers)
            wait(f"http://127.0.0.1:{server.port}/health", [server.process])
            theirs["open s"] = time.perf_counter() - begun
            theirs["memory MiB"] = _resident_mib(server.process.pid)
        finally:
            server.process.terminate()
            server.process.wait()
        return {"ours": mine, "etcd": theirs}


def run(rounds: int, peers: Path, output: str, only: tuple[str, ...], seconds: float, keys: int) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(_rates(rounds, peers, only, seconds))
        many = runner.run(_many(keys, peers)) if keys else {}
    if output == "json":
        click.echo(json.dumps({"rates": results, "keys": many}, indent=2))
        return
    click.echo("a second; ratios to etcd: median (least to most)")
    click.echo(f"{'':34}{'etcd':>11}{'in process':>11}  {'ratio':18}{'over gRPC':>11}  ratio")
    for name in results[0]:
        middle = {who: statistics.median(r[name][who] for r in results) for who in results[0][name]}
        shown = {}
        for who in ("process", "ours"):
            ratios = [r[name][who] / r[name]["etcd"] for r in results]
            shown[who] = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        click.echo(
            f"{name:34}{middle['etcd']:>11,.0f}{middle['process']:>11,.0f}  {shown['process']:18}"
            f"{middle['ours']:>11,.0f}  {shown['ours']}"
        )
    if many:
        click.echo(f"\n{keys:,} keys of {len(VALUE)} bytes{'etcd':>22}{'ours':>11}")
        for name, figure in many["ours"].items():
            theirs = f"{many['etcd'][name]:,.1f}" if name in many["etcd"] else ""
            click.echo(f"{name:40}{theirs:>9}{figure:>11,.1f}")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_open_process(Path(sys.argv[1])))))
