"""How `pilothouse etcd` is set up: etcd's flags, `ETCD_*` variables and configuration file, with etcd's precedence (a
file alone, else flags before variables) and one table for all three.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

_GIB: Final = 1 << 30
QUOTA_BYTES_DEFAULT: Final = 2 * _GIB
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class BadConfig(Exception):
    """str() says which setting, and what to do."""


@dataclass(slots=True)
class Config:
    name: str = "default"
    data_dir: str = ""
    listen_client_urls: list[str] = field(default_factory=lambda: ["http://localhost:2379"])
    advertise_client_urls: list[str] = field(default_factory=list)  # empty: those where it listens
    listen_client_http_urls: list[str] = field(default_factory=list)
    listen_metrics_urls: list[str] = field(default_factory=list)
    initial_advertise_peer_urls: list[str] = field(default_factory=lambda: ["http://localhost:2380"])
    initial_cluster: str = ""
    initial_cluster_token: str = "etcd-cluster"
    cert_file: str = ""
    key_file: str = ""
    trusted_ca_file: str = ""
    client_cert_auth: bool = False
    client_crl_file: str = ""
    cipher_suites: list[str] = field(default_factory=list)
    tls_min_version: str = ""
    quota_backend_bytes: int = 0
    auto_compaction_mode: str = "periodic"
    auto_compaction_retention: str = "0"
    max_request_bytes: int = 3 << 19
    max_txn_ops: int = 128
    max_concurrent_streams: int = 10_000
    snapshot_count: int = 0  # of revisions; 0: when the log has become twice what it holds
    grpc_keepalive_min_time: str = "5s"
    grpc_keepalive_interval: str = "2h"
    grpc_keepalive_timeout: str = "20s"
    auth_token: str = "simple"
    auth_token_ttl: int = 300
    bcrypt_cost: int = 10
    log_level: str = "info"
    enable_grpc_gateway: bool = True
    metrics: str = "basic"
    watch_progress_notify_interval: str = "10m"

    @property
    def quota_bytes(self) -> int:
        """0 or less sets none, as engine and etcd have it; etcd's default where it was not given."""
        return self.quota_backend_bytes or QUOTA_BYTES_DEFAULT

    @property
    def watch_progress_notify_interval_s(self) -> float:
        return seconds(self.watch_progress_notify_interval, "watch-progress-notify-interval")

    @property
    def directory(self) -> Path:
        return Path(self.data_dir or f"{self.name}.etcd")

    def check(self) -> None:
        """Raises BadConfig for what cannot be."""
        for name in ("listen_client_urls", "advertise_client_urls", "listen_client_http_urls", "listen_metrics_urls"):
            for url in getattr(self, name):
                address(url, _flag(name))
        if not self.listen_client_urls:
            raise BadConfig("--listen-client-urls: at least one URL is needed, for example http://127.0.0.1:2379")
        if bool(self.cert_file) != bool(self.key_file):
            raise BadConfig("--cert-file and --key-file belong together; give both or neither")
        secure = [u for u in (*self.listen_client_urls, *self.listen_client_http_urls) if u.startswith("https:")]
        if secure and not self.cert_file:
            raise BadConfig(f"{secure[0]} needs --cert-file and --key-file")
        if self.client_cert_auth and not self.trusted_ca_file:
            raise BadConfig(
                "--client-cert-auth needs --trusted-ca-file, the authority that signs the clients' certificates"
            )
        if len([part for part in self.initial_cluster.split(",") if part]) > 1:
            raise BadConfig("--initial-cluster: this store is a cluster of one member; run etcd itself for more")
        if self.auto_compaction_mode not in ("periodic", "revision"):
            raise BadConfig('--auto-compaction-mode: must be "periodic" or "revision"')
        self.retention()
        for name in ("grpc_keepalive_min_time", "grpc_keepalive_interval", "grpc_keepalive_timeout",
                     "watch_progress_notify_interval"):  # fmt: skip
            seconds(getattr(self, name), _flag(name))
        if self.log_level not in ("debug", "info", "warn", "error", "panic", "fatal"):
            raise BadConfig("--log-level: must be one of debug, info, warn, error, panic, fatal")
        if self.tls_min_version not in ("", "TLS1.2", "TLS1.3"):
            raise BadConfig("--tls-min-version: must be TLS1.2 or TLS1.3")
        if not 4 <= self.bcrypt_cost <= 31:
            raise BadConfig("--bcrypt-cost: must be from 4 to 31")
        for name in ("max_request_bytes", "max_txn_ops", "max_concurrent_streams"):
            if getattr(self, name) <= 0:
                raise BadConfig(f"--{_flag(name)}: must be more than 0")

    def retention(self) -> float:
        """Of the automatic compaction: seconds, or a number of revisions; 0 where there is none. Raises BadConfig."""
        text = self.auto_compaction_retention
        if self.auto_compaction_mode == "revision":
            if not text.isdecimal():
                raise BadConfig("--auto-compaction-retention: with mode revision it must be a number of revisions")
            return float(text)
        return int(text) * 3600.0 if text.isdecimal() else seconds(text, "auto-compaction-retention")


