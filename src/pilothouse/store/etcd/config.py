"""How `pilothouse etcd` is set up: etcd's flags, `ETCD_*` variables and configuration file, with etcd's precedence (a
file alone, else flags before variables) and one table for all three.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pilothouse.store.etcd import configfile
from pilothouse.store.etcd.values import READERS, BadConfig, BadFlag, BadValue, address, bindable, duration_s

_GIB: Final = 1 << 30
QUOTA_BYTES_DEFAULT: Final = 2 * _GIB
LOG_LEVELS: Final = {
    "": "INFO", "debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR",
    "dpanic": "CRITICAL", "panic": "CRITICAL", "fatal": "CRITICAL",
}  # fmt: skip
TLS_VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
_BCRYPT_COST: Final = 10
_COUNT: Final = re.compile(r"\+?[0-9]+")
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
    tls_max_version: str = ""
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
    bcrypt_cost: int = _BCRYPT_COST
    log_level: str = "info"
    enable_grpc_gateway: bool = True
    metrics: str = "basic"
    cors: list[str] = field(default_factory=lambda: ["*"])
    host_whitelist: list[str] = field(default_factory=lambda: ["*"])
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
        for url in self.listened():
            if not bindable(url):
                raise BadConfig(f"expected IP in URL for binding ({url})")
        for flag in ("initial_advertise_peer_urls", "advertise_client_urls"):
            _check_hosts("--" + flag.replace("_", "-"), getattr(self, flag))
        secure = self.secure()
        if secure and not (self.cert_file or self.key_file):
            if secure[0] in self.listen_metrics_urls:
                raise BadConfig("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")
            raise BadConfig(
                f"TLS key/cert (--cert-file, --key-file) must be provided for client url {secure[0]} with HTTPS scheme"
            )
        if secure and not (self.cert_file and self.key_file):
            raise BadConfig(f"KeyFile and CertFile must both be present[key: {self.key_file}, cert: {self.cert_file}]")
        if len([part for part in self.initial_cluster.split(",") if part]) > 1:
            raise BadConfig("--initial-cluster: this store is a cluster of one member; run etcd itself for more")
        if not self.auto_compaction_mode:
            raise BadConfig("undefined auto-compaction-mode")
        if self.auto_compaction_mode not in ("periodic", "revision"):
            raise BadConfig(f'unknown auto-compaction-mode "{self.auto_compaction_mode}"')
        self.retention()
        if self.log_level.lower() not in LOG_LEVELS:
            raise BadConfig(f'unrecognized level: "{self.log_level}"')
        for version in (self.tls_min_version, self.tls_max_version):
            if version and version not in TLS_VERSIONS:
                raise BadConfig(f'unexpected TLS version "{version}" (must be one of: TLS1.2, TLS1.3)')
        if (self.tls_min_version, self.tls_max_version) == ("TLS1.3", "TLS1.2"):
            raise BadConfig("min version (TLS1.3) is greater than max version (TLS1.2)")
        if self.tls_min_version == "TLS1.3" and self.cipher_suites:
            raise BadConfig("cipher suites cannot be configured when only TLS1.3 is enabled")
        if not self.max_request_bytes:
            raise BadConfig("--max-request-bytes: must be more than 0")

    def listened(self) -> list[str]:
        return [*self.listen_client_urls, *self.listen_client_http_urls, *self.listen_metrics_urls]

    def secure(self) -> list[str]:
        """The URLs that are served over TLS. Where there is none, certificates are not looked at."""
        return [url for url in self.listened() if address(url).secure]

    def insecure(self) -> bool:
        """Whether anything is served without TLS."""
        return len(self.secure()) < len(self.listened())

    @property
    def bcrypt_rounds(self) -> int:
        """etcd's default where bcrypt has no such cost."""
        return self.bcrypt_cost if 4 <= self.bcrypt_cost <= 31 else _BCRYPT_COST

    @property
    def streams(self) -> int:
        return self.max_concurrent_streams or (1 << 32) - 1

    def retention(self) -> float:
        """Of the automatic compaction: seconds, or a number of revisions; 0 where there is none. Raises BadConfig."""
        text = self.auto_compaction_retention or "0"
        by_revision = self.auto_compaction_mode == "revision"
        try:
            if _COUNT.fullmatch(text):
                found = duration_s(f"{int(text)}h")  # not more than a duration can be, whatever it counts
                return float(text) if by_revision else found
            found = duration_s(text)
        except BadValue:
            raise BadConfig(f'error parsing CompactionRetention: time: invalid duration "{text}"') from None
        if found < 0:
            raise BadConfig("--auto-compaction-retention: must not be negative")
        return found * 1e9 // 1 if by_revision else found


