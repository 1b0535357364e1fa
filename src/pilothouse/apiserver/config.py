"""`Config`: what an API server is told at its start, as values: keys and certificates as bytes, never as paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pilothouse.api.exchange import UserInfo


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One line of upstream's --token-auth-file."""

    token: str
    user: UserInfo


@dataclass(slots=True)
class Config:
    """Upstream's kube-apiserver flags of the same names, with upstream's defaults."""

    service_cluster_ip_ranges: tuple[str, ...] = ("10.96.0.0/16",)  # the first is the default family
    node_port_range: tuple[int, int] = (30000, 32767)  # both ends belong to it
    advertise_address: str = "127.0.0.1"
    advertise_port: int = 6443
    kubernetes_service_port: int = 443

    client_ca: bytes = b""  # PEM: who signs client certificates
    requestheader_client_ca: bytes = b""  # PEM: who signs the front proxy's
    requestheader_allowed_names: tuple[str, ...] = ()
    requestheader_username_headers: tuple[str, ...] = ("x-remote-user",)
    requestheader_group_headers: tuple[str, ...] = ("x-remote-group",)
    requestheader_extra_headers_prefixes: tuple[str, ...] = ("x-remote-extra-",)
    service_account_issuer: str = "https://kubernetes.default.svc"
    service_account_keys: tuple[bytes, ...] = ()  # PEM: public (or private) keys that verify tokens
    service_account_signing_key: bytes = b""  # PEM: the private key that signs them
    api_audiences: tuple[str, ...] = ()  # none: the issuer
    tokens: tuple[TokenEntry, ...] = ()
    anonymous: bool = True

    authorization_modes: tuple[str, ...] = ("Node", "RBAC")  # also AlwaysAllow, AlwaysDeny
    enable_admission_plugins: tuple[str, ...] = ()
    disable_admission_plugins: tuple[str, ...] = ()
    allow_privileged: bool = True

    runtime_config: Mapping[str, bool] = field(
        default_factory=dict
    )  # "api/all", "group/version", "group/version/resource"
    feature_gates: Mapping[str, bool] = field(default_factory=dict)

    event_ttl_s: int = 3600
    etcd_compaction_interval_s: float = 300.0  # 0: never
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    min_request_timeout_s: int = 1800  # a watch without timeoutSeconds lasts this long up to twice as long
    request_timeout_s: float = 34.0
    max_request_body_bytes: int = 3 * 1024 * 1024
    watcher_queue_events: int = 1000  # a watcher with more waiting for it is cut off
