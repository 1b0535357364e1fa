"""Our API server on its embedded store and nothing else, in a process of its own: what stands against etcd and kube-apiserver.
`python -m bench.ours DIRECTORY PORT TOKEN` prints `ready`, and runs until it is terminated. At SIGUSR1 it writes to the
file `held` how long the loop was held since the last time."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import uvloop

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver import http
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.bootstrap import pki, runtime
from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store

_PROBE_S = 0.002


class Probe:
    """How late a timer comes, as far as the loop's own thread was at work meanwhile: what other processes take does not count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held_s: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, used_s = loop.time() + _PROBE_S, time.thread_time()
            await asyncio.sleep(_PROBE_S)
            self._held_s.append(min(max(0.0, loop.time() - due_s), time.thread_time() - used_s))

    def tell(self) -> None:
        held, self._held_s = sorted(self._held_s) or [0.0], []
        text = f"{held[int(len(held) * 0.99)] * 1e3:.2f} {held[-1] * 1e3:.2f}\n"
        part = self._path.with_suffix(".part")
        part.write_text(text)
        part.rename(self._path)


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
    probe = Probe(directory / "held")
    tasks = [asyncio.create_task(runtime.tidy(clock)), asyncio.create_task(probe.run())]
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, probe.tell)
    print("ready", flush=True)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await front.stop()
    await server.stop()
    await store.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
