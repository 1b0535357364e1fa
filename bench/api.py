"""The API server under load: ours beside upstream's etcd and kube-apiserver, on the same cores, in one run.

Both hold the same pods; each row sends both the same requests, one server after the other, in every round. What counts is the
CPU time of the server's processes a request, which other work on the machine hardly moves; rates and delays are told beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import uvloop

from bench import load, pods
from bench.servers import TOKEN, Ours, Pairs, Server, Upstream, free_ports

_JSON = "application/json"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_PATCHES = {
    "json": "application/json-patch+json", "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml",
}  # fmt: skip
_NAMESPACES = {"ten": 10, "thousand": 1000, "many": 10_000}
_WRITTEN = "bench"
_CALM_S = (
    20.0  # after the load, before its memory is looked at: Go gives freed memory back in the background, and so do we
)
_POD = "/api/v1/namespaces/{}/pods"


def _ask(method: str, path: str, accept: str = _JSON, body: Any = None, media_type: str = _JSON) -> bytes:
    headers = {"host": "127.0.0.1", "authorization": f"Bearer {TOKEN}", "accept": accept, "user-agent": "bench/1"}
    if body is None:
        return load.request(method, path, headers)
    return load.request(
        method, path, {**headers, "content-type": media_type}, json.dumps(body, separators=(",", ":")).encode()
    )


def _objects() -> Pairs:
    for namespace in (*_NAMESPACES, _WRITTEN):
        yield (
            f"/registry/namespaces/{namespace}",
            json.dumps(
                {
                    "kind": "Namespace", "apiVersion": "v1",
                    "metadata": {"name": namespace, "uid": f"uid-{namespace}", "creationTimestamp": "2026-01-01T00:00:00Z",
                                 "labels": {"kubernetes.io/metadata.name": namespace}},
                    "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
                }
            ).encode(),
        )  # fmt: skip
        account = {
            "kind": "ServiceAccount", "apiVersion": "v1",
            "metadata": {"name": "default", "namespace": namespace, "uid": f"sa-{namespace}",
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
        }  # fmt: skip
        yield f"/registry/serviceaccounts/{namespace}/default", json.dumps(account).encode()
    for namespace, count in _NAMESPACES.items():
        yield from _pods(namespace, count)


def _pods(namespace: str, count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        pod = pods.stored(namespace, number)
        yield f"/registry/pods/{namespace}/{pod['metadata']['name']}", json.dumps(pod, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `requests(count, round)` makes them; with `watchers`, they are the updates that those see."""

    name: str
    count: int
    requests: Callable[[int, int], Iterable[bytes]]
    connections: int = 8
    watchers: int = 0


def _gets(query: str) -> Callable[[int, int], Iterable[bytes]]:
    def make(count: int, _: int) -> Iterable[bytes]:
        return (_ask("GET", f"{_POD.format('thousand')}/web-{n % 1000:06}{query}") for n in range(count))

    return make


def _lists(namespace: str, query: str = "", accept: str = _JSON) -> Callable[[int, int], Iterable[bytes]]:
    def make(count: int, _: int) -> Iterable[bytes]:
        return (_ask("GET", _POD.format(namespace) + query, accept) for _ in range(count))

    return make


def _creates(count: int, number: int) -> Iterator[bytes]:
    for n in range(count):
        yield _ask("POST", _POD.format(_WRITTEN), body=pods.manifest(_WRITTEN, f"w{number}-{n}"))


def _deletes(count: int, number: int) -> Iterator[bytes]:
    return (_ask("DELETE", f"{_POD.format(_WRITTEN)}/w{number}-{n}") for n in range(count))


def _updates(count: int, number: int) -> Iterator[bytes]:
    for n in range(count):
        pod = pods.manifest(_WRITTEN, f"w{number}-{n}")
        pod["metadata"]["labels"]["rev"] = "new"
        yield _ask("PUT", f"{_POD.format(_WRITTEN)}/w{number}-{n}", body=pod)


def _patches(kind: str) -> Callable[[int, int], Iterable[bytes]]:
    bodies: dict[str, Any] = {
        "json": [{"op": "replace", "path": "/metadata/labels/app", "value": "json"}],
        "merge": {"metadata": {"labels": {"app": "merge"}}},
        "strategic": {"spec": {"containers": [{"name": "web", "image": "registry.example/web:strategic"}]}},
    }

    def make(count: int, number: int) -> Iterator[bytes]:
        for n in range(count):
            name = f"w{number}-{n}"
            query, body = "", bodies.get(kind)
            if kind == "apply":
                query = "?fieldManager=bench&force=true"
                image = {"name": "web", "image": "registry.example/web:applied"}
                body = {
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": name, "labels": {"app": "applied", "by": "bench"}},
                    "spec": {"containers": [image]},
                }  # fmt: skip
            yield _ask("PATCH", f"{_POD.format(_WRITTEN)}/{name}{query}", body=body, media_type=_PATCHES[kind])

    return make


