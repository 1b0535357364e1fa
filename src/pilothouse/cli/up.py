"""`pilothouse up`: a cluster in the foreground until a signal, or in the background."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from pilothouse.bootstrap import kubeconfig, runtime
from pilothouse.bootstrap.cluster import Cluster, Options
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import RealClock

_POLL_S = 0.05
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Settings:
    nodes: int | None = None
    port: int | None = None
    kubeconfig: str | None = None  # None: leave the user's alone; empty: the user's own; else that file
    verbose: bool = False
    etcd: dict[str, str] = field(default_factory=dict)  # the options --etcd-…, those that were given
    api: dict[str, str] = field(default_factory=dict)  # --runtime-config and --feature-gates, those that were given


class Progress:
    """One line that shows what starts: rewritten in place on a terminal, a line a step elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()

    def __call__(self, step: str) -> None:
        if self._terminal:
            click.echo(f"\r\x1b[K{click.style('•', fg='cyan')} starting {step} …", nl=False, err=True)
        else:
            click.echo(f"starting {step}", err=True)

    def end(self) -> None:
        if self._terminal:
            click.echo("\r\x1b[K", nl=False, err=True)


def in_foreground(directory: ClusterDirectory, settings: Settings) -> None:
    """Runs the cluster until SIGINT or SIGTERM. Raises ClusterError."""
    level = logging.INFO if settings.verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(directory, settings))


async def _run(directory: ClusterDirectory, settings: Settings) -> None:
    clock = RealClock()
    begin = clock.monotonic()
    runtime.starting()
    stop = asyncio.Event()
    starting = asyncio.current_task()
    ready = False

    def asked() -> None:
        stop.set()
        if not ready and starting is not None:
            starting.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked)
    cluster = Cluster(directory, clock, Options(settings.nodes, settings.port, settings.etcd, settings.api))
    progress = Progress()
    try:
        await cluster.start(progress)
        ready = True
        runtime.settled()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        progress.end()
        raise ClusterError("stopped before the cluster was ready") from None
    finally:
        progress.end()
    _merge(directory, settings)
    _summary(directory, cluster.port, cluster.node_count, f"in {clock.monotonic() - begin:.2f} s", settings)
    tidying = asyncio.create_task(runtime.tidy(clock), name="tidy")
    await stop.wait()
    tidying.cancel()
    await asyncio.gather(tidying, return_exceptions=True)
    click.echo("stopping …", err=True)
    await cluster.stop()


def _merge(directory: ClusterDirectory, settings: Settings) -> None:
    if settings.kubeconfig is None:
        return
    path = Path(settings.kubeconfig).expanduser() if settings.kubeconfig else kubeconfig.user_path()
    kubeconfig.merge(path, kubeconfig.read(directory.kubeconfig))
    directory.remember({**directory.remembered(), "kubeconfig": str(path.absolute())})


def _summary(directory: ClusterDirectory, port: int, nodes: int, when: str, settings: Settings) -> None:
    from pilothouse import __version__
    from pilothouse.apiserver import version

    click.echo(f'pilothouse {__version__}: cluster "{directory.name}" is ready {when}'.rstrip())
    click.echo(f"  API server  https://127.0.0.1:{port} (Kubernetes {version.info()['gitVersion']})")
    click.echo(f"  nodes       {nodes}")
    click.echo(f"  data        {directory.path}")
    if settings.kubeconfig is None:
        click.echo(f"\nexport KUBECONFIG={directory.kubeconfig}")
    else:
        click.echo(f"\nkubectl's context is now {kubeconfig.context_name(directory.name)}")


def in_background(directory: ClusterDirectory, settings: Settings) -> None:
    """Returns once a process of its own has the cluster ready. Raises ClusterError."""
    clock = RealClock()
    begin = clock.monotonic()
    running = directory.running()
    if running is not None:
        raise ClusterError(f'cluster "{directory.name}" is running already (process {running.pid})')
    directory.create()
    command = [sys.executable, "-m", "pilothouse", "up", "--name", directory.name, "--data-dir", str(directory.path)]
    for option, value in (("--nodes", settings.nodes), ("--port", settings.port)):
        if value is not None:
            command += [option, str(value)]
    for name, text in {**settings.etcd, **settings.api}.items():
        command += [f"--{name.replace('_', '-')}", text]
    if settings.verbose:
        command.append("--verbose")
    with open(directory.log, "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
        )
    progress = Progress()
    progress(f'cluster "{directory.name}" in the background')
    try:
        while True:
            try:
                code = process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                running = directory.running()
                if running is not None and running.ready and running.pid == process.pid:
                    break
                continue
            raise ClusterError(
                _last_words(directory.log) or f"the cluster ended with exit code {code}; see {directory.log}"
            )
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        progress.end()
    _merge(directory, settings)
    nodes = settings.nodes if settings.nodes is not None else -1
    from pilothouse.cli import clusters

    count = clusters.node_count(directory) if nodes < 0 else nodes
    _summary(directory, running.port, count, f"in {clock.monotonic() - begin:.2f} s", settings)


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    return last.removeprefix("Error: ") if last.startswith("Error: ") else ""
