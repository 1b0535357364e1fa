"""`Endpoints`: the members of an etcd cluster that this client knows, a channel to each, and which of them can be reached.

Requests go round the members that are connected. gRPC connects the others again by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pilothouse.clock import Clock
from pilothouse.store.interface import StoreError, Unavailable
from pilothouse.store.rpc.messages import of
from pilothouse.store.rpc.services import Method, method

log = logging.getLogger(__name__)

API_VERSION: Final = "3.7"
DOUBT_S: Final = 30.0  # about as long as gRPC takes to find a connection dead
PATIENCE_S: Final = 1.0
PROBE_S: Final = 1.0
_STATUS: Final = method("etcdserverpb.Maintenance", "Status")
_CHANNEL: Final = (
    ("grpc.keepalive_time_ms", 30_000),  # upstream's API server notices a dead member as soon
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),  # judged by the caller, in etcd's words
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # ours know what may be repeated
)


@dataclass(frozen=True, slots=True)
class Options:
    """kube-apiserver's flags --etcd-servers, --etcd-cafile, --etcd-certfile, --etcd-keyfile and --etcd-prefix."""

    servers: tuple[str, ...]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    prefix: str = "/registry"


class Movable(Protocol):
    """What reads a stream of a member, and can go on at another."""

    def leave(self) -> None: ...


class Endpoint:
    """One member. `target`: for gRPC; `secure`: over TLS."""

    def __init__(self, url: str, options: Options) -> None:
        self.url = url
        self.target, secure = parse(url, bool(options.ca_file or options.cert_file))
        self.ready = False
        self.doubted_until_s = 0.0  # it gave no answer: others are asked first for a while
        self.waiting: dict[Any, float] = {}  # calls that may be asked elsewhere, and since when, the oldest first
        self.watches: set[Movable] = set()
        self._options = _CHANNEL
        self._credentials = credentials(options) if secure else None
        self._channel: Any = None
        self._calls: dict[str, Any] = {}

    def open(self) -> Any:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is told by the errors
        from grpc import aio

        if self._credentials is None:
            self._channel = aio.insecure_channel(self.target, options=self._options)
        else:
            self._channel = aio.secure_channel(self.target, self._credentials, options=self._options)
        return self._channel

    def call(self, method: Method) -> Any:
        """The multi-callable of a method: unary, or a stream both ways or from the server."""
        found = self._calls.get(method.path)
        if found is None:
            kind = f"{'stream' if method.client_streams else 'unary'}_{'stream' if method.server_streams else 'unary'}"
            found = self._calls[method.path] = getattr(self._channel, kind)(
                method.path,
                request_serializer=None,  # the callers send bytes
                response_deserializer=of(method.response).FromString,
            )
        return found

    async def is_alive(self) -> bool:
        """Whether its process says anything at all: it tells its own status without the other members and its disk."""
        import grpc

        try:
            await self.call(_STATUS)(b"", timeout=PROBE_S, metadata=metadata())
        except grpc.aio.AioRpcError as error:
            return error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        return True

    def abandon(self) -> None:
        """What waits for it goes on elsewhere."""
        for call in list(self.waiting):
            call.cancel()
        for watch in list(self.watches):
            watch.leave()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def parse(url: str, tls: bool) -> tuple[str, bool]:
    """An endpoint as etcd's client takes it: (gRPC target, whether over TLS). `tls`: what host:port without a scheme means.
    Raises StoreError."""
    text = url.strip()
    if "://" not in text:
        return _target(url, f"//{text}"), tls
    parts = urlsplit(text)
    if parts.scheme in ("unix", "unixs"):
        return f"unix:{parts.netloc}{parts.path}", parts.scheme == "unixs"
    if parts.scheme not in ("http", "https"):
        raise StoreError(f'"{url}" is no address of an etcd server: its scheme must be http or https')
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise StoreError(f'"{url}" is no address of an etcd server: nothing may follow its port')
    return _target(url, text), parts.scheme == "https"


