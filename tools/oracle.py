"""Asks our API server what upstream's was asked, and compares: `./dev oracle [--only Pod] [--show 5]`.

Hands the address of an API server of its own to the oracle's program. Without --golden all recorded cases are asked.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver import features, http
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.server import APIServer
from pilothouse.bootstrap import pki
from pilothouse.clock import RealClock
from pilothouse.store.embedded import open_store

ORACLE = Path(__file__).resolve().parents[2] / "shared" / "oracle"
TOKEN = "admintok"


@asynccontextmanager
async def running(*, everything: bool = False, gates: str = "") -> AsyncIterator[str]:
    """The address of an API server on the embedded store alone, without controllers, in a directory of its own. `everything`:
    with all versions and feature gates. `gates`: as `--feature-gates` has them."""
    clock = RealClock()
    with tempfile.TemporaryDirectory() as directory:
        keys = pki.ensure(Path(directory) / "pki", clock, ("127.0.0.1",))
        admin = UserInfo("admin", "admin", ("system:masters",))
        config = Config(
            tokens=(TokenEntry(TOKEN, admin),), client_ca=keys["ca.crt"], service_account_keys=(keys["sa.pub"],),
            service_account_signing_key=keys["sa.key"], runtime_config={"api/all": True} if everything else {},
            feature_gates=features.parse("AllAlpha=true,AllBeta=true" if everything else gates),
        )  # fmt: skip
        store = await open_store(Path(directory) / "store", clock)
        server = APIServer(store, clock, config)
        await server.start()
        front = await http.serve(server, ssl_context=keys.server_context())
        yield f"https://127.0.0.1:{front.port}"
        await front.stop()
        await server.stop()
        await store.close()


async def main(arguments: list[str]) -> int:
    program = ORACLE / "oracle.py"
    if not program.is_file():
        sys.stderr.write(f"{program} is missing: the recorded answers are not part of this repository\n")
        return 2
    async with running() as url:
        golden = [] if "--golden" in arguments else ["--golden", str(ORACLE / "golden" / "v1.37.2.jsonl.xz")]
        command = [str(program), "check", "--server", url, "--token", TOKEN, *golden]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, *arguments)
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
