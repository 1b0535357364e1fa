"""The addresses of webhooks: upstream's k8s.io/apiserver/pkg/util/webhook/validation.go."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.objects import Obj

_FORM: Final = "; desired format: https://host[/path]"


def webhook_url(text: str, path: str) -> ErrorList:
    wrong, url = _parsed(text)
    if url is None:
        return [field.required(path, f"url must be a valid URL: parse {quote(text)}: {wrong}{_FORM}")]
    found: ErrorList = []
    if url.scheme != "https":
        found.append(field.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    host = url.netloc.rpartition("@")[2]
    if not host:
        found.append(field.invalid(path, host, f"host must be specified{_FORM}"))
    if "@" in url.netloc:
        user = url.netloc.rpartition("@")[0]
        found.append(field.invalid(path, user, "user information is not permitted in the URL"))
    if url.fragment:
        found.append(field.invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        found.append(field.invalid(path, url.query, "query parameters are not permitted in the URL"))
    return found


def _parsed(text: str) -> tuple[str, SplitResult | None]:
    """What Go's url.Parse says is wrong, or the URL."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        return "net/url: invalid control character in URL", None
    if text.startswith(":"):
        return "missing protocol scheme", None
    before = text.partition("?")[0].partition("#")[0]
    scheme, colon, _ = before.partition(":")
    if colon and "/" not in scheme and not (scheme[:1].isalpha() and all(c.isalnum() or c in "+-." for c in scheme)):
        return "first path segment in URL cannot contain colon", None
    wrong = _bad_escape(before)
    if wrong:
        return f"invalid URL escape {quote(wrong)}", None
    try:
        url = urlsplit(text)
    except ValueError:
        return "missing ']' in host", None
    host = url.netloc.rpartition("@")[2]
    bad = next((c for c in host if c in ' "<>\\^`{|}' or c == "%"), "")
    if bad:
        return f"invalid character {quote(bad)} in host name", None
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    if port and not port.isdecimal():
        return f"invalid port {quote(':' + port)} after host", None
    return "", url


def parse_error(text: str, *, request: bool = False) -> str:
    """What Go's url.Parse, or url.ParseRequestURI, says of a URL; nothing where it reads it."""
    if request and not text:
        return "empty url"
    wrong, url = _parsed(text)
    if url is not None and request and not url.scheme and not text.startswith("/"):
        return "invalid URI for request"
    return wrong


def _bad_escape(text: str) -> str:
    for i, c in enumerate(text):
        if c == "%" and not (len(text) > i + 2 and all(d in "0123456789abcdefABCDEF" for d in text[i + 1 : i + 3])):
            return text[i : i + 3]
    return ""


def webhook_service(service: Obj, path: str) -> ErrorList:
    """Upstream hands name and namespace over in the wrong order, so each is missed under the other's name."""
    found: ErrorList = []
    if not service.get("namespace"):
        found.append(field.required(f"{path}.name"))
    if not service.get("name"):
        found.append(field.required(f"{path}.namespace"))
    return found + _port_and_path(service, path)


def service_reference(service: Obj, path: str) -> ErrorList:
    """The same with the names in their places."""
    found = [field.required(f"{path}.{name}") for name in ("name", "namespace") if not service.get(name)]
    return found + _port_and_path(service, path)


def _port_and_path(service: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    port, target = service.get("port"), service.get("path")
    number = 0 if port is None else port
    details = names.port_number(number)
    if details:
        found.append(field.invalid(f"{path}.port", number, "port is not valid: " + ", ".join(details)))
    if target in (None, "", "/"):
        return found
    at = f"{path}.path"
    if target == "//":
        return [*found, field.invalid(at, target, "segment[0] may not be empty")]
    if not target.startswith("/"):
        found.append(field.invalid(at, target, "must start with a '/'"))
    for i, step in enumerate(target[1:].removesuffix("/").split("/")):
        if not step:
            found.append(field.invalid(at, target, f"segment[{i}] may not be empty"))
            continue
        found += [field.invalid(at, target, f"segment[{i}]: {d}") for d in names.dns1123_subdomain(step)]
    return found
