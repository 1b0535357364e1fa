"""Snapshots of a cluster whose embedded store is in use by the process that runs it: over a socket in the cluster's directory,
which only its owner may open. The process says how many bytes there are, 8 bytes long, and sends them; or 0, and what failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError

if TYPE_CHECKING:
    from pilothouse.store.interface import Maintained

log = logging.getLogger(__name__)

NAME: Final = "snapshot.sock"
_DIGEST_BYTES: Final = 32
_CHUNK: Final = 64 << 10
Progress = Callable[[int, int], None]  # bytes that are here, and all


class Backups:
    """Made by `serve`. Belongs to the running loop."""

    def __init__(self, store: Maintained, path: Path) -> None:
        self._store, self._path = store, path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        listening = socket.socket(socket.AF_UNIX)
        self._path.unlink(missing_ok=True)
        os.fchmod(listening.fileno(), 0o600)
        with _Short(self._path) as address:
            listening.bind(address)
        self._server = await asyncio.start_unix_server(self._answer, sock=listening)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._send(writer)
        except ConnectionError:
            log.info("a snapshot was not taken to its end")
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        from pilothouse.store.interface import StoreError
        from pilothouse.store.snapshots import save

        said = False
        try:
            async for blob, left in save.chunks(self._store, self._path.parent):
                if not said:
                    writer.write((len(blob) + left + _DIGEST_BYTES).to_bytes(8, "big"))
                    said = True
                writer.write(blob)
                await writer.drain()
        except ConnectionError:
            raise
        except (StoreError, OSError) as error:
            log.error("a snapshot failed: %s", error)
            if not said:
                writer.write(bytes(8) + str(error).encode())
                await writer.drain()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)


async def serve(store: Maintained, directory: ClusterDirectory) -> Backups:
    backups = Backups(store, directory.path / NAME)
    await backups.start()
    return backups


class _Short:
    """A name for a socket that is short enough (107 bytes), however long its path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> str:
        self._directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._directory}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._directory)


async def fetch(directory: ClusterDirectory, path: Path, progress: Progress) -> int:
    """Writes a snapshot of a running cluster to `path`; its size. Raises ClusterError."""
    from pilothouse.store.snapshots.save import SnapshotFile

    connecting = socket.socket(socket.AF_UNIX)
    try:
        connecting.setblocking(False)
        with _Short(directory.path / NAME) as address:
            await asyncio.get_running_loop().sock_connect(connecting, address)
        reader, writer = await asyncio.open_unix_connection(sock=connecting)
    except OSError as error:
        connecting.close()
        raise ClusterError(
            f'cluster "{directory.name}" is not there for a snapshot: {error.strerror or error}; is it still starting?'
        ) from None
    try:
        with SnapshotFile(path) as file:
            total = int.from_bytes(await reader.readexactly(8), "big")
            if not total:
                raise ClusterError((await reader.read()).decode())
            while file.size < total:
                blob = await reader.read(_CHUNK)
                if not blob:
                    raise ClusterError(f"the cluster stopped before the snapshot was whole; {path} was not written")
                file.add(blob)
                progress(file.size, total)
            return file.size
    except asyncio.IncompleteReadError:
        raise ClusterError(f"the cluster stopped before the snapshot was whole; {path} was not written") from None
    except OSError as error:
        raise ClusterError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
