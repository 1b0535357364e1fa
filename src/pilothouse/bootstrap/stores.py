"""Where a cluster's state is: the embedded store in its directory, or an etcd cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def overrides(text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """`--etcd-servers-overrides` as upstream reads it: the servers of a group's resource. Raises ClusterError."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for override in filter(None, text.split(",")):
        name, _, servers = override.partition("#")
        group, slash, resource = name.partition("/")
        if not servers or "#" in servers or not slash or "/" in resource:
            raise ClusterError(
                "--etcd-servers-overrides invalid, must be of format: group/resource#servers, where servers are URLs, "
                "semicolon separated"
            )
        found.setdefault((group, resource), tuple(servers.split(";")))  # the first one holds, as with upstream
    return found


async def open_store(directory: ClusterDirectory, etcd: Mapping[str, str], clock: Clock) -> Store:
    """Raises ClusterError."""
    if etcd:
        return await _open_remote(etcd["etcd_servers"].split(","), etcd, clock)
    from pilothouse.store.embedded import open_store
    from pilothouse.store.interface import StoreError

    try:
        return await open_store(directory.store, clock)
    except (StoreError, OSError) as error:
        raise ClusterError(str(error)) from None


async def open_overrides(etcd: Mapping[str, str], clock: Clock) -> dict[tuple[str, str], Store]:
    """One store for each set of servers. Raises ClusterError, with nothing left open."""
    opened: dict[tuple[str, ...], Store] = {}
    found: dict[tuple[str, str], Store] = {}
    try:
        for name, servers in overrides(etcd.get("etcd_servers_overrides", "")).items():
            known = tuple(sorted(servers))
            if known not in opened:
                opened[known] = await _open_remote(servers, etcd, clock)
            found[name] = opened[known]
    except BaseException:
        for store in opened.values():
            await store.close()
        raise
    return found


async def _open_remote(servers: Iterable[str], etcd: Mapping[str, str], clock: Clock) -> Store:
    from pilothouse.store import remote
    from pilothouse.store.interface import StoreError

    try:
        options = remote.Options(
            tuple(filter(None, (url.strip() for url in servers))),
            ca_file=etcd.get("etcd_cafile", ""),
            cert_file=etcd.get("etcd_certfile", ""),
            key_file=etcd.get("etcd_keyfile", ""),
            prefix=etcd.get("etcd_prefix", "/registry"),
        )
        return await remote.open_remote(options, clock)
    except (StoreError, OSError) as error:
        raise ClusterError(str(error)) from None
