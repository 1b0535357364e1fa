"""One cluster's directory: where everything of it lives on disk, who has it open, and what is remembered between runs.

cluster.json   name, port: chosen at the first start and kept
run.json       process id and port, while it runs
lock           held (flock) by the process that runs it
kubeconfig     the administrator's way in
pki/           the cluster's own certificate authority and keys
store/         the state
snapshot.sock  gives snapshots of the state, while it runs
pilothouse.log what a detached cluster had to say

A cluster that lives elsewhere is found by name through a link in the data home.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pilothouse.bootstrap.failures import ClusterError

DEFAULT = "default"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _name_in(path: Path) -> str:
    """The name of the cluster in a directory."""
    try:
        name = orjson.loads((path / "cluster.json").read_bytes())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT
    return name if isinstance(name, str) else DEFAULT


def data_home() -> Path:
    """`$XDG_DATA_HOME/pilothouse`, by default below ~/.local/share (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / "pilothouse"


@dataclass(frozen=True, slots=True)
class Running:
    """What run.json says of the process that has the cluster open."""

    pid: int
    port: int
    ready: bool


class ClusterDirectory:
    """`ClusterDirectory.of(name, data_dir)`. Nothing is read or written before it is asked for."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._lock: int | None = None

    @classmethod
    def of(cls, name: str | None, data_dir: str | None = None) -> ClusterDirectory:
        """`name` None: that of the cluster in `data_dir`, else `default`. Raises ClusterError for a name that cannot be one."""
        if name is None:
            name = _name_in(Path(data_dir).expanduser()) if data_dir else DEFAULT
        if _NAME.fullmatch(name) is None:
            raise ClusterError(
                f'"{name}" cannot be the name of a cluster: use lower-case letters, digits and "-", 63 characters at most'
            )
        path = Path(data_dir).expanduser().absolute() if data_dir else data_home() / name
        return cls(name, path)

    @staticmethod
    def all() -> list[ClusterDirectory]:
        """The clusters below the data home, by name."""
        home = data_home()
        if not home.is_dir():
            return []
        return [ClusterDirectory(p.name, p) for p in sorted(home.iterdir()) if (p / "cluster.json").is_file()]

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def log(self) -> Path:
        return self.path / "pilothouse.log"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def pki(self) -> Path:
        return self.path / "pki"

    def exists(self) -> bool:
        return (self.path / "cluster.json").is_file()

    def create(self) -> None:
        """Raises ClusterError where the directory cannot be made or written."""
        try:
            if self.path.is_symlink() and not self.path.exists():
                self.path.unlink()  # to what is gone
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (PermissionError, FileExistsError, NotADirectoryError, OSError) as error:
            raise ClusterError(f"cannot create {self.path}: {error.strerror}; choose another with --data-dir") from None
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise ClusterError(f"no permission to write {self.path}; mend its mode or choose another with --data-dir")

    def register(self) -> None:
        """Lets `--name` and `list` find a cluster outside the data home, if it was given a name that is free there."""
        link = data_home() / self.name
        if self.name == DEFAULT:
            return
        with contextlib.suppress(OSError):  # then --data-dir finds it
            link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if link.is_symlink() and not link.exists():
                link.unlink()
            link.symlink_to(self.path)

    def lock(self) -> None:
        """Takes the directory for this process until it ends. Raises ClusterError where another has it."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClusterError(f"cannot open {self.path / 'lock'}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            running = self.running()
            who = f" (process {running.pid})" if running else ""
            raise ClusterError(
                f'cluster "{self.name}" is running already{who}; stop it with "pilothouse down{self.option()}" '
                "or choose another --name"
            ) from None
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def option(self) -> str:
        """How a command names this cluster: ` --name x`, or nothing for the default one."""
        if self.path.resolve() != (data_home() / self.name).resolve():
            return f" --data-dir {self.path}"
        return "" if self.name == DEFAULT else f" --name {self.name}"

    def is_locked(self) -> bool:
        """Some process has the cluster open."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def running(self) -> Running | None:
        """The process that runs the cluster; None where none does."""
        if not self.is_locked():
            return None
        try:
            told = orjson.loads((self.path / "run.json").read_bytes())
            return Running(int(told["pid"]), int(told["port"]), bool(told["ready"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def tell(self, port: int, ready: bool) -> None:
        """Writes down that this process runs the cluster."""
        self._write("run.json", {"pid": os.getpid(), "port": port, "ready": ready})

    def untell(self) -> None:
        (self.path / "run.json").unlink(missing_ok=True)

    def remembered(self) -> dict[str, Any]:
        """What cluster.json says; nothing for a new cluster. Raises ClusterError where it is damaged."""
        path = self.path / "cluster.json"
        try:
            told = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            told = None
        except OSError as error:
            raise ClusterError(f"cannot read {path}: {error.strerror}") from None
        if not isinstance(told, dict):
            raise ClusterError(f'{path} is damaged; remove the cluster with "pilothouse delete{self.option()}"')
        return told

    def remember(self, facts: dict[str, Any]) -> None:
        self._write("cluster.json", facts)

    def remove(self) -> None:
        """Deletes the cluster with all its data. Raises ClusterError where a file cannot be removed."""
        link, path = data_home() / self.name, self.path.resolve()
        try:
            if link.is_symlink() and link.resolve() == path:
                link.unlink()
            shutil.rmtree(path)
        except OSError as error:
            raise ClusterError(f"cannot remove {error.filename}: {error.strerror}") from None

    def _write(self, name: str, value: dict[str, Any]) -> None:
        """Whole or not at all, whenever the power goes."""
        path = self.path / name
        temporary = path.with_suffix(".new")
        with open(temporary, "wb") as file:
            file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