def _target(url: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None:
        raise StoreError(f'"{url}" is no address of an etcd server: it must be like https://10.0.0.1:2379')
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def credentials(options: Options) -> Any:
    """gRPC's of the files. Raises StoreError."""
    import grpc

    if bool(options.cert_file) != bool(options.key_file):
        raise StoreError("--etcd-certfile and --etcd-keyfile must be given together")
    roots = _read(options.ca_file) or _read(ssl.get_default_verify_paths().cafile or "")
    key, certificate = _read(options.key_file), _read(options.cert_file)
    for name, content in (
        (options.ca_file, roots if options.ca_file else None), (options.cert_file, certificate), (options.key_file, key),
    ):  # fmt: skip
        if content is not None and b"-----BEGIN " not in content:
            raise StoreError(f"{name} holds nothing in PEM")
    _check_tls(options)
    return grpc.ssl_channel_credentials(roots, key, certificate)


def _check_tls(options: Options) -> None:
    """gRPC would only say, and try again for ever, that it cannot shake hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if options.ca_file:
            context.load_verify_locations(options.ca_file)
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None)
        if reason == "KEY_VALUES_MISMATCH":
            reason = "tls: private key does not match public key"
        files = ", ".join(name for name in (options.ca_file, options.cert_file, options.key_file) if name)
        raise StoreError(f"no TLS with {files}: {reason or error}") from None


def _read(name: str) -> bytes | None:
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise StoreError(f"open {name}: {(error.strerror or str(error)).lower()}") from None


class Endpoints:
    """Belongs to the running loop. `await open()` before use, `await close()` after.

    A member that is stopped, or behind a network that drops everything, keeps its connections and says nothing. So one that has
    not answered for `PATIENCE_S` is asked whether it is there; what waits for one that is not goes on at the others."""

    def __init__(self, options: Options, clock: Clock) -> None:
        if not options.servers:
            raise StoreError("--etcd-servers must be specified")
        self.all = [Endpoint(url, options) for url in options.servers]
        self._clock = clock
        self._turn = 0
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def open(self) -> None:
        for endpoint in self.all:
            channel = endpoint.open()
            self._tasks.append(asyncio.create_task(self._follow(endpoint, channel), name=f"etcd {endpoint.url}"))
        if len(self.all) > 1:
            self._tasks += [asyncio.create_task(self._look_after(e), name=f"etcd {e.url} alive") for e in self.all]

    async def _look_after(self, endpoint: Endpoint) -> None:
        clock = self._clock
        while not self._closed:
            await clock.sleep(PATIENCE_S / 2)
            since_s = next(iter(endpoint.waiting.values()), None)
            if since_s is None or clock.monotonic() - since_s < PATIENCE_S or not self._others(endpoint):
                continue
            if not await endpoint.is_alive() and self._others(endpoint):
                log.warning("the etcd server %s does not answer; going on with others", endpoint.url)
                self.doubt(endpoint)
                endpoint.abandon()

    def _others(self, endpoint: Endpoint) -> bool:
        """Whether another member is believed to answer."""
        now_s = self._clock.monotonic()
        return any(e.ready and e.doubted_until_s <= now_s for e in self.all if e is not endpoint)

    async def _follow(self, endpoint: Endpoint, channel: Any) -> None:
        from grpc import ChannelConnectivity

        while not self._closed:
            state = channel.get_state(try_to_connect=True)
            endpoint.ready = state is ChannelConnectivity.READY
            self._changed.set()
            await channel.wait_for_state_change(state)

    async def pick(self, avoid: Endpoint | None = None) -> Endpoint:
        """The next that is connected: another than `avoid` and one that answered, where there is such. Waits for one. Raises
        Unavailable once closed."""
        while True:
            if self._closed:
                raise Unavailable("the store is closed")
            ready = [endpoint for endpoint in self.all if endpoint.ready]
            if len(ready) > 1:
                now_s = self._clock.monotonic()
                ready = [endpoint for endpoint in ready if endpoint.doubted_until_s <= now_s] or ready
                ready = [endpoint for endpoint in ready if endpoint is not avoid] or ready
            if ready:
                self._turn += 1
                return ready[self._turn % len(ready)]
            self._changed.clear()
            await self._changed.wait()

    def doubt(self, endpoint: Endpoint) -> None:
        endpoint.doubted_until_s = self._clock.monotonic() + DOUBT_S

    async def close(self) -> None:
        self._closed = True
        self._changed.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(endpoint.close() for endpoint in self.all), return_exceptions=True)


def metadata(require_leader: bool = False) -> Sequence[tuple[str, str]]:
    """What etcd's client sends along. With `require_leader` a member without a leader refuses instead of serving stale."""
    said = [("client-api-version", API_VERSION)]
    if require_leader:
        said.append(("hasleader", "true"))
    return said
