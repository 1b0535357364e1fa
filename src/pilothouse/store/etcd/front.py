"""`Front`: a store served as etcd, on the addresses of a `Config`.

front = Front(store, config, clock)
await front.start()        # raises BadConfig, BadTokenOptions
await front.close()        # the store stays open
"""

from __future__ import annotations

import asyncio
import os
import re
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from pilothouse.clock import Clock
from pilothouse.store.etcd.auth.book import META, Book
from pilothouse.store.etcd.auth.guard import Guard
from pilothouse.store.etcd.auth.service import Auth
from pilothouse.store.etcd.auth.tokens import tokens_of
from pilothouse.store.etcd.cluster import Cluster
from pilothouse.store.etcd.compaction import compact_by_age, compact_by_revision
from pilothouse.store.etcd.concurrency import Election, Lock
from pilothouse.store.etcd.config import Config
from pilothouse.store.etcd.context import Context
from pilothouse.store.etcd.encoding import Header
from pilothouse.store.etcd.errors import failure
from pilothouse.store.etcd.gateway import Gateway
from pilothouse.store.etcd.health import Health
from pilothouse.store.etcd.http import Http, grpc_only
from pilothouse.store.etcd.kv import KV
from pilothouse.store.etcd.lease import Lease
from pilothouse.store.etcd.maintenance import Maintenance
from pilothouse.store.etcd.tls import tls_context
from pilothouse.store.etcd.values import BadConfig, address, duration_s
from pilothouse.store.etcd.watch import Watch
from pilothouse.store.interface import Maintained
from pilothouse.store.rpc import messages, services
from pilothouse.store.wire.connection import Limits
from pilothouse.store.wire.rpc import Method
from pilothouse.store.wire.server import Server

_MESSAGE_OVERHEAD_BYTES: Final = 512 << 10  # what a message may have beyond --max-request-bytes, as etcd has it
_INLINE: Final = {
    "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/Txn",
    "/etcdserverpb.Lease/LeaseGrant",
}  # fmt: skip
_CAPITAL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Front:
    def __init__(self, store: Maintained, config: Config, clock: Clock) -> None:
        member, cluster = identity(config)
        header = Header(cluster, member, store.term)
        tokens = tokens_of(config.auth_token, clock, config.auth_token_ttl)
        guard = Guard(store, Book.load(store.meta.get(META)), tokens, certificate_names=config.client_cert_auth)
        self._context = Context(store, clock, config, header, guard)
        self._config = config
        methods = list(self._methods(Auth(store, header, guard, config.bcrypt_rounds)))
        bytes_max = config.max_request_bytes + _MESSAGE_OVERHEAD_BYTES
        gateway = None
        if config.enable_grpc_gateway:
            gateway = Gateway(_by_gateway_path(methods), failure, clock, bytes_max)
        self._http = Http(self._context, gateway)
        limits = Limits(
            streams=config.streams,
            ping_interval_s=duration_s(config.grpc_keepalive_min_time),
            keepalive_s=duration_s(config.grpc_keepalive_interval),
            keepalive_timeout_s=duration_s(config.grpc_keepalive_timeout),
        )
        shared: dict[str, Any] = {"failure": failure, "message_bytes_max": bytes_max, "limits": limits}
        handler = grpc_only if config.listen_client_http_urls else self._http.serve
        self.server = self._http.server = Server(methods, handler, clock, **shared)
        self._plain = Server((), self._http.serve, clock, **shared)
        self._observed = Server((), self._http.observe, clock, **shared)
        self._compaction: asyncio.Task[None] | None = None

    def _methods(self, auth: Auth) -> Any:
        """The methods of all services; the handler of SomeMethod is `some_method`."""
        context = self._context
        rooms: dict[str, object] = {
            "etcdserverpb.KV": KV(context),
            "etcdserverpb.Watch": Watch(context),
            "etcdserverpb.Lease": Lease(context),
            "etcdserverpb.Cluster": Cluster(context),
            "etcdserverpb.Maintenance": Maintenance(context),
            "etcdserverpb.Auth": auth,
            "v3lockpb.Lock": Lock(context),
            "v3electionpb.Election": Election(context),
            "grpc.health.v1.Health": Health(context),
        }
        for name, room in rooms.items():
            for found in services.services()[name].values():
                yield Method(
                    found.path,
                    getattr(room, _CAPITAL.sub("_", found.name).replace("KV", "_kv").lower().replace("__", "_")),
                    messages.of(found.request),
                    messages.of(found.response),
                    found.client_streams,
                    found.server_streams,
                    found.path in _INLINE,
                )

    async def start(self) -> list[int]:
        """Serves on all addresses. Returns the clients' ports, 0 for a unix socket. Raises BadConfig."""
        config = self._config
        tls_context(config)  # what is wrong with it is told even where nothing needs it
        ports = [await self._listen(self.server, url, "listen-client-urls") for url in config.listen_client_urls]
        for url in config.listen_client_http_urls:
            await self._listen(self._plain, url, "listen-client-http-urls")
        for url in config.listen_metrics_urls:
            await self._listen(self._observed, url, "listen-metrics-urls")
        retention = config.retention()
        if retention:
            store, clock = self._context.store, self._context.clock
            if config.auto_compaction_mode == "revision":
                work = compact_by_revision(store, clock, int(retention))
            else:
                work = compact_by_age(store, clock, retention)
            self._compaction = asyncio.create_task(work, name="etcd automatic compaction")
        return ports

    async def _listen(self, server: Server, url: str, flag: str) -> int:
        where, grpc = address(url), server is self.server
        tls = tls_context(self._config) if where.secure else None  # one each: protocols are agreed on by it, too
        try:
            if where.path:
                await server.listen_unix(Path(where.path), tls, grpc=grpc)
                return 0
            return await server.listen(where.host, where.port, tls, grpc=grpc)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise BadConfig(f"--{flag}: cannot listen on {url}: {reason}") from None

    async def close(self) -> None:
        if self._compaction is not None:
            self._compaction.cancel()
            await asyncio.gather(self._compaction, return_exceptions=True)
        await asyncio.gather(self.server.close(), self._plain.close(), self._observed.close())


def identity(config: Config) -> tuple[int, int]:
    """The ids of the member and its cluster, computed from the peer URLs and the token as etcd does."""
    seed = "".join(sorted(config.initial_advertise_peer_urls)) + config.initial_cluster_token
    member = sha1(seed.encode()).digest()[:8]
    return int.from_bytes(member, "big"), int.from_bytes(sha1(member).digest()[:8], "big")


def _by_gateway_path(methods: list[Method]) -> dict[str, Method]:
    by_path = {method.path: method for method in methods}
    return {
        path: by_path[found.path]
        for service in services.services().values()
        for found in service.values()
        for path in found.gateway
    }
