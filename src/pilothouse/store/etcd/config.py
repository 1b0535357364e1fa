"""How `pilothouse etcd` is set up: etcd's flags, `ETCD_*` variables and configuration file, with etcd's precedence (a
file alone, else flags before variables) and one table for all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilothouse.store.etcd.values import READERS, BadConfig, BadValue, duration_s

_GIB: Final = 1 << 30
QUOTA_BYTES_DEFAULT: Final = 2 * _GIB
_KINDS: Final = {"str": "text", "bool": "switch", "int": "count", "list[str]": "list"}


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
    cors: list[str] = field(default_factory=lambda: ["*"])
    watch_progress_notify_interval: str = "10m"

    @property
    def quota_bytes(self) -> int:
        """0 or less sets none, as engine and etcd have it; etcd's default where it was not given."""
        return self.quota_backend_bytes or QUOTA_BYTES_DEFAULT

    @property
    def watch_progress_notify_interval_s(self) -> float:
        return duration_s(self.watch_progress_notify_interval)

    @property
    def directory(self) -> Path:
        return Path(self.data_dir or f"{self.name}.etcd")

    def check(self) -> None:
        """Raises BadConfig for what cannot be."""
        if not self.listen_client_urls:
            raise BadConfig("--listen-client-urls: at least one URL is needed, for example http://127.0.0.1:2379")
        if bool(self.cert_file) != bool(self.key_file):
            raise BadConfig("--cert-file and --key-file belong together; give both or neither")
        secure = [u for u in (*self.listen_client_urls, *self.listen_client_http_urls) if u.startswith("https:")]
        if secure and not self.cert_file:
            raise BadConfig(
                f"TLS key/cert (--cert-file, --key-file) must be provided for client url {secure[0]} with HTTPS scheme"
            )
        if self.client_cert_auth and not self.trusted_ca_file:
            raise BadConfig(
                "--client-cert-auth needs --trusted-ca-file, the authority that signs the clients' certificates"
            )
        if len([part for part in self.initial_cluster.split(",") if part]) > 1:
            raise BadConfig("--initial-cluster: this store is a cluster of one member; run etcd itself for more")
        if self.auto_compaction_mode not in ("periodic", "revision"):
            mode = self.auto_compaction_mode
            raise BadConfig(f'unknown auto-compaction-mode "{mode}": must be "periodic" or "revision"')
        self.retention()
        if self.log_level not in ("debug", "info", "warn", "error", "panic", "fatal"):
            raise BadConfig("--log-level: must be one of debug, info, warn, error, panic, fatal")
        if self.tls_min_version not in ("", "TLS1.2", "TLS1.3"):
            raise BadConfig(f'unexpected TLS version "{self.tls_min_version}" (must be one of: TLS1.2, TLS1.3)')
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
        try:
            return int(text) * 3600.0 if text.isdecimal() else duration_s(text)
        except BadValue:
            raise BadConfig(f'error parsing CompactionRetention: time: invalid duration "{text}"') from None


def _flag(name: str) -> str:
    return name.replace("_", "-")


_KNOWN: Final = {_flag(name): name for name in Config.__dataclass_fields__}
_OLD_NAMES: Final = {"experimental-watch-progress-notify-interval": "watch-progress-notify-interval"}

_KIND_OF: Final = {  # where the field does not say
    **dict.fromkeys(("listen-client-urls", "advertise-client-urls", "listen-client-http-urls", "listen-metrics-urls",
                     "initial-advertise-peer-urls"), "urls"),
    **dict.fromkeys(("grpc-keepalive-min-time", "grpc-keepalive-interval", "grpc-keepalive-timeout",
                     "watch-progress-notify-interval"), "duration"),
    "quota-backend-bytes": "number", "max-concurrent-streams": "count32",
}  # fmt: skip