def _check_hosts(flag: str, urls: list[str]) -> None:
    """Of unix sockets, too, etcd advertises only those that look like a host and a port."""
    for url in urls:
        path = address(url).path
        host = path.partition("/")[0]
        if path and ":" not in host:
            why = f"address {host}: missing port in address" if host else "missing port in address"
            raise BadConfig(f'{flag} "{",".join(sorted(urls))}" must be "host:port" ({why})')


def _flag(name: str) -> str:
    return name.replace("_", "-")


_KNOWN: Final = {_flag(name): name for name in Config.__dataclass_fields__}
_OLD_NAMES: Final = {"experimental-watch-progress-notify-interval": "watch-progress-notify-interval"}

_KIND_OF: Final = {  # where the field does not say
    **dict.fromkeys(("listen-client-urls", "advertise-client-urls", "listen-client-http-urls", "listen-metrics-urls",
                     "initial-advertise-peer-urls"), "urls"),
    "cors": "origins",
    **dict.fromkeys(("grpc-keepalive-min-time", "grpc-keepalive-interval", "grpc-keepalive-timeout",
                     "watch-progress-notify-interval"), "duration"),
    "quota-backend-bytes": "number", "max-concurrent-streams": "count32",
}  # fmt: skip

# Of a cluster's members, of Go, or of etcd's files: taken, and of no effect here.
_IDLE: Final = {
    "text": """
        initial-cluster-state wal-dir backend-bbolt-freelist-type peer-cert-file peer-key-file peer-trusted-ca-file
        peer-cert-allowed-cn peer-cert-allowed-hostname peer-crl-file peer-client-cert-file peer-client-key-file logger
        log-outputs log-format log-rotation-config-json v2-deprecation feature-gates discovery-fallback
        client-cert-file client-key-file distributed-tracing-address distributed-tracing-service-name
        distributed-tracing-instance-id""",
    "urls": "listen-peer-urls",
    "count": """
        heartbeat-interval election-timeout max-snapshots max-wals snapshot-catchup-entries self-signed-cert-validity
        bootstrap-defrag-threshold-megabytes experimental-snapshot-catchup-entries
        experimental-bootstrap-defrag-threshold-megabytes""",
    "number": """
        backend-batch-limit compaction-batch-limit max-learners experimental-compaction-batch-limit
        distributed-tracing-sampling-rate""",
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
        _configured(flags, "for flag -{flag}", "", [], check=False)  # what is no value is refused all the same
        return _configured(configfile.settings(file, _kind, _is_known), "in {file} for {flag}", file, idle), idle
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
        if not _is_known(flag) or not variables[flag]:  # an empty one is as if there were none
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
            kind_of_failure = BadFlag if "-" in where else BadConfig
            raise kind_of_failure(f'invalid {what} "{value}" {place}: {error}') from None
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
            raise BadFlag(f"flag provided but not defined: -{flag}; see pilothouse etcd --help")
        if not given:
            if _kind(_OLD_NAMES.get(flag, flag)) == "switch":
                value = "true"
            elif arguments:
                value = arguments.pop(0)
            else:
                raise BadFlag(f"flag needs an argument: -{flag}")
        found[flag] = value
    return found


def _is_known(flag: str) -> bool:
    return flag in _KNOWN or flag in _OLD_NAMES or flag in _WITHOUT_EFFECT or flag in _REFUSED or flag == "config-file"