def _stream(count: int, _: int) -> Iterator[bytes]:
    """Updates of a thousand pods in turn; each says when it was sent."""
    for n in range(count):
        stamp = {"metadata": {"annotations": {"bench/sent": str(time.perf_counter_ns())}}}
        path = f"{_POD.format('thousand')}/web-{n % 1000:06}"
        yield _ask("PATCH", path, body=stamp, media_type=_PATCHES["merge"])


_ROWS = (
    Row("get", 4000, _gets("")),
    Row("get rv=0", 6000, _gets("?resourceVersion=0")),
    Row("list 10 json", 1500, _lists("ten")),
    Row("list 10 protobuf", 1500, _lists("ten", accept=_PROTOBUF)),
    Row("list 10 table", 1000, _lists("ten", accept=_TABLE)),
    Row("list 1000 json", 40, _lists("thousand"), 2),
    Row("list 1000 protobuf", 40, _lists("thousand", accept=_PROTOBUF), 2),
    Row("list 1000 table", 20, _lists("thousand", accept=_TABLE), 2),
    Row("list 10000 json", 6, _lists("many"), 1),
    Row("list 10000 protobuf", 6, _lists("many", accept=_PROTOBUF), 1),
    Row("list 10000 table", 4, _lists("many", accept=_TABLE), 1),
    Row("list 10000 rv=0", 6, _lists("many", "?resourceVersion=0"), 1),
    Row("list limit=500", 60, _lists("many", "?limit=500"), 2),
    Row("list labels", 20, _lists("many", "?labelSelector=tier%3Dweb"), 2),
    Row("list fields", 40, _lists("many", "?fieldSelector=spec.nodeName%3Dnode-7"), 2),
    Row("create", 600, _creates),
    Row("update", 600, _updates),
    Row("patch json", 600, _patches("json")),
    Row("patch merge", 600, _patches("merge")),
    Row("patch strategic", 600, _patches("strategic")),
    Row("apply", 600, _patches("apply")),
    Row("delete", 600, _deletes),
    Row("watch 1", 2000, _stream, 4, 1),
    Row("watch 100", 600, _stream, 4, 100),
    Row("watch 1000", 150, _stream, 4, 1000),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one row, on one server, in one round."""

    rate: float  # requests a second; of watches, events
    cpu_us: float  # a request, or an event
    p50_ms: float
    p99_ms: float
    held_p99_ms: float  # ours: how long the loop was held
    held_most_ms: float


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _measure(server: Server, row: Row, count: int, number: int) -> Figures:
    tls = _tls()
    if not row.watchers:  # what is made on first use is not part of it
        warm = row.requests(min(count, row.connections), number) if row.name.startswith(("get", "list")) else ()
        if warm:
            await load.closed(server.port, tls, warm, 1)
    server.held_ms()
    before_s = server.cpu_s()
    if row.watchers:
        watch = _ask("GET", f"{_POD.format('thousand')}?watch=true&resourceVersion=0&sendInitialEvents=false"
                     "&resourceVersionMatch=NotOlderThan")  # fmt: skip
        result = await load.watching(server.port, tls, watch, row.watchers, row.requests(count, number), count)
        done = result.events
    else:
        result = await load.closed(server.port, tls, row.requests(count, number), row.connections)
        done = len(result.latencies_s)
    used_s = server.cpu_s() - before_s
    delays = sorted(result.latencies_s)
    return Figures(
        done / result.seconds,
        used_s / done * 1e6,
        delays[len(delays) // 2] * 1e3,
        delays[int(len(delays) * 0.99)] * 1e3,
        *server.held_ms(),
    )


def _chosen(only: tuple[str, ...]) -> list[Row]:
    """The rows that are asked for. Those that write need the pods that `create` makes."""
    if not only:
        return list(_ROWS)
    found = [row for row in _ROWS if any(word in row.name for word in only)]
    if not found:
        raise click.ClickException(f"no such row; there are: {', '.join(row.name for row in _ROWS)}, memory")
    writes = [row.name for row in _ROWS[15:22]]
    if any(row.name in writes for row in found):
        found = [row for row in _ROWS if row in found or row.name in ("create", "delete")]
    return found


def run(rounds: int, peers: Path | None, output: str, only: tuple[str, ...], quick: bool, objects: int) -> None:
    """Prints each row's figures (medians over the rounds) and ratios. peers None: ours alone."""
    base = Path(tempfile.mkdtemp(prefix="bench-api-", dir=os.environ.get("TMPDIR")))
    report: dict[str, Any] = {}
    try:
        if only != ("memory",):
            report["rows"] = _loads(base, rounds, peers, _chosen(only), quick)
        if not only or "memory" in only:
            report["memory"] = _memory(base, peers, objects // 10 if quick else objects)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    _print(report, output)


def _servers(base: Path, peers: Path | None) -> list[Server]:
    port = free_ports(10)
    servers: list[Server] = [Ours(base / "ours", port)]
    if peers is not None:
        servers.append(Upstream(base / "upstream", port + 4, peers))
    for server in servers:
        server.directory.mkdir(parents=True)
    return servers


def _loads(base: Path, rounds: int, peers: Path | None, rows: list[Row], quick: bool) -> dict[str, Any]:
    servers = _servers(base / "load", peers)
    found: dict[str, dict[str, list[Figures]]] = {row.name: {s.name: [] for s in servers} for row in rows}
    memory: dict[str, float] = {}
    try:
        for server in servers:
            server.fill(_objects())
            server.start()
            memory[f"{server.name} before"] = server.memory_mib()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for number in range(rounds):
                for row in rows:
                    click.echo(f"round {number + 1} of {rounds}: {row.name}", err=True)
                    count = max(row.count // 5, 2) if quick else row.count
                    for server in servers if number % 2 == 0 else reversed(servers):
                        found[row.name][server.name].append(runner.run(_measure(server, row, count, number)))
        time.sleep(_CALM_S)
        for server in servers:
            memory[f"{server.name} after"] = server.memory_mib()
    finally:
        for server in servers:
            server.stop()
    out: dict[str, Any] = {name: _row(by_server) for name, by_server in found.items()}
    out["resident MiB with 11,010 pods"] = {k: round(v, 1) for k, v in memory.items()}
    return out


def _row(by_server: dict[str, list[Figures]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for server, figures in by_server.items():
        out[server] = {
            field: round(statistics.median(getattr(f, field) for f in figures), 3)
            for field in ("rate", "cpu_us", "p50_ms", "p99_ms", "held_p99_ms", "held_most_ms")
        }
    if len(by_server) == 2:
        pairs = list(zip(by_server["ours"], by_server["upstream"], strict=True))
        for field in ("rate", "cpu_us", "p50_ms", "p99_ms"):
            ratios = sorted(getattr(a, field) / getattr(b, field) for a, b in pairs)
            out[f"{field} ours/upstream"] = {
                "min": round(ratios[0], 3), "median": round(statistics.median(ratios), 3), "max": round(ratios[-1], 3),
            }  # fmt: skip
    return out


def _memory(base: Path, peers: Path | None, objects: int) -> dict[str, Any]:
    """Memory and time to ready with so many pods, which nobody has read yet; and memory once all were listed."""
    servers = _servers(base / "memory", peers)
    out: dict[str, Any] = {"pods": objects}
    for server in servers:
        click.echo(f"memory: {server.name}", err=True)
        try:
            server.fill(_pods("many", objects))
            ready_s = server.start()
            time.sleep(2)
            figures = {"ready_s": ready_s, "ready_cpu_s": server.cpu_s(), "resident_mib": server.memory_mib()}
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                ask = _lists("many", "?resourceVersion=0")(2, 0)
                runner.run(load.closed(server.port, _tls(), ask, 1))
            figures["listed_mib"] = server.memory_mib()
            out[server.name] = {k: round(v, 2) for k, v in figures.items()}
        finally:
            server.stop()
    if len(servers) == 2:
        ours, theirs = out["ours"], out["upstream"]
        out["ours/upstream"] = {k: round(ours[k] / theirs[k], 3) for k in ours}
    return out


def _print(report: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(report, indent=2))
        return
    rows = dict(report.get("rows", {}))
    rest = {k: rows.pop(k) for k in list(rows) if k.startswith("resident")}
    if rows:
        click.echo(
            f"{'':20}{'CPU µs':>10}{'upstream':>10}{'ratio':>8}{'(min–max)':>14}{'a second':>10}{'ratio':>8}"
            f"{'p50 ms':>9}{'ratio':>8}{'p99 ms':>9}{'ratio':>8}{'held p99':>10}{'most':>8}"
        )
    for name, row in rows.items():
        ours, theirs = row["ours"], row.get("upstream", {})
        line = f"{name:20}{ours['cpu_us']:>10.0f}"
        if theirs:
            ratio = row["cpu_us ours/upstream"]
            span = f"{ratio['min']:.2f}–{ratio['max']:.2f}"
            line += f"{theirs['cpu_us']:>10.0f}{ratio['median']:>8.2f}{span:>14}"
        else:
            line += " " * 32
        line += f"{ours['rate']:>10.0f}"
        for field in ("rate", "p50_ms", "p99_ms"):
            line += f"{ours[field]:>9.2f}" if field != "rate" else ""
            line += f"{row[f'{field} ours/upstream']['median']:>8.2f}" if theirs else " " * 8
        line += f"{ours['held_p99_ms']:>10.1f}{ours['held_most_ms']:>8.1f}"
        click.echo(line)
    for name, values in {**rest, **({"memory": report["memory"]} if "memory" in report else {})}.items():
        click.echo(f"\n{name}")
        for what, value in values.items():
            click.echo(f"  {what:20}{value}")
