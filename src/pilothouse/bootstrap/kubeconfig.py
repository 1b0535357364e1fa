"""Kubeconfig files: a cluster's own, and its context within the user's.

Source: upstream's documentation "Organizing Cluster Access Using kubeconfig Files".
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from pilothouse.bootstrap.failures import ClusterError

Config = dict[str, Any]


def context_name(cluster: str) -> str:
    return f"pilothouse-{cluster}"


def of_cluster(cluster: str, url: str, ca: bytes, certificate: bytes, key: bytes) -> Config:
    name = context_name(cluster)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority-data": _data(ca)}}],
        "users": [
            {"name": name, "user": {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}}
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def _data(content: bytes) -> str:
    return base64.b64encode(content).decode()


def write(path: Path, config: Config) -> None:
    """Whole or not at all, readable by its owner alone. Raises ClusterError."""
    import yaml

    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.dump(config, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
        temporary.replace(path)
    except OSError as error:
        raise ClusterError(f"cannot write {path}: {error.strerror}") from None


def read(path: Path) -> Config:
    """An absent file is an empty configuration. Raises ClusterError for one that is no kubeconfig."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {"apiVersion": "v1", "kind": "Config"}
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except yaml.YAMLError:
        config = None
    if not isinstance(config, dict) or config.get("kind", "Config") != "Config":
        raise ClusterError(f"{path} is no kubeconfig; nothing in it was changed")
    return {"apiVersion": "v1", "kind": "Config", **config}


def user_path() -> Path:
    """The file that kubectl would change: the first of $KUBECONFIG, else ~/.kube/config."""
    first = next((p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p), "")
    return Path(first) if first else Path.home() / ".kube" / "config"


def merge(path: Path, config: Config) -> None:
    """Puts `config`'s entries into the file, in place of those of the same name, and makes its context the current one."""
    found = read(path)
    _drop(found, {config["current-context"]})
    for part in ("clusters", "users", "contexts"):
        found[part] = [*(found.get(part) or ()), *config[part]]
    found["current-context"] = config["current-context"]
    write(path, found)


def forget(path: Path, cluster: str) -> bool:
    """Takes a cluster's entries out of the file; whether there were any."""
    found = read(path)
    if not _drop(found, {context_name(cluster)}):
        return False
    if found.get("current-context") == context_name(cluster):
        found["current-context"] = ""
    write(path, found)
    return True


def _drop(config: Config, names: set[str]) -> bool:
    dropped = False
    for part in ("clusters", "users", "contexts"):
        entries = config.get(part) or []
        kept = [e for e in entries if not (isinstance(e, dict) and e.get("name") in names)]
        dropped = dropped or len(kept) != len(entries)
        config[part] = kept
    return dropped
