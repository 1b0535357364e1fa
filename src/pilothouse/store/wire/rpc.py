"""gRPC's terms: status codes, failures, methods, and what a request's headers say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pilothouse.store.wire.hpack import Fields, encode

_SENT_BYTES_MOST: Final = (1 << 31) - 1  # as etcd has it


class Status(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call fails with this status; str() is its message."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


def pieces(message: Any) -> Sequence[bytes]:
    """What a response's bytes are, one behind the other."""
    if isinstance(message, (list, tuple)):
        return message
    return (message if isinstance(message, bytes) else message.SerializeToString(),)


def check_size(response: Any) -> None:
    """Raises RpcError for a response in pieces that is larger than gRPC sends."""
    if isinstance(response, list) and (size := sum(map(len, response))) > _SENT_BYTES_MOST:
        why = f"grpc: trying to send message larger than max ({size} vs. {_SENT_BYTES_MOST})"
        raise RpcError(Status.RESOURCE_EXHAUSTED, why)


@dataclass(slots=True)
class Calls:
    """How many there were of a method, for metrics."""

    started: int = 0
    received: int = 0  # messages
    sent: int = 0
    ended: Counter[Status] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Method:
    """`handler`: unary `async (request, call) -> response`; server streaming `async (request, call) -> None`, which sends by
    `call.send_message`; both directions streaming `async (call) -> None`, which reads by `async for request in call`.
    A response is a protobuf message, its bytes, or these in pieces (`pieces`).
    `inline`: the handler needs no task of its own (see `call`)."""

    path: str
    handler: Callable[..., Awaitable[Any]]
    request: Any  # the class of its message
    response: Any
    client_streams: bool = False
    server_streams: bool = False
    inline: bool = False
    calls: Calls = field(default_factory=Calls, compare=False)

    @property
    def kind(self) -> str:
        """As metrics name it."""
        if self.client_streams:
            return "bidi_stream" if self.server_streams else "client_stream"
        return "server_stream" if self.server_streams else "unary"


class Head(NamedTuple):
    """A request's headers. Names are in lower case."""

    method: str
    path: str
    content_type: str
    encoding: str  # grpc-encoding: how messages are compressed
    timeout_s: float | None
    fields: Fields

    def get(self, name: bytes) -> str:
        """The value of a header, "" where there is none."""
        for found, value in self.fields:
            if found == name:
                return value.decode("latin-1")
        return ""

    @property
    def is_grpc(self) -> bool:
        return self.content_type.startswith("application/grpc")


class BadHead(Exception):
    """Headers that break HTTP/2's rules."""


_CONNECTION_HEADERS: Final = {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
_PSEUDO: Final = {b":method", b":scheme", b":path", b":authority"}
_BAD_NAME: Final = re.compile(rb"[A-Z\x00-\x20\x7f-\xff]")
_BAD_VALUE: Final = re.compile(rb"[\x00\r\n]")
_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


@lru_cache(maxsize=512)
def _name_is_good(name: bytes) -> bool:
    return bool(name) and not _BAD_NAME.search(name) and name not in _CONNECTION_HEADERS


@lru_cache(maxsize=512)
def head_of(fields: Fields) -> Head:
    """Raises BadHead."""
    pseudo: dict[bytes, bytes] = {}
    content_type = encoding = ""
    timeout_s: float | None = None
    regular = False
    for name, value in fields:
        if name[:1] == b":":
            if regular or name not in _PSEUDO or name in pseudo:
                raise BadHead(f"the header {name!r} is out of place")
            pseudo[name] = value
            continue
        regular = True
        if not _name_is_good(name) or (name == b"te" and value != b"trailers"):
            raise BadHead(f"the header {name!r} is not allowed")
        if _BAD_VALUE.search(value):
            raise BadHead(f"the value of the header {name!r} is broken")
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"grpc-timeout":
            timeout_s = _timeout_s(value.decode("latin-1"))
        elif name == b"grpc-encoding":
            encoding = value.decode("latin-1")
    if b":method" not in pseudo or b":scheme" not in pseudo or not pseudo.get(b":path"):
        raise BadHead("a request without method, scheme or path")
    path = pseudo[b":path"].decode("latin-1")
    return Head(pseudo[b":method"].decode("latin-1"), path, content_type, encoding, timeout_s, fields)


def _timeout_s(text: str) -> float:
    """Of the grpc-timeout header."""
    unit = _UNITS_S.get(text[-1:])
    if unit is None or not 2 <= len(text) <= 9 or not text[:-1].isdecimal() or not text.isascii():
        raise BadHead(f"malformed grpc-timeout: {text!r}")
    return int(text[:-1]) * unit


_UNRESERVED: Final = bytes(range(0x20, 0x7F)).replace(b"%", b"")


def percent_encoded(message: str) -> bytes:
    """As gRPC writes a status message into a header."""
    data = message.encode()
    if all(byte in _UNRESERVED for byte in data):
        return data
    return b"".join(bytes([byte]) if byte in _UNRESERVED else b"%%%02X" % byte for byte in data)


HEADERS_BLOCK: Final = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
GZIP_HEADERS_BLOCK: Final = encode(
    [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-encoding", b"gzip")]
)
OK_TRAILERS: Final = encode([(b"grpc-status", b"0"), (b"grpc-message", b"")])


@lru_cache(maxsize=256)
def trailers(status: int, message: str, *, only: bool) -> bytes:
    """The header block that ends a call; `only`: that is all there is of its answer."""
    first = [(b":status", b"200"), (b"content-type", b"application/grpc")] if only else []
    return encode([*first, (b"grpc-status", b"%d" % status), (b"grpc-message", percent_encoded(message))])
