"""Asking another server on behalf of a client: kubelets, pods and services behind the proxy addresses.

Source: upstream's pkg/kubelet/client and apimachinery/pkg/util/proxy; the texts of failures are those of Go's net package.
"""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.contracts import EndpointContext

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

KUBELET_PORT: Final = 10250
# kubeadm's --kubelet-preferred-address-types: an address that can be reached before a name that may not resolve.
_ADDRESS_TYPES: Final = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS")
_CONNECT_S: Final = 30.0
_CHUNK: Final = 64 * 1024
_ERROR_BODY_MOST: Final = 2000
# Headers between two neighbours, which a proxy does not pass on (RFC 9110, 7.6.1), and those that are the API server's own.
_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
    "host", "content-length", "authorization", "accept-encoding",
})  # fmt: skip


class Place(NamedTuple):
    """Where to ask."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}{'?' + self.query if self.query else ''}"


async def kubelet(context: EndpointContext, node_name: str, path: str, query: str = "") -> Place:
    """The kubelet of a pod's node. Raises 404 for a node that does not exist (of a pod by its name, as upstream says it), and
    upstream's error for one without addresses."""
    node = await context.objects.get_live("", "nodes", "", node_name)
    if node is None:
        raise errors.not_found("", "pods", node_name)
    return Place("https", address_of(node), port_of(node), path, query)


def address_of(node: Obj) -> str:
    addresses = get(node, "status", "addresses", default=())
    for kind in _ADDRESS_TYPES:
        for address in addresses:
            if address.get("type") == kind and address.get("address"):
                return str(address["address"])
    listed = " ".join(f"{{{a.get('type', '')} {a.get('address', '')}}}" for a in addresses)
    raise StatusError(500, "", f"no preferred addresses found; known addresses: [{listed}]")


def port_of(node: Obj) -> int:
    port: int = get(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port", default=0)
    return port or KUBELET_PORT


def is_allowed(address: str) -> bool:
    """Whether proxies may go to the address: not back to this machine, nor to its neighbours by link."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (
        ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or str(ip) == "255.255.255.255"
    )


def dial_error(host: str, port: int, error: OSError) -> str:
    """A connection that failed, in Go's words."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    inner: BaseException = getattr(error, "os_error", None) or error
    number = getattr(inner, "errno", None)
    if isinstance(inner, OSError) and type(inner).__name__ == "gaierror":
        return f"dial tcp: lookup {host}: no such host"
    if number in (errno.ETIMEDOUT, None) and "timed out" in str(inner).lower():
        return f"dial tcp {where}: i/o timeout"
    text = os.strerror(number).lower() if isinstance(number, int) and number > 0 else str(inner)
    return f"dial tcp {where}: connect: {text}"


def _session() -> ClientSession:
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    # Kubelets' certificates are verified only where --kubelet-certificate-authority says by whom, as upstream's are.
    connector = TCPConnector(ssl=False, limit=1, force_close=True)
    return ClientSession(
        connector=connector, timeout=ClientTimeout(total=None, sock_connect=_CONNECT_S), auto_decompress=False
    )


async def _open(
    session: ClientSession, method: str, place: Place, headers: Mapping[str, str], body: bytes
) -> ClientResponse:
    """Raises OSError where nobody answers. A kubelet of a simulation may speak without TLS: then so do we."""
    from aiohttp import ClientConnectorError, ClientError
    from yarl import URL

    for scheme in (place.scheme, "http"):
        url = URL(place._replace(scheme=scheme).url, encoded=True)
        try:
            return await session.request(method, url, headers=headers, data=body or None, allow_redirects=False)
        except ClientConnectorError as error:
            plain = getattr(error, "certificate_error", None) is None and "WRONG_VERSION_NUMBER" in str(error)
            if scheme == "https" and (plain or "RECORD_LAYER" in str(error)):
                continue
            raise
        except ClientError as error:
            if isinstance(error, OSError):
                raise
            raise OSError(str(error) or type(error).__name__) from error
    raise OSError("http: server gave HTTP response to HTTPS client")


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


async def ask(method: str, place: Place, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Raises OSError where nobody answers. The body must be read to its end, or closed."""
    session = _session()
    try:
        answer = await _open(session, method, place, headers, body)
    except BaseException:
        await session.close()
        raise
    return Answer(answer.status, dict(answer.headers), _chunks(session, answer))


async def _chunks(session: ClientSession, answer: ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            yield chunk
    finally:
        answer.close()
        await session.close()


async def whole(body: AsyncIterator[bytes], most: int = _ERROR_BODY_MOST) -> str:
    parts, size = [], 0
    async for chunk in body:
        parts.append(chunk)
        size += len(chunk)
        if size >= most:
            break
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
    return b"".join(parts)[:most].decode("utf-8", "replace")


async def forward(method: str, place: Place, headers: Mapping[str, str], body: bytes) -> Response:
    """A request passed on as it is, and its answer. Raises 503 where nobody answers."""
    kept = {name: value for name, value in headers.items() if name not in _HOP and not name.startswith("impersonate-")}
    try:
        answer = await ask(method, place, kept, body)
    except OSError as error:
        raise errors.unavailable(
            f"error trying to reach service: {dial_error(place.host, place.port, error)}"
        ) from error
    own = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
    return Response(answer.status, own, chunks=answer.body)
