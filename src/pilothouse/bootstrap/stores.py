"""Where a cluster's state is: the embedded store in its directory, or an etcd cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import Clock

if TYPE_CHECKING:
    from pilothouse.store.interface import Store

_FILES = ("etcd_cafile", "etcd_certfile", "etcd_keyfile")


def chosen(given: Mapping[str, str], remembered: Mapping[str, str]) -> dict[str, str]:
    """The etcd options to go by, file names absolute; none for the embedded store. Raises ClusterError."""
    if not given:
        return dict(remembered)
    servers = given.get("etcd_servers", remembered.get("etcd_servers", ""))
    if not servers:
        others = [f"--{name.replace('_', '-')}" for name in given if name != "etcd_servers"]
        if others:
            raise ClusterError(f"{others[0]}: --etcd-servers must be specified")
        return {}
    found = {"etcd_servers": servers}
    for name, value in {**remembered, **given}.items():
        if value and name != "etcd_servers":
            found[name] = str(Path(value).expanduser().absolute()) if name in _FILES else value
    return found


async def open_store(directory: ClusterDirectory, etcd: Mapping[str, str], clock: Clock) -> Store:
    """Raises ClusterError."""
    from pilothouse.store.interface import StoreError

    try:
        if not etcd:
            from pilothouse.store.embedded import open_store

            return await open_store(directory.store, clock)
        from pilothouse.store import remote

        options = remote.Options(
            tuple(filter(None, (url.strip() for url in etcd["etcd_servers"].split(",")))),
            ca_file=etcd.get("etcd_cafile", ""),
            cert_file=etcd.get("etcd_certfile", ""),
            key_file=etcd.get("etcd_keyfile", ""),
            prefix=etcd.get("etcd_prefix", "/registry"),
        )
        return await remote.open_remote(options, clock)
    except (StoreError, OSError) as error:
        raise ClusterError(str(error)) from None
