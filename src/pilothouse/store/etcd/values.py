"""The kinds of values that settings have, read as Go's flag package and etcd read them; what cannot be gets etcd's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_SECONDS_MOST: Final = ((1 << 63) - 1) / 1e9
_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}
_SCHEMES: Final = ("http", "https", "unix", "unixs")


class BadConfig(Exception):
    """str() says which setting, and what to do."""


class BadFlag(BadConfig):
    """The command line itself cannot be read."""


class BadValue(ValueError):
    """str() says what is wrong with it, without naming the setting."""

    def __init__(self, message: str = "parse error") -> None:
        super().__init__(message)


def duration_s(text: str) -> float:
    """Seconds of a duration as Go writes it: 1h30m, 500ms. Raises BadValue."""
    rest, sign = text, 1.0
    if rest[:1] in ("-", "+"):
        rest, sign = rest[1:], -1.0 if rest[0] == "-" else 1.0
    if rest == "0":
        return 0.0
    found = 0.0
    if not rest:
        raise BadValue
    while rest:
        match = _PART.match(rest)
        if match is None:
            raise BadValue
        found += float(match[1]) * _SECONDS[match[2]]
        rest = rest[match.end() :]
    if found > _SECONDS_MOST:
        raise BadValue
    return sign * found


class Address(NamedTuple):
    """A host and a port, or the path of a unix socket."""

    secure: bool
    host: str
    port: int
    path: str = ""


def address(url: str) -> Address:
    """Raises BadValue."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise BadValue(f"URL scheme must be http, https, unix, or unixs: {url}")
    if scheme.startswith("unix"):
        return Address(scheme == "unixs", "", 0, rest)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadValue(f"invalid port in URL: {url}") from None
    if port is None or not parts.hostname:
        raise BadValue(f'URL address does not have the form "host:port": {url}')
    if parts.path or "?" in rest or "#" in rest:
        raise BadValue(f"URL must not contain a path: {url}")
    return Address(scheme == "https", parts.hostname, port)


def _switch(value: Any) -> bool:
    text = "true" if value is True else "false" if value is False else str(value)
    if text not in _TRUE | _FALSE:
        raise BadValue
    return text in _TRUE


def _whole(bits: int, *, signed: bool) -> Callable[[Any], int]:
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def read(value: Any) -> int:
        text = str(value)
        try:
            found = int(text, 8 if re.fullmatch(r"[+-]?0[0-7]+", text) else 0)
        except ValueError:
            raise BadValue from None
        if not least <= found <= most or (not signed and text[:1] in "+-"):
            raise BadValue(f"value out of range: {text}" if signed else "parse error")
        return found

    return read


def _duration(value: Any) -> str:
    duration_s(str(value))
    return str(value)


def _list(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _urls(value: Any) -> list[str]:
    found = list(dict.fromkeys(_list(value)))
    for url in found:
        address(url)
    return found


def bindable(url: str) -> bool:
    """A name may lead anywhere, so that etcd listens at addresses only."""
    where = address(url)
    if where.path:
        return True
    host = where.host
    try:
        return host == "localhost" or bool(ip_address(host.partition("%")[0]))
    except ValueError:
        return False


def _origins(value: Any) -> list[str]:
    """`*`, or URLs."""
    found = str(value).split(",")
    for url in found:
        if url != "*":
            address(url.strip())
    return [url.strip() for url in found]


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "text": str,
    "switch": _switch,
    "number": _whole(64, signed=True),
    "count": _whole(64, signed=False),
    "count32": _whole(32, signed=False),
    "duration": _duration,
    "list": _list,
    "urls": _urls,
    "origins": _origins,
}
