"""How long until the API server is ready, and how much memory it holds then: `pilothouse up` with three nodes, controllers and
scheduler, beside upstream's etcd and kube-apiserver alone."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from bench.servers import Upstream, free_ports, memory_mib

_SETTLE_S = 1.0


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
    memory = memory_mib([process.pid])
    process.terminate()
    process.wait(30)
    return seconds, memory


def _upstreams(directory: Path, peers: Path, port: int) -> tuple[float, float]:
    server = Upstream(directory, port, peers)
    try:
        seconds = server.start()
        time.sleep(_SETTLE_S)
        return seconds, server.memory_mib()
    finally:
        server.stop()


def run(rounds: int, peers: Path, output: str) -> None:
    """Prints min, median and max of each, and the ratios of the medians."""
    found: dict[str, list[tuple[float, float]]] = {
        "first start": [],
        "later start": [],
        "upstream first": [],
        "upstream later": [],
    }
    port = free_ports(10)
    for number in range(rounds):
        click.echo(f"round {number + 1} of {rounds}", err=True)
        base = Path(tempfile.mkdtemp(prefix="bench-start-", dir=os.environ.get("TMPDIR")))
        try:
            found["first start"].append(_ours(base / "ours", port))
            found["later start"].append(_ours(base / "ours", port))
            theirs = base / "theirs"
            theirs.mkdir()
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
