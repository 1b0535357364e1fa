"""`pilothouse down`, `status`, `list` and `delete`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import click
import orjson

from pilothouse.bootstrap import kubeconfig
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.client import Client
from pilothouse.clock import RealClock

_STOP_S = 30.0
_POLL_S = 0.05
_OK, _NOT_READY, _NOT_RUNNING = 0, 1, 3


def down(directory: ClusterDirectory) -> None:
    """Raises ClusterError where there is no such cluster, or it does not stop."""
    if not directory.exists() and not directory.is_locked():
        raise ClusterError(f'cluster "{directory.name}" does not exist; see "pilothouse list"')
    click.echo(f'cluster "{directory.name}" {"stopped" if _stop(directory) else "is not running"}')


def _stop(directory: ClusterDirectory) -> bool:
    import asyncio

    running = directory.running()
    if running is None:
        return False
    try:
        os.kill(running.pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise ClusterError(f"process {running.pid} belongs to another user; ask them to stop it") from None

    async def gone() -> bool:
        clock = RealClock()
        deadline_s = clock.monotonic() + _STOP_S
        while directory.is_locked():
            if clock.monotonic() > deadline_s:
                return False
            await clock.sleep(_POLL_S)
        return True

    if not asyncio.run(gone()):
        raise ClusterError(
            f"process {running.pid} did not stop within {_STOP_S:.0f} s; end it with: kill -9 {running.pid}"
        )
    return True


def delete(directory: ClusterDirectory) -> None:
    """Raises ClusterError where there is no such cluster."""
    if not directory.exists() and not directory.is_locked():
        raise ClusterError(f'cluster "{directory.name}" does not exist; see "pilothouse list"')
    _stop(directory)
    try:
        merged = directory.remembered().get("kubeconfig")
    except ClusterError:
        merged = None
    if isinstance(merged, str):
        kubeconfig.forget(Path(merged), directory.name)
    directory.remove()
    click.echo(f'cluster "{directory.name}" deleted')


async def _state(client: Client) -> dict[str, Any]:
    from pilothouse.api.errors import StatusError

    try:
        await client.get_raw("/readyz")
        ready = True
    except StatusError:
        ready = False
    nodes = (await client.resource("", "v1", "nodes").list())["items"]
    well = [n for n in nodes if _is_ready(n)]
    return {"ready": ready, "nodes": len(nodes), "nodesReady": len(well)}


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def node_count(directory: ClusterDirectory) -> int:
    from pilothouse.cli.access import ask

    return int(ask(directory, _state)["nodes"])


def _facts(directory: ClusterDirectory) -> dict[str, Any]:
    """One cluster, as `list` shows it."""
    running = directory.running()
    try:
        port = running.port if running else directory.remembered().get("port")
    except ClusterError:
        port = None
    state = "stopped" if running is None else ("running" if running.ready else "starting")
    return {"name": directory.name, "state": state, "port": port, "dataDir": str(directory.path.resolve())}


def status(directory: ClusterDirectory, output: str) -> int:
    """Prints how the cluster is; the exit code. Raises ClusterError where there is none."""
    if not directory.exists():
        raise ClusterError(
            f'cluster "{directory.name}" does not exist; create it with "pilothouse up{directory.option()}"'
        )
    facts = _facts(directory)
    code = _NOT_RUNNING
    if facts["state"] != "stopped":
        from pilothouse.cli.access import ask

        facts |= ask(directory, _state)
        code = _OK if facts["ready"] and facts["nodes"] == facts["nodesReady"] else _NOT_READY
    facts["kubeconfig"] = str(directory.kubeconfig)
    if output == "json":
        click.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
        return code
    click.echo(f'cluster "{facts["name"]}": {facts["state"]}')
    if "ready" in facts:
        click.echo(f"  API server  https://127.0.0.1:{facts['port']} ({'ready' if facts['ready'] else 'not ready'})")
        click.echo(f"  nodes       {facts['nodesReady']} of {facts['nodes']} ready")
    click.echo(f"  data        {facts['dataDir']}")
    click.echo(f"  kubeconfig  {facts['kubeconfig']}")
    return code


def list_all(output: str) -> None:
    found = [_facts(directory) for directory in ClusterDirectory.all()]
    if output == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    if not found:
        click.echo('no clusters; create one with "pilothouse up"', err=True)
        return
    rows = [("NAME", "STATE", "PORT", "DATA DIRECTORY")]
    rows += [(f["name"], f["state"], str(f["port"] or ""), f["dataDir"]) for f in found]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]))
