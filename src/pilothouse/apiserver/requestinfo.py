"""What a request asks for, read from its path, method and query.

Source: upstream's k8s.io/apiserver/pkg/endpoints/request, whose reading authorizers, admission and audit rely on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pilothouse.api.exchange import Request

_METHODS = {
    "POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_NAME_SELECTOR = re.compile(r"(?:^|,)metadata\.name==?([^,=!\\]+)(?:,|$)")


@dataclass(slots=True)
class RequestInfo:
    resource_request: bool
    path: str
    verb: str
    api_prefix: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: Sequence[str] = ()  # resource, name, subresource and whatever follows
    watch_prefix: bool = False  # the old /watch/ in the path
    path_name: bool = False  # the name stands in the path, not in a field selector

    @property
    def subpath(self) -> str:
        """What follows the subresource, for proxies: with a leading slash, or empty."""
        rest = "/".join(self.parts[3:])
        if not rest and not (len(self.parts) >= 3 and self.path.endswith("/")):
            return ""
        return "/" + rest + ("/" if rest and self.path.endswith("/") else "")


class BadPath(ValueError):
    """A path that names a special verb and nothing else."""


def is_true(text: str) -> bool:
    """A boolean query parameter as upstream's conversion reads it: anything but false and 0."""
    return text.lower() not in ("false", "0")


def parse(request: Request) -> RequestInfo:
    """Raises BadPath for a path that cannot be read."""
    method = request.method
    path = request.path
    parts = path.strip("/").split("/")
    prefix = parts[0]
    if prefix == "api":
        if len(parts) < 3:
            return RequestInfo(False, path, method.lower())
        group, version, parts = "", parts[1], parts[2:]
    elif prefix == "apis":
        if len(parts) < 4:
            return RequestInfo(False, path, method.lower(), api_prefix=prefix if len(parts) == 3 else "")
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(False, path, method.lower())

    info = RequestInfo(True, path, "", api_prefix=prefix, group=group, version=version)
    if parts[0] in ("watch", "proxy"):
        if len(parts) < 2:
            raise BadPath(f"unable to determine kind and namespace from url, {path}")
        info.verb = parts[0]
        info.watch_prefix = parts[0] == "watch"
        parts = parts[1:]
    else:
        info.verb = _METHODS.get(method, "")

    if parts[0] == "namespaces" and len(parts) > 1:
        info.namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]

    info.parts = parts
    info.resource = parts[0]
    if len(parts) >= 2:
        info.name = parts[1]
        info.path_name = bool(parts[1])
    if len(parts) >= 3 and info.verb != "proxy":
        info.subresource = parts[2]

    if not info.name:
        if info.verb == "get":
            info.verb = "watch" if is_true(request.first("watch", "false")) else "list"
            _name_of_selector(info, request)
        elif info.verb == "delete":
            info.verb = "deletecollection"
    return info


def _name_of_selector(info: RequestInfo, request: Request) -> None:
    """`metadata.name=x` names the one object that the request is about: authorizers see it."""
    selector = request.first("fieldSelector")
    if "metadata.name=" in selector:
        match = _NAME_SELECTOR.search(selector)
        if match and match[1] not in (".", "..") and "/" not in match[1] and "%" not in match[1]:
            info.name = match[1]
