"""`pilothouse etcd`: the embedded store, served as etcd."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import click

from pilothouse.bootstrap import runtime
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store
from pilothouse.store.etcd.auth.tokens import BadTokenOptions
from pilothouse.store.etcd.config import LOG_LEVELS, Config, read
from pilothouse.store.etcd.front import Front
from pilothouse.store.etcd.values import BadConfig, BadFlag
from pilothouse.store.interface import StoreError

log = logging.getLogger(__name__)

_BAD_FLAG_STATUS = 2  # as Go's flag package ends


def run(arguments: list[str]) -> None:
    """Serves until SIGINT or SIGTERM. Raises ClusterError."""
    import uvloop

    try:
        config, idle = read(arguments, os.environ)
    except BadFlag as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(_BAD_FLAG_STATUS) from None
    except BadConfig as error:
        raise ClusterError(str(error)) from None
    level = LOG_LEVELS[config.log_level.lower()]
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if idle:
        names = (name if name.startswith("ETCD_") else f"--{name}" for name in idle)
        log.warning("of no effect here: %s", ", ".join(names))
    if (config.directory / "member" / "snap").exists():
        raise ClusterError(
            f"{config.directory} is a data directory of etcd itself; choose another with --data-dir, "
            "and bring the data over with a snapshot"
        )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config))
    except (BadConfig, BadTokenOptions, StoreError) as error:
        raise ClusterError(str(error)) from None


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    clock = RealClock()
    runtime.starting()
    store = await open_store(
        config.directory,
        clock,
        quota_bytes=config.quota_bytes,
        max_txn_ops=config.max_txn_ops,
        max_request_bytes=config.max_request_bytes,
        snapshot_every=config.snapshot_count,
        hash_compactions=True,
    )
    try:
        front = Front(store, config, clock)
        runtime.settled()
        try:
            await front.start()
            click.echo(f"ready to serve client requests on {', '.join(config.listen_client_urls)}", err=True)
            await stop.wait()
        finally:
            await front.close()
    finally:
        await store.close()
