"""Our API server on its embedded store and nothing else, in a process of its own: what stands against etcd and kube-apiserver.
`python -m bench.ours DIRECTORY PORT TOKEN` prints `ready`, and runs until it is terminated."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver import http
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.bootstrap import pki, runtime
from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store


async def main(directory: Path, port: int, token: str) -> None:
    runtime.starting()
    clock = RealClock()
    keys = pki.ensure(directory / "pki", clock, ("127.0.0.1",))
    store = await open_store(directory / "store", clock)
    config = Config(
        client_ca=keys["ca.crt"], service_account_keys=(keys["sa.pub"],), service_account_signing_key=keys["sa.key"],
        tokens=(TokenEntry(token, UserInfo("admin", "admin", ("system:masters",))),), advertise_port=port,
    )  # fmt: skip
    server = APIServer(store, clock, config)
    await server.start()
    front = await http.serve(server, port=port, ssl_context=keys.server_context())
    runtime.settled()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tidying = asyncio.create_task(runtime.tidy(clock))
    print("ready", flush=True)
    await stop.wait()
    tidying.cancel()
    await front.stop()
    await server.stop()
    await store.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
