"""`Request` and `Response`: what client and API server say to each other, on the wire or within the process.

On the wire a body is bytes. Within the process the same exchange carries the decoded object beside them, so that it is not
encoded only to be decoded again: whoever receives one treats it as read-only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pilothouse.api.objects import Obj


@dataclass(frozen=True, slots=True)
class UserInfo:
    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class WatchEvent(NamedTuple):
    """One event of a watch. type: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: Obj


@dataclass(slots=True)
class Request:
    method: str
    path: str  # decoded, without the query
    query: list[tuple[str, str]] = field(default_factory=list)  # decoded, in the order given
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""
    object: Obj | list[Any] | None = None  # within the process: the decoded body, in place of `body`
    user: UserInfo | None = None  # set only by a transport that is trusted: authentication is done
    peer_certificates: tuple[bytes, ...] = ()  # DER, leaf first, as TLS verified them
    remote_address: str = ""
    connection: Any = None  # an upgradable connection, for exec, attach, portforward and proxies
    flow: tuple[str, str] | None = None  # uids of its FlowSchema and priority level, once the server knows them

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return next((v for k, v in self.query if k == name), default)


@dataclass(slots=True)
class Response:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    object: Obj | None = None  # within the process: the decoded body, in place of `body`
    events: AsyncIterator[list[WatchEvent]] | None = None  # within the process: a watch; batches are never empty
    slices: Iterable[bytes] | None = None  # on the wire: a body too large to be held whole, made as it is sent
    chunks: AsyncIterator[bytes] | None = None  # on the wire: a body that is sent as it comes (watch, logs)
    warnings: list[str] = field(default_factory=list)
    taken: Any = None  # on the wire: the connection was upgraded and used; the front's own object for it
