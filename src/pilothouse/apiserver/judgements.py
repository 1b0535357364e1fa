"""What the API server itself says in the status of others' objects: whether a FlowSchema's priority level exists, and whether the
service behind an APIService can be reached.

Source: upstream's apiserver/pkg/util/flowcontrol/apf_controller.go and kube-aggregator/pkg/controllers/status/remote.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver.contracts import Objects
from pilothouse.apiserver.core import Core, api_server_user

log = logging.getLogger(__name__)

_FLOWS: Final = "flowcontrol.apiserver.k8s.io"
_SERVICES: Final = "apiregistration.k8s.io"
_FLOWS_MANAGER: Final = "api-priority-and-fairness-config-consumer-v1"
_RETRY_S: Final = 1.0

Handler = Callable[[str, Obj], Awaitable[None]]  # the event's type, the object


class Judgements:
    """`start()` follows the objects in tasks of the server."""

    def __init__(self, core: Core, objects: Objects) -> None:
        self._core, self._objects = core, objects
        self._follows_services = False

    def start(self) -> None:
        self._spawn(_FLOWS, "flowschemas", self._flow_schema_changed)
        self._spawn(_FLOWS, "prioritylevelconfigurations", self._priority_level_changed)
        self._spawn(_SERVICES, "apiservices", self._api_service_changed)

    def _spawn(self, group: str, resource: str, handler: Handler) -> None:
        self._core.tasks.spawn(self._follow(group, resource, handler), f"judgements of {resource}")

    async def _follow(self, group: str, resource: str, handler: Handler) -> None:
        base = f"/apis/{group}" if group else "/api"
        while True:
            try:
                request = Request("GET", f"{base}/v1/{resource}", [("watch", "true")], user=api_server_user())
                response = await self._core.handle(request)
                if response.status == HTTPStatus.NOT_FOUND:  # the resource is not served
                    return
                if response.events is None:
                    log.warning("the watch of %s was refused with %d", resource, response.status)
                else:
                    async for batch in response.events:
                        for event in batch:
                            if event.type in ("ADDED", "MODIFIED", "DELETED"):
                                await self._tell(handler, event.type, event.object)
            except Exception:
                log.exception("the watch of %s", resource)
            await self._core.clock.sleep(_RETRY_S)

    async def _tell(self, handler: Handler, event: str, obj: Obj) -> None:
        try:
            await handler(event, obj)
        except StatusError as error:
            if error.code not in (404, 409):  # a newer event follows
                log.warning("the status of %s: %s", obj["metadata"]["name"], error)

    async def _flow_schema_changed(self, event: str, schema: Obj) -> None:
        now = self._objects.get(_FLOWS, "flowschemas", "", schema["metadata"]["name"])
        if event != "DELETED" and now is not None:
            await self._judge_flow_schema(now)

    async def _priority_level_changed(self, event: str, level: Obj) -> None:
        if event == "MODIFIED":
            return
        name = level["metadata"]["name"]
        for schema in list(self._objects.list(_FLOWS, "flowschemas")):
            if schema["spec"]["priorityLevelConfiguration"]["name"] == name:
                await self._judge_flow_schema(schema)

    async def _judge_flow_schema(self, schema: Obj) -> None:
        level, name = schema["spec"]["priorityLevelConfiguration"]["name"], schema["metadata"]["name"]
        exists = self._objects.get(_FLOWS, "prioritylevelconfigurations", "", level) is not None
        names = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
        said = {
            "type": "Dangling",
            "status": "False" if exists else "True",
            "reason": "Found" if exists else "NotFound",
            "message": f"{names} and it exists" if exists else f"{names} but there is no such object",
        }
        if _says(schema, said):
            return
        condition = {**said, "lastTransitionTime": self._core.clock.timestamp()}
        version = f"{_FLOWS}/v1"
        body = {
            "apiVersion": version,
            "kind": "FlowSchema",
            "metadata": {"name": name},
            "status": {"conditions": [condition]},
        }
        headers = {"content-type": "application/apply-patch+yaml"}
        query = [("fieldManager", _FLOWS_MANAGER), ("force", "true")]
        path = f"/apis/{version}/flowschemas/{name}/status"
        request = Request("PATCH", path, query, headers, object=body, user=api_server_user())
        await self._core.handle(request)

    async def _api_service_changed(self, event: str, service: Obj) -> None:
        now = self._objects.get(_SERVICES, "apiservices", "", service["metadata"]["name"])
        if event != "DELETED" and now is not None:
            await self._judge_api_service(now)

    async def _service_changed(self, event: str, service: Obj) -> None:
        await self._behind(service["metadata"]["namespace"], service["metadata"]["name"])

    async def _slice_changed(self, event: str, endpoints: Obj) -> None:
        labels = endpoints["metadata"].get("labels") or {}
        await self._behind(endpoints["metadata"]["namespace"], labels.get("kubernetes.io/service-name") or "")

    async def _behind(self, namespace: str, name: str) -> None:
        for api_service in list(self._objects.list(_SERVICES, "apiservices")):
            service = api_service["spec"].get("service") or {}
            if (service.get("namespace"), service.get("name")) == (namespace, name):
                await self._judge_api_service(api_service)

    async def _judge_api_service(self, api_service: Obj) -> None:
        service = api_service["spec"].get("service")
        if service is None:
            return
        if not self._follows_services:  # nothing else needs them
            self._follows_services = True
            self._spawn("", "services", self._service_changed)
            self._spawn("discovery.k8s.io", "endpointslices", self._slice_changed)
        fault = self._fault(service)
        if fault is None:
            return
        said = {"type": "Available", "status": "False", "reason": fault[0], "message": fault[1]}
        if _says(api_service, said):
            return
        new: Obj = copy(api_service)
        conditions = new.setdefault("status", {}).setdefault("conditions", [])
        now = self._core.clock.timestamp()
        old = next((c for c in conditions if c.get("type") == "Available"), None)
        if old is None:
            conditions.append({**said, "lastTransitionTime": now})
        else:
            since = old.get("lastTransitionTime") if old.get("status") == said["status"] else now
            old.update(said, lastTransitionTime=since)
        await self._objects.update(_SERVICES, "apiservices", new, "status")

    def _fault(self, reference: Obj) -> tuple[str, str] | None:
        """The reason and the message; None where nothing is wrong that can be told without asking the service."""
        objects = self._objects
        namespace, name, port = reference["namespace"], reference["name"], reference.get("port") or 443
        service = objects.get("", "services", namespace, name)
        if service is None:
            return "ServiceNotFound", f'service/{name} in "{namespace}" is not present'
        if service["spec"].get("type") != "ClusterIP":
            return None
        listening = next((p for p in service["spec"].get("ports") or () if p.get("port") == port), None)
        if listening is None:
            return "ServicePortError", f'service/{name} in "{namespace}" is not listening on port {port}'
        every = objects.list("discovery.k8s.io", "endpointslices", namespace)
        slices = [s for s in every if (s["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name]
        if not slices:
            return "EndpointsNotFound", f'cannot find endpointslices for service/{name} in "{namespace}"'
        port_name = listening.get("name") or ""
        if not any(_has_address(s, port_name) for s in slices):
            text = f'endpointslices for service/{name} in "{namespace}" have no addresses with port name "{port_name}"'
            return "MissingEndpoints", text
        return None


def _has_address(endpoints: Obj, port_name: str) -> bool:
    if not any((p.get("name") or "") == port_name and p.get("port") for p in endpoints.get("ports") or ()):
        return False
    ready = ((e.get("conditions") or {}).get("ready") for e in endpoints.get("endpoints") or ())
    return any(r is not False for r in ready)


def _says(obj: Obj, said: Obj) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    found: Obj = next((c for c in conditions if c.get("type") == said["type"]), {})
    return all((found.get(name) or "") == value for name, value in said.items())
