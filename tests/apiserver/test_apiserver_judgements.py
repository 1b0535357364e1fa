"""What the API server says in the status of flow schemas and API services."""

from __future__ import annotations

from typing import Any

import pytest
from memory_store import MemoryStore

from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import VirtualClock

ADMIN = UserInfo("admin", groups=("system:masters", "system:authenticated"))
FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
SUBJECT = {"kind": "User", "user": {"name": "jane"}}
RULE = {"subjects": [SUBJECT], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}


class Cluster:
    def __init__(self, server: APIServer) -> None:
        self.server = server

    async def ask(self, method: str, address: str, body: Any = None) -> Any:
        headers = {"content-type": "application/json"}
        answer = await self.server.handle(Request(method, address, [], headers, object=body, user=ADMIN))
        assert answer.status < 300, answer.object
        await self.server.clock.sleep(1)
        return answer.object


@pytest.fixture
def tell():
    def run(story: Any) -> None:
        clock = VirtualClock(1)

        async def main() -> None:
            server = APIServer(MemoryStore(), clock, Config())
            await server.start()
            try:
                await story(Cluster(server))
            finally:
                await server.stop()

        clock.run(main())

    return run


def condition(obj: Any) -> tuple[str, ...]:
    (found,) = obj["status"]["conditions"]
    return tuple(found[n] for n in ("type", "status", "reason", "message"))


def test_a_flow_schema_dangles_until_its_priority_level_is_there(tell):
    named = 'This FlowSchema references the PriorityLevelConfiguration object named "mine"'

    async def story(c: Cluster) -> None:
        spec = {"priorityLevelConfiguration": {"name": "mine"}, "matchingPrecedence": 100, "rules": [RULE]}
        await c.ask("POST", f"{FLOWS}/flowschemas", {"metadata": {"name": "a"}, "spec": spec})
        schema = await c.ask("GET", f"{FLOWS}/flowschemas/a")
        assert condition(schema) == ("Dangling", "True", "NotFound", f"{named} but there is no such object")
        own = [m for m in schema["metadata"]["managedFields"] if m.get("subresource") == "status"]
        assert [(m["manager"], m["operation"]) for m in own] == [
            ("api-priority-and-fairness-config-consumer-v1", "Apply")
        ]
        limited = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
        await c.ask("POST", f"{FLOWS}/prioritylevelconfigurations", {"metadata": {"name": "mine"}, "spec": limited})
        assert condition(await c.ask("GET", f"{FLOWS}/flowschemas/a")) == (
            "Dangling",
            "False",
            "Found",
            f"{named} and it exists",
        )
        await c.ask("DELETE", f"{FLOWS}/prioritylevelconfigurations/mine")
        assert condition(await c.ask("GET", f"{FLOWS}/flowschemas/a"))[1] == "True"

    tell(story)


def test_an_api_service_tells_what_its_service_lacks(tell):
    async def story(c: Cluster) -> None:
        reference = {"name": "agg", "namespace": "default", "port": 443}
        spec = {"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
        body = {
            "metadata": {"name": "v1.g.example.com"},
            "spec": {**spec, "service": reference, "insecureSkipTLSVerify": True},
        }
        await c.ask("POST", SERVICES, body)

        async def now() -> tuple[str, ...]:
            return condition(await c.ask("GET", f"{SERVICES}/v1.g.example.com"))[2:]

        assert await now() == ("ServiceNotFound", 'service/agg in "default" is not present')
        service = {"metadata": {"name": "agg"}, "spec": {"ports": [{"port": 80, "name": "web"}]}}
        await c.ask("POST", "/api/v1/namespaces/default/services", service)
        assert await now() == ("ServicePortError", 'service/agg in "default" is not listening on port 443')
        service = await c.ask("GET", "/api/v1/namespaces/default/services/agg")
        service["spec"]["ports"] = [{"port": 443, "name": "web"}]
        await c.ask("PUT", "/api/v1/namespaces/default/services/agg", service)
        assert await now() == ("EndpointsNotFound", 'cannot find endpointslices for service/agg in "default"')
        endpoints = {
            "metadata": {"name": "agg-1", "labels": {"kubernetes.io/service-name": "agg"}},
            "addressType": "IPv4", "endpoints": [], "ports": [{"name": "web", "port": 443, "protocol": "TCP"}],
        }  # fmt: skip
        await c.ask("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", endpoints)
        missing = 'endpointslices for service/agg in "default" have no addresses with port name "web"'
        assert await now() == ("MissingEndpoints", missing)

    tell(story)


def test_a_watch_that_was_refused_is_tried_again() -> None:
    """Only where the resource is not served there is nothing to follow."""
    clock = VirtualClock(1)
    asked: dict[str, int] = {}

    async def main() -> None:
        server = APIServer(MemoryStore(), clock, Config())

        async def handle(request: Request) -> Response:
            if ("watch", "true") not in request.query or not request.path.startswith((FLOWS, SERVICES)):
                return await server.handle(request)
            asked[request.path] = asked.get(request.path, 0) + 1
            if request.path == SERVICES:
                return Response(404)
            return await server.handle(request) if asked[request.path] == 3 else Response(504)

        server.core.handle = handle
        await server.start()
        try:
            await clock.sleep(5)
        finally:
            await server.stop()

    clock.run(main())
    assert asked == {f"{FLOWS}/flowschemas": 3, f"{FLOWS}/prioritylevelconfigurations": 3, SERVICES: 1}