def seconds(text: str, flag: str) -> float:
    """Of a duration as Go writes it: 1h30m, 500ms. Raises BadConfig."""
    rest, found = text, 0.0
    while rest:
        match = _DURATION.match(rest)
        if match is None:
            raise BadConfig(f'--{flag}: "{text}" is not a duration, for example 10m or 1h30m')
        found += float(match[1]) * _SECONDS[match[2]]
        rest = rest[match.end() :]
    return found


class Address(NamedTuple):
    secure: bool
    host: str
    port: int


def address(url: str, flag: str) -> Address:
    """Raises BadConfig."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise BadConfig(f'--{flag}: "{url}" is not like http://127.0.0.1:2379')
    return Address(parts.scheme == "https", parts.hostname, port)


def _flag(name: str) -> str:
    return name.replace("_", "-")


_KNOWN: Final = {_flag(name): name for name in Config.__dataclass_fields__}
_OLD_NAMES: Final = {"experimental-watch-progress-notify-interval": "watch-progress-notify-interval"}

# Of a cluster's members, of Go, or of etcd's files: taken, and of no effect here.
_IDLE = """
listen-peer-urls initial-cluster-state heartbeat-interval election-timeout initial-election-tick-advance
max-snapshots max-wals wal-dir backend-batch-interval backend-batch-limit backend-bbolt-freelist-type
strict-reconfig-check pre-vote peer-cert-file peer-key-file peer-trusted-ca-file peer-client-cert-auth
peer-auto-tls peer-cert-allowed-cn peer-cert-allowed-hostname peer-crl-file peer-skip-client-san-verification
peer-client-cert-file peer-client-key-file logger log-outputs log-format enable-log-rotation
log-rotation-config-json enable-pprof host-whitelist cors tls-max-version socket-reuse-port
socket-reuse-address raft-read-timeout raft-write-timeout compaction-batch-limit compaction-sleep-interval
warning-apply-duration warning-unary-request-duration snapshot-catchup-entries max-learners v2-deprecation
memory-mlock bootstrap-defrag-threshold-megabytes downgrade-check-time corrupt-check-time
compact-hash-check-time feature-gates force-new-cluster self-signed-cert-validity client-cert-file
client-key-file experimental-initial-corrupt-check experimental-corrupt-check-time
experimental-compact-hash-check-enabled experimental-compact-hash-check-time
experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist
experimental-compaction-batch-limit experimental-compaction-sleep-interval experimental-warning-apply-duration
experimental-warning-unary-request-duration experimental-memory-mlock
experimental-txn-mode-write-with-shared-buffer experimental-stop-grpc-service-on-defrag
experimental-bootstrap-defrag-threshold-megabytes experimental-snapshot-catchup-entries
experimental-downgrade-check-time experimental-peer-skip-client-san-verification enable-distributed-tracing
distributed-tracing-address distributed-tracing-service-name distributed-tracing-instance-id
distributed-tracing-sampling-rate
"""
WITHOUT_EFFECT: Final = frozenset(_IDLE.split())
_REFUSED: Final = {
    "auto-tls": "make a certificate and name it with --cert-file and --key-file",
    "discovery": "this store is a cluster of one member; run etcd itself for more",
    "discovery-srv": "this store is a cluster of one member; run etcd itself for more",
    "discovery-endpoints": "this store is a cluster of one member; run etcd itself for more",
    "unsafe-no-fsync": "an acknowledged write is always on disk",
    "client-cert-allowed-hostname": "who may connect is decided by --trusted-ca-file alone",
}
_SWITCHES_WITHOUT_EFFECT: Final = {
    "peer-client-cert-auth", "peer-auto-tls", "strict-reconfig-check", "pre-vote", "enable-pprof", "force-new-cluster",
    "initial-election-tick-advance", "memory-mlock", "enable-log-rotation", "socket-reuse-port", "socket-reuse-address",
    "experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled", "enable-distributed-tracing",
    "experimental-enable-lease-checkpoint", "experimental-enable-lease-checkpoint-persist", "experimental-memory-mlock",
    "experimental-txn-mode-write-with-shared-buffer", "experimental-stop-grpc-service-on-defrag",
    "peer-skip-client-san-verification", "experimental-peer-skip-client-san-verification", "auto-tls", "unsafe-no-fsync",
}  # fmt: skip


def read(arguments: Iterable[str], environment: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The configuration, and the settings given that have no effect. Raises BadConfig."""
    flags = _arguments(list(arguments))
    file = flags.pop("config-file", "") or environment.get("ETCD_CONFIG_FILE", "")
    if file:
        given = _file(file)
    else:
        given = {
            variable[5:].lower().replace("_", "-"): value
            for variable, value in environment.items()
            if variable.startswith("ETCD_") and variable != "ETCD_CONFIG_FILE"
        } | flags
    config, idle = Config(), []
    for flag, value in given.items():
        flag = _OLD_NAMES.get(flag, flag)
        if flag in _KNOWN:
            setattr(config, _KNOWN[flag], _value(flag, value))
        elif flag in _REFUSED:
            if str(value).lower() not in ("", "false"):
                raise BadConfig(f"--{flag} is not possible here: {_REFUSED[flag]}")
        elif flag in WITHOUT_EFFECT:
            idle.append(flag)
        elif file:
            raise BadConfig(f"unknown flag --{flag}; see pilothouse etcd --help")
    config.check()
    return config, idle


