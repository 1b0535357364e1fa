"""`pilothouse snapshot save`, `restore` and `status`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import orjson

from pilothouse.bootstrap import backup
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import RealClock
from pilothouse.store.interface import StoreError


class _Progress:
    """One line on a terminal, nothing elsewhere."""

    def __init__(self, what: str) -> None:
        self._what, self._shown, self._terminal = what, "", sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        self.tell(f"{100 * done // max(total, 1)} % of {_size(total)}")

    def tell(self, text: str) -> None:
        if self._terminal and text != self._shown:
            self._shown = text
            click.echo(f"\r\x1b[K{self._what}: {text}", nl=False, err=True)

    def end(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def save(directory: ClusterDirectory, file: str, etcd: Mapping[str, str], output: str) -> None:
    """Of the etcd server that `etcd` names (etcd_servers, etcd_cafile, …; user), else of the cluster. Raises ClusterError."""
    path = Path(file).expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        why = "is a directory" if path.is_dir() else f"cannot be written: there is no {path.parent}"
        raise ClusterError(f"{path} {why}; name a file")
    clock = RealClock()
    begin = clock.monotonic()
    progress = _Progress("saving")
    try:
        size = asyncio.run(_save(directory, path, etcd, progress))
    except StoreError as error:
        raise ClusterError(str(error)) from None
    except OSError as error:
        raise ClusterError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        progress.end()
    seconds = clock.monotonic() - begin
    if output == "json":
        click.echo(orjson.dumps({"file": str(path), "size": size}))
    else:
        click.echo(f"saved {path} ({_size(size)} in {seconds:.2f} s)")


async def _save(directory: ClusterDirectory, path: Path, etcd: Mapping[str, str], progress: _Progress) -> int:
    remembered = {} if etcd else directory.remembered().get("etcd") or {}
    if etcd or remembered:
        return await _download(path, etcd or remembered, progress)
    if directory.running() is not None:
        return await backup.fetch(directory, path, progress)
    if not directory.store.is_dir():
        raise ClusterError(f'cluster "{directory.name}" does not exist; see "pilothouse list"')
    from pilothouse.store.embedded import open_store
    from pilothouse.store.snapshots import save as snapshots

    directory.lock()
    try:
        store = await open_store(directory.store, RealClock())
        try:
            return await snapshots.save(store, path)
        finally:
            await store.close()
    finally:
        directory.unlock()


async def _download(path: Path, etcd: Mapping[str, str], progress: _Progress) -> int:
    """Of the first server that gives one."""
    from pilothouse.store.remote import Options
    from pilothouse.store.remote.snapshot import download

    servers = [url for url in map(str.strip, etcd["etcd_servers"].split(",")) if url]
    failure: StoreError = StoreError("no endpoint")
    name, colon, password = etcd.get("user", "").partition(":")
    for url in servers:
        files = (etcd.get(name, "") for name in ("etcd_cafile", "etcd_certfile", "etcd_keyfile"))
        try:
            return await download(Options((url,), *files), path, progress, (name, password) if colon else None)
        except StoreError as error:
            failure = StoreError(f"{url}: {error}")
    raise failure


def restore(directory: ClusterDirectory, file: str, etcd_data_dir: str | None, check_hash: bool, output: str) -> None:
    """Into the cluster's store, or into a data directory of `pilothouse etcd`. Raises ClusterError."""
    from pilothouse.store.snapshots.restore import restore as make

    progress = _Progress("restoring")
    path = Path(file).expanduser().absolute()
    to = Path(etcd_data_dir).expanduser().absolute() if etcd_data_dir else directory.store
    try:
        if not etcd_data_dir:
            if directory.remembered().get("etcd"):
                raise ClusterError(
                    f'cluster "{directory.name}" keeps its state in etcd; restore the snapshot there: etcdutl snapshot restore'
                )
            directory.create()
            directory.lock()
        revision = make(path, to, check_hash=check_hash, progress=lambda n: progress.tell(f"{n} versions"))
    except StoreError as error:
        raise ClusterError(str(error)) from None
    finally:
        progress.end()
        directory.unlock()
    if output == "json":
        click.echo(orjson.dumps({"directory": str(to), "revision": revision}))
    elif etcd_data_dir:
        click.echo(f"restored {to} at revision {revision}; serve it with: pilothouse etcd --data-dir {to}")
    else:
        click.echo(f"restored {to} at revision {revision}; start the cluster with: pilothouse up{directory.option()}")


def status(file: str, output: str) -> None:
    """Raises ClusterError."""
    from pilothouse.store.snapshots.restore import inspect

    try:
        found = inspect(Path(file).expanduser().absolute())
    except StoreError as error:
        raise ClusterError(str(error)) from None
    if output == "json":  # as etcdutl's
        click.echo(
            orjson.dumps(
                {
                    "hash": found.hash,
                    "revision": found.revision,
                    "totalKey": found.total_keys,
                    "totalSize": found.total_size,
                    "version": found.version,
                }
            )
        )
        return
    click.echo(f"hash      {found.hash:08x}")
    click.echo(f"revision  {found.revision}")
    click.echo(f"keys      {found.total_keys}")
    click.echo(f"size      {_size(found.total_size)}")
    click.echo(f"version   {found.version or 'before 3.6'}")


def _size(count: float) -> str:
    if count < 1000:
        return f"{count:.0f} B"
    power = 1 if count < 1e6 else 2 if count < 1e9 else 3
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"
