"""The addresses that are no resources: discovery, health, version, metrics, OpenAPI, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver import answers, negotiation, routing, version
from pilothouse.apiserver.core import Core
from pilothouse.apiserver.discovery import Discovery
from pilothouse.apiserver.health import Health
from pilothouse.apiserver.metrics import Metrics
from pilothouse.apiserver.zpages import ZPages

if TYPE_CHECKING:
    from pilothouse.apiserver.discovery_openapi import OpenAPI

_JSON: Final = {"Content-Type": "application/json"}
_JSON_ALONE: Final = negotiation.Forms(all=(negotiation.JSON,))
# More addresses: path → "module:function" below this package, a coroutine function of (core, request).
ENDPOINTS: Final[dict[str, str]] = {
    "/openid/v1/jwks": "authentication.discovery:jwks",
    "/.well-known/openid-configuration": "authentication.discovery:configuration",
}


class NonResource:
    """`inflight()`: the requests under way, by kind."""

    def __init__(self, core: Core, health: Health, metrics: Metrics, inflight: Callable[[], Mapping[str, int]]) -> None:
        self._core, self._health, self._metrics, self._inflight = core, health, metrics, inflight
        self._discovery = Discovery(core)
        self._openapi: OpenAPI | None = None  # once it is asked for
        self._pages = ZPages(core.config, core.clock)

    async def handle(self, request: Request, local: bool) -> Response:
        path = request.path
        root = path[1:].partition("/")[0]
        if root in ("api", "apis"):
            return self._discover(request, root, local)
        if root in ("healthz", "livez", "readyz"):
            found = await self._health.handle(request)
            return found if found is not None else routing.page_not_found()
        if path in ("/version", "/version/"):
            negotiation.route_accepts(request.headers.get("accept", ""), _JSON_ALONE)
            return _read_only(request, Response(200, _JSON, answers.to_json(version.info(), True)))
        if path == "/metrics":
            return self._counted(request)
        if path == "/metrics/slis":
            return self._metrics.response(self._health.indicators)
        if path == "/statusz":
            return self._pages.status(request)
        if path == "/flagz":
            return self._pages.flags(request)
        if root == "openapi":
            return await self._documents().handle(request)
        if path in ("/", "", "/index.html"):
            return Response(200, _JSON, answers.to_json({"paths": self.paths()}, True))
        place = ENDPOINTS.get(path.removesuffix("/"))
        if place is not None:
            module, _, name = place.partition(":")
            endpoint = getattr(import_module(f"pilothouse.apiserver.{module}"), name)
            response: Response = await endpoint(self._core, request)
            return response
        return routing.page_not_found()

    def _counted(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._metrics.reset()
            return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, b"metrics reset\n")
        return self._metrics.response(
            lambda: self._metrics.collect(self._inflight(), self._core.storages()), process=True
        )

    def _discover(self, request: Request, root: str, local: bool) -> Response:
        found = self._discovery.handle(request, local)
        if found is None:
            return self._unknown(request.path)
        # The lists of groups and of a group's versions answer whatever the method.
        any_method = root == "apis" and request.path.strip("/").count("/") < 2
        return found if any_method else _read_only(request, found)

    def _documents(self) -> OpenAPI:
        if self._openapi is None:
            from pilothouse.apiserver.discovery_openapi import OpenAPI

            self._openapi = OpenAPI(self._core.registry, self._core.clock.now)
        return self._openapi

    def _unknown(self, path: str) -> Response:
        """The router answers for what is below /api and a built-in group's own address; what it does not know has no page."""
        parts = path.strip("/").split("/")
        if parts[0] == "api" or (len(parts) == 3 and self._core.registry.has_built_in_group(parts[1])):
            raise errors.path_not_found()
        return routing.page_not_found()

    def paths(self) -> list[str]:
        found = {
            "/api",
            "/apis",
            "/apis/",
            "/flagz",
            "/metrics",
            "/metrics/slis",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/statusz",
            "/version",
            *ENDPOINTS,
        }
        found.update(self._health.paths())
        for group, versions in self._core.registry.groups().items():
            if group:
                found.add(f"/apis/{group}")
            for served in versions:
                found.add(f"/apis/{group}/{served}" if group else f"/api/{served}")
        return sorted(found)


def _read_only(request: Request, response: Response) -> Response:
    if request.method != "GET":
        raise errors.method_not_allowed()
    return response
