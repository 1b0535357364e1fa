"""From request info to what answers it: which addresses exist, and which methods they take.

Source: upstream's endpoints/installer.go. An address without the method is 405, no address 404; in a group that nobody serves
the 404 is plain text.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.exchange import Response
from pilothouse.apiserver.registry.resources import Registry, ServedResource
from pilothouse.apiserver.requestinfo import RequestInfo

_VERBS: Final = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# Subresources that pass what follows them in the path on to someone else, and answer every method.
_PROXIES: Final = frozenset({"proxy"})


class PageNotFound(Exception):
    """No handler at all: plain text, not a Status."""


def page_not_found() -> Response:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Response(404, headers, b"404 page not found\n")


def resource(registry: Registry, info: RequestInfo, method: str) -> ServedResource:
    """The resource that the address is of. Raises 404 and 405."""
    served = registry.get(info.group, info.version, info.resource)
    if served is None:
        if not registry.has_built_in_group(info.group):
            raise PageNotFound
        raise errors.path_not_found()
    found = served.resource
    parts = len(info.parts)
    if served.stored.custom and not info.watch_prefix:
        named = parts > 1 and bool(info.parts[1])
        if bool(info.namespace) > found.namespaced or (
            found.namespaced and not info.namespace and (named or method == "POST")
        ):
            raise PageNotFound  # upstream hands it on to whoever comes after custom resources: nobody
    if info.verb == "proxy" or (not found.namespaced and info.namespace and info.resource != "namespaces"):
        raise errors.path_not_found()
    if info.watch_prefix:
        if parts > 2 or (parts == 2 and found.namespaced and not info.namespace) or "watch" not in found.verbs:
            raise errors.path_not_found()
        if method != "GET":
            raise errors.method_not_allowed()
        return served
    if info.subresource:
        _subresource(served, info, method)
        return served
    if parts > 1 and info.parts[1]:
        if found.namespaced and not info.namespace:
            raise errors.path_not_found()
        verb = _VERBS.get(method, "")
        if not verb or verb == "create" or verb not in found.verbs:
            if not _any_named(served):
                raise errors.path_not_found()
            raise errors.method_not_allowed()
        return served
    if found.namespaced and not info.namespace and "list" not in found.verbs:
        raise errors.path_not_found()
    verb = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}.get(method, "")
    if verb not in found.verbs or (found.namespaced and not info.namespace and verb != "list"):
        raise errors.method_not_allowed()
    return served


def _any_named(served: ServedResource) -> bool:
    return any(v in served.resource.verbs for v in ("get", "update", "patch", "delete"))


def _subresource(served: ServedResource, info: RequestInfo, method: str) -> None:
    found = served.resource.subresources.get(info.subresource)
    if found is None and served.stored.custom and info.name:
        raise errors.not_found(info.group, info.resource, info.name)
    if found is None or (served.resource.namespaced and not info.namespace) or not info.name:
        raise errors.path_not_found()
    if info.subresource in _PROXIES:
        if method not in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            raise errors.method_not_allowed()
        return
    if len(info.parts) > 3:
        raise errors.path_not_found()
    if _VERBS.get(method, "") not in found.verbs:
        if served.stored.custom:
            raise errors.method_not_supported(info.group, info.resource, info.verb)
        raise errors.method_not_allowed()