def _arguments(arguments: list[str]) -> dict[str, Any]:
    """As Go's flag package reads them: one dash or two, `=` or the next argument, switches only with `=`."""
    found: dict[str, Any] = {}
    while arguments:
        argument = arguments.pop(0)
        if not argument.startswith("-") or argument in ("-", "--"):
            raise BadConfig(f'"{argument}" is not a flag; see pilothouse etcd --help')
        flag, given, value = argument.lstrip("-").partition("=")
        kind = Config.__dataclass_fields__[_KNOWN[flag]].type if flag in _KNOWN else ""
        if not _is_known(flag):
            raise BadConfig(f"unknown flag --{flag}; see pilothouse etcd --help")
        if not given:
            if kind == "bool" or flag in _SWITCHES_WITHOUT_EFFECT:
                value = "true"
            elif arguments:
                value = arguments.pop(0)
            else:
                raise BadConfig(f"flag needs an argument: --{flag}")
        found[flag] = value
    return found


def _is_known(flag: str) -> bool:
    return flag in _KNOWN or flag in _OLD_NAMES or flag in WITHOUT_EFFECT or flag in _REFUSED or flag == "config-file"


def _file(path: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise BadConfig(f"--config-file: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"--config-file: {path} is not YAML: {error}") from None
    if not isinstance(found, dict):
        raise BadConfig(f"--config-file: {path} does not hold settings")
    security = found.pop("client-transport-security", None) or {}
    found.pop("peer-transport-security", None)
    return {str(name): value for name, value in {**found, **security}.items() if value is not None}


def _value(flag: str, value: Any) -> Any:
    """As the setting's type."""
    kind = Config.__dataclass_fields__[_KNOWN[flag]].type
    convert: Callable[[Any], Any] = {"bool": _bool, "int": _int, "list[str]": _list}.get(str(kind), str)
    try:
        return convert(value)
    except ValueError:
        what = {"bool": "true or false", "int": "a whole number"}[str(kind)]
        raise BadConfig(f'--{flag}: "{value}" is not {what}') from None


def _bool(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "1", "0", "t", "f"):
        raise ValueError
    return text in ("true", "1", "t")


def _int(value: Any) -> int:
    return int(str(value), 10)


def _list(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]
