"""The transport over HTTP and TLS, on aiohttp. Imported only by who uses it."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson
import yarl

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response, WatchEvent
from pilothouse.api.objects import Obj

_LINE_BYTES_MAX: Final = 64 << 20
_CONNECT_TIMEOUT_S: Final = 30.0


class Https:
    """One API server over HTTP(S) with keep-alive. Credentials: a client certificate, a token, or neither."""

    def __init__(
        self, url: str, *, ssl_context: ssl.SSLContext | None = None, token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.url = url.rstrip("/")
        self._ssl = ssl_context
        self._headers = dict(headers or {})
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_kubeconfig(cls, config: Obj, context: str = "") -> Https:
        """The server and the credentials of a kubeconfig's context (its current one unless named)."""
        name = context or config.get("current-context", "")
        chosen = _named(config, "contexts", "context", name)
        cluster = _named(config, "clusters", "cluster", chosen.get("cluster", ""))
        user = _named(config, "users", "user", chosen.get("user", "")) if chosen.get("user") else {}
        token = user.get("token", "")
        if not token and user.get("tokenFile"):
            with open(user["tokenFile"], encoding="utf-8") as file:
                token = file.read().strip()
        context_ssl = None
        if str(cluster.get("server", "")).startswith("https:"):
            context_ssl = tls_context(
                ca=_data(cluster, "certificate-authority"),
                certificate=_data(user, "client-certificate"),
                key=_data(user, "client-key"),
                insecure=bool(cluster.get("insecure-skip-tls-verify")),
            )
        return cls(cluster["server"], ssl_context=context_ssl, token=token)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Watches hold their connection, so that connections are bounded by the server, not here.
            connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl if self._ssl is not None else True)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=self._headers, auto_decompress=True, read_bufsize=1 << 18
            )
        return self._session

    async def send(self, request: Request) -> Response:
        watch = request.method == "GET" and request.first("watch") in ("true", "1")
        query = "&".join(f"{quote(k)}={quote(v)}" for k, v in request.query)
        url = self.url + quote(request.path, safe="/:@!$&'()*+,;=~-._") + (f"?{query}" if query else "")
        body = orjson.dumps(request.object) if request.object is not None else request.body or None
        headers = dict(request.headers)
        try:
            answer = await self._open().request(
                request.method, yarl.URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            )
            if watch and answer.status == 200:
                return Response(answer.status, _headers(answer), events=_events(answer))
            try:
                content = await answer.read()
            finally:
                answer.release()
        except (aiohttp.ClientError, OSError) as error:
            raise errors.unavailable(f"{request.method} {self.url}{request.path}: {error}") from error
        response = Response(answer.status, _headers(answer), content)
        response.warnings = answer.headers.getall("Warning", [])
        if content and "json" in answer.headers.get("Content-Type", ""):
            try:
                decoded = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                raise errors.internal(f"the server answered with broken JSON: {error}") from error
            if isinstance(decoded, dict):
                response.object = decoded
        return response

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {k.lower(): v for k, v in answer.headers.items()}


async def _events(answer: aiohttp.ClientResponse) -> AsyncGenerator[list[WatchEvent], None]:
    """The watch's lines, decoded; all that one read brought make one batch."""
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
            rest = lines.pop()
            if len(rest) > _LINE_BYTES_MAX:
                raise errors.internal(f"an event of a watch is longer than {_LINE_BYTES_MAX} bytes")
            batch = [_event(line) for line in lines if line]
            if batch:
                yield batch
    except (aiohttp.ClientError, OSError) as error:
        raise errors.unavailable(f"watch of {answer.url.path}: {error}") from error
    finally:
        answer.close()


def _event(line: bytes) -> WatchEvent:
    try:
        decoded: Any = orjson.loads(line)
        return WatchEvent(decoded["type"], decoded["object"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise errors.internal(f"the server sent a broken watch event: {error}") from error


def tls_context(
    *, ca: bytes = b"", certificate: bytes = b"", key: bytes = b"", insecure: bool = False
) -> ssl.SSLContext:
    """A client's TLS settings from PEM: the CA that it trusts and, with both, its own certificate and key."""
    context = ssl.create_default_context(cadata=ca.decode() if ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate and key:
        # ssl loads certificates from files only; this one is readable by its owner alone and gone at once.
        descriptor, path = tempfile.mkstemp(prefix="pilothouse-client-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(certificate + b"\n" + key)
            context.load_cert_chain(path)
        finally:
            os.unlink(path)
    return context


def _named(config: Obj, section: str, field: str, name: str) -> Obj:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            found: Obj = entry.get(field) or {}
            return found
    raise ValueError(f'the kubeconfig has no {field} "{name}"')


def _data(entry: Obj, field: str) -> bytes:
    """PEM from `<field>-data` (base64) or from the file that `<field>` names."""
    inline = entry.get(f"{field}-data")
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the kubeconfig's {field}-data is not base64: {error}") from error
    if entry.get(field):
        with open(entry[field], "rb") as file:
            return file.read()
    return b""