# Of a cluster's members, of Go, or of etcd's files: taken, and of no effect here.
_IDLE: Final = {
    "text": """
        initial-cluster-state wal-dir backend-bbolt-freelist-type peer-cert-file peer-key-file peer-trusted-ca-file
        peer-cert-allowed-cn peer-cert-allowed-hostname peer-crl-file peer-client-cert-file peer-client-key-file logger
        log-outputs log-format log-rotation-config-json host-whitelist tls-max-version v2-deprecation feature-gates
        client-cert-file client-key-file distributed-tracing-address distributed-tracing-service-name
        distributed-tracing-instance-id""",
    "urls": "listen-peer-urls",
    "count": """
        heartbeat-interval election-timeout max-snapshots max-wals snapshot-catchup-entries self-signed-cert-validity
        bootstrap-defrag-threshold-megabytes experimental-snapshot-catchup-entries distributed-tracing-sampling-rate
        experimental-bootstrap-defrag-threshold-megabytes""",
    "number": """
        backend-batch-limit compaction-batch-limit max-learners experimental-compaction-batch-limit""",
    "duration": """
        backend-batch-interval raft-read-timeout raft-write-timeout compaction-sleep-interval warning-apply-duration
        warning-unary-request-duration downgrade-check-time corrupt-check-time compact-hash-check-time
        experimental-corrupt-check-time experimental-compact-hash-check-time experimental-compaction-sleep-interval
        experimental-warning-apply-duration experimental-warning-unary-request-duration experimental-downgrade-check-time""",
    "switch": """
        peer-client-cert-auth peer-auto-tls strict-reconfig-check pre-vote enable-pprof force-new-cluster
        initial-election-tick-advance memory-mlock enable-log-rotation socket-reuse-port socket-reuse-address
        experimental-initial-corrupt-check experimental-compact-hash-check-enabled enable-distributed-tracing
        experimental-enable-lease-checkpoint experimental-enable-lease-checkpoint-persist experimental-memory-mlock
        experimental-txn-mode-write-with-shared-buffer experimental-stop-grpc-service-on-defrag
        peer-skip-client-san-verification experimental-peer-skip-client-san-verification""",
}
_WITHOUT_EFFECT: Final = {flag: kind for kind, flags in _IDLE.items() for flag in flags.split()}
_REFUSED: Final = {
    "auto-tls": "make a certificate and name it with --cert-file and --key-file",
    "discovery": "this store is a cluster of one member; run etcd itself for more",
    "discovery-srv": "this store is a cluster of one member; run etcd itself for more",
    "discovery-endpoints": "this store is a cluster of one member; run etcd itself for more",
    "unsafe-no-fsync": "an acknowledged write is always on disk",
    "client-cert-allowed-hostname": "who may connect is decided by --trusted-ca-file alone",
}
_REFUSED_SWITCHES: Final = {"auto-tls", "unsafe-no-fsync"}


def read(arguments: Iterable[str], environment: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The configuration, and the settings given that have no effect: flags, and variables that are none. Raises BadConfig."""
    flags = _arguments(list(arguments))
    file = flags.pop("config-file", "") or environment.get("ETCD_CONFIG_FILE", "")
    idle: list[str] = []
    if file:
        return _configured(_file(file), "in {file} for {flag}", file, idle), idle
    variables = {
        variable[5:].lower().replace("_", "-"): value
        for variable, value in environment.items()
        if variable.startswith("ETCD_") and variable != "ETCD_CONFIG_FILE"
    }
    for flag in list(variables):
        if flag in flags:
            raise BadConfig(
                "conflicting environment variable is shadowed by corresponding command-line flag "
                f"(either unset environment variable or disable flag): {_variable(flag)}"
            )
        if not _is_known(flag):
            idle.append(_variable(flag))
            del variables[flag]
    config = _configured(variables, "for {variable}", "", idle, check=False)
    return _configured(flags, "for flag -{flag}", "", idle, config), idle


def _configured(
    given: Mapping[str, Any],
    where: str,
    file: str,
    idle: list[str],
    config: Config | None = None,
    *,
    check: bool = True,
) -> Config:
    """`config` with what was given. `where`: how a message names a setting."""
    config = config or Config()
    for flag, value in given.items():
        flag = _OLD_NAMES.get(flag, flag)
        if flag in _REFUSED and str(value).lower() not in ("", "false"):
            raise BadConfig(f"--{flag} is not possible here: {_REFUSED[flag]}")
        if flag not in _KNOWN and flag not in _WITHOUT_EFFECT:
            idle.append(flag)
            continue
        kind = _kind(flag)
        try:
            found = READERS[kind](value)
        except BadValue as error:
            place = where.format(flag=flag, variable=_variable(flag), file=file)
            what = "boolean value" if kind == "switch" and "-" in where else "value"
            raise BadConfig(f'invalid {what} "{value}" {place}: {error}') from None
        if flag in _KNOWN:
            setattr(config, _KNOWN[flag], found)
        else:
            idle.append(flag)
    if check:
        config.check()
    return config


def _kind(flag: str) -> str:
    if flag in _WITHOUT_EFFECT:
        return _WITHOUT_EFFECT[flag]
    if flag in _KNOWN:
        return _KIND_OF.get(flag) or _KINDS[str(Config.__dataclass_fields__[_KNOWN[flag]].type)]
    return "switch" if flag in _REFUSED_SWITCHES else "text"


def _variable(flag: str) -> str:
    return "ETCD_" + flag.upper().replace("-", "_")


def _arguments(arguments: list[str]) -> dict[str, Any]:
    """As Go's flag package reads them: one dash or two, `=` or the next argument, switches only with `=`."""
    found: dict[str, Any] = {}
    while arguments:
        argument = arguments.pop(0)
        if not argument.startswith("-") or argument in ("-", "--"):
            raise BadConfig(f'"{argument}" is not a valid flag; see pilothouse etcd --help')
        flag, given, value = argument.lstrip("-").partition("=")
        if not _is_known(flag):
            raise BadConfig(f"flag provided but not defined: -{flag}; see pilothouse etcd --help")
        if not given:
            if _kind(_OLD_NAMES.get(flag, flag)) == "switch":
                value = "true"
            elif arguments:
                value = arguments.pop(0)
            else:
                raise BadConfig(f"flag needs an argument: -{flag}")
        found[flag] = value
    return found


def _is_known(flag: str) -> bool:
    return flag in _KNOWN or flag in _OLD_NAMES or flag in _WITHOUT_EFFECT or flag in _REFUSED or flag == "config-file"


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
