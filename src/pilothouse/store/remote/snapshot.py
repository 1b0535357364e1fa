"""A snapshot of an etcd server, over its Maintenance service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pilothouse.store.interface import StoreError
from pilothouse.store.remote.endpoints import Endpoint, Options, metadata
from pilothouse.store.remote.failures import failure_of
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.rpc.services import method
from pilothouse.store.snapshots.save import SnapshotFile

_DIGEST, _SECTOR = 32, 512
_METHOD: Final = method("etcdserverpb.Maintenance", "Snapshot")
_AUTHENTICATE: Final = method("etcdserverpb.Auth", "Authenticate")


async def download(
    options: Options, path: Path, progress: Callable[[int, int], None], user: tuple[str, str] | None = None
) -> int:
    """Writes the snapshot of the one server of `options` to `path`; its size. `progress` gets the bytes that are here, and all.
    `user`: name and password, for a server with users. Raises StoreError and OSError; then there is no such file."""
    import grpc

    if len(options.servers) != 1:
        raise StoreError("a snapshot is of one server's state: name one endpoint")
    endpoint = Endpoint(options.servers[0], options)
    endpoint.open()
    try:
        with SnapshotFile(path) as file:
            sent = metadata()
            if user is not None:
                known = pb.AuthenticateRequest(name=user[0], password=user[1]).SerializeToString()
                sent = (*sent, ("token", (await endpoint.call(_AUTHENTICATE)(known, metadata=sent)).token))
            call = endpoint.call(_METHOD)(pb.SnapshotRequest().SerializeToString(), metadata=sent)
            async for response in call:
                file.add(response.blob)
                progress(file.size, file.size + response.remaining_bytes)
            if file.size % _SECTOR != _DIGEST:
                raise StoreError(f"sha256 checksum not found [bytes: {file.size}]")
    except grpc.aio.AioRpcError as error:
        raise failure_of(error) from None
    finally:
        await endpoint.close()
    return file.size
