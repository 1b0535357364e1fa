"""The addresses that are no resources: discovery, health, version, metrics, OpenAPI, and the list of them all."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver import answers, routing, version

if TYPE_CHECKING:
    from pilothouse.apiserver.server import APIServer

# More addresses: path → "module:function" below this package, a coroutine function of (server, request).
ENDPOINTS: Final[dict[str, str]] = {
    "/openid/v1/jwks": "authentication.discovery:jwks",
    "/.well-known/openid-configuration": "authentication.discovery:configuration",
}


async def handle(server: APIServer, request: Request, local: bool) -> Response:
    path = request.path
    root = path[1:].partition("/")[0]
    if root in ("api", "apis"):
        found = server.discovery.handle(request, local)
        if found is None:
            return _unknown(server, path)
        # The lists of groups and of a group's versions answer whatever the method.
        any_method = root == "apis" and path.strip("/").count("/") < 2
        return found if any_method else _read_only(request, found)
    if root in ("healthz", "livez", "readyz"):
        found = await server.health.handle(request)
        return found if found is not None else routing.page_not_found()
    if path in ("/version", "/version/"):
        return _read_only(
            request, Response(200, {"Content-Type": "application/json"}, answers.to_json(version.info(), True))
        )
    if path == "/metrics":
        body, media_type = server.metrics.text(server)
        return Response(200, {"Content-Type": media_type}, body)
    if root == "openapi":
        from pilothouse.apiserver import discovery_openapi

        return await discovery_openapi.handle(server, request)
    if path in ("/", ""):
        return Response(200, {"Content-Type": "application/json"}, answers.to_json({"paths": paths(server)}, True))
    place = ENDPOINTS.get(path)
    if place is not None:
        module, _, name = place.partition(":")
        response: Response = await getattr(import_module(f"pilothouse.apiserver.{module}"), name)(server, request)
        return response
    return routing.page_not_found()


def _read_only(request: Request, response: Response) -> Response:
    if request.method != "GET":
        raise errors.method_not_allowed()
    return response


def _unknown(server: APIServer, path: str) -> Response:
    """The router answers for what is below /api and a built-in group's own address; what it does not know has no page."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" or (len(parts) == 3 and server.registry.has_built_in_group(parts[1])):
        raise errors.path_not_found()
    return routing.page_not_found()


def paths(server: APIServer) -> list[str]:
    found = {
        "/api",
        "/apis",
        "/apis/",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/version",
        *ENDPOINTS,
    }
    found.update(server.health.paths())
    for group, versions in server.registry.groups().items():
        if group:
            found.add(f"/apis/{group}")
        for served in versions:
            found.add(f"/apis/{group}/{served}" if group else f"/api/{served}")
    return sorted(found)
