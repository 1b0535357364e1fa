"""The addresses behind which somebody else answers: a pod's logs, exec, attach and portforward, and the proxies.

Source: upstream's registry/core/pod/rest, registry/core/{pod,service,node} (ResourceLocation) and api/pod validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, Response
from pilothouse.api.field import ErrorList, forbidden, invalid
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.contracts import EndpointContext
from pilothouse.apiserver.endpoints import backend
from pilothouse.apiserver.endpoints.backend import Place
from pilothouse.apiserver.handlers.options import parse_bool, parse_int
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.clock import parse_time

_PLAIN: Final = {"Content-Type": "text/plain"}


async def _pod(context: EndpointContext, info: RequestInfo, name: str = "") -> Obj:
    name = name or info.name
    pod = await context.objects.get_live("", "pods", info.namespace, name)
    if pod is None:
        raise errors.not_found("", "pods", name)
    return pod


def _container(pod: Obj, name: str) -> str:
    """The container that is meant: the only one, where none is named. Raises 400."""
    spec, pod_name = pod["spec"], pod["metadata"]["name"]
    fields = ("initContainers", "containers", "ephemeralContainers")
    names = [c.get("name", "") for field in fields for c in spec.get(field) or ()]
    if name:
        if name not in names:
            raise errors.bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    own = spec.get("containers") or []
    if len(own) == 1:
        return str(own[0]["name"])
    which = f", choose one of: [{' '.join(names)}]" if own else ""
    raise errors.bad_request(f"a container name must be specified for pod {pod_name}{which}")


# Logs


async def log(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    sent = _log_options(info, request)
    pod = await _pod(context, info)
    container = _container(pod, request.first("container"))
    node = pod["spec"].get("nodeName")
    if not node:
        return Response(204, dict(_PLAIN))
    path = f"/containerLogs/{info.namespace}/{info.name}/{container}"
    place = await backend.kubelet(context, node, path, urlencode(sent))
    try:
        answer = await backend.ask("GET", place, {})
    except OSError as error:
        why = backend.dial_error(place.host, place.port, error)
        raise StatusError(500, "", f'Get "{place.url}": {why}') from error
    if not 200 <= answer.status <= 206:
        raise _kubelet_error(answer.status, await backend.whole(answer.body), info.name)
    return Response(200, dict(_PLAIN), chunks=answer.body)


def _log_options(info: RequestInfo, request: Request) -> list[tuple[str, str]]:
    """What is asked of the kubelet. Raises 400 and 422."""
    sent: list[tuple[str, str]] = []
    given = {name for name, _ in request.query}
    found: ErrorList = []
    switches = ("follow", "previous", "timestamps")
    sent += [(name, "true") for name in switches if name in given and parse_bool(request.first(name))]
    if "sinceTime" in given:
        text = request.first("sinceTime")
        try:
            parse_time(text)
        except ValueError:
            shown = text.replace('"', '\\"')
            why = f'parsing time "{shown}" as "2006-01-02T15:04:05Z07:00": cannot parse "{shown}" as "2006"'
            raise errors.bad_request(why) from None
        sent.append(("sinceTime", text))
    numbers = {
        name: parse_int(request.first(name)) for name in ("tailLines", "limitBytes", "sinceSeconds") if name in given
    }
    if numbers.get("tailLines", 0) < 0:
        found.append(invalid("tailLines", numbers["tailLines"], "must be greater than or equal to 0"))
    if numbers.get("limitBytes", 1) < 1:
        found.append(invalid("limitBytes", numbers["limitBytes"], "must be greater than 0"))
    if "sinceSeconds" in numbers and "sinceTime" in given:
        found.append(forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif numbers.get("sinceSeconds", 1) < 1:
        found.append(invalid("sinceSeconds", numbers["sinceSeconds"], "must be greater than 0"))
    if "stream" in given:
        found.append(forbidden("stream", "may not be specified"))
    if found:
        raise errors.invalid("", "PodLogOptions", info.name, found)
    return sorted(sent + [(name, str(value)) for name, value in numbers.items()])


def _kubelet_error(status: int, body: str, name: str) -> StatusError:
    """What a kubelet refused, as upstream passes it on."""
    if status == 500:
        return errors.internal(body)
    if status == 400:
        return errors.bad_request(body)
    details = {"name": name, "kind": "pods/log"}
    if status == 404:
        message = "the server could not find the requested resource"
        return StatusError(404, "NotFound", f"{message} ( pods/log {name})", details)
    if status in (401, 403):
        reason = "Unauthorized" if status == 401 else "Forbidden"
        message = "the server has asked for the client to provide credentials" if status == 401 else body
        return StatusError(status, reason, f"{message} ( pods/log {name})", details)
    message = f"the server responded with the status code {status} but did not return more information"
    return StatusError(status, "Unknown" if status < 500 else "InternalError", f"{message} ( pods/log {name})", details)


# Streams


async def exec_(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    return await _stream(context, info, request, "exec")


async def attach(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    return await _stream(context, info, request, "attach")


async def portforward(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    return await _stream(context, info, request, "portForward")


async def _stream(context: EndpointContext, info: RequestInfo, request: Request, kind: str) -> Response:
    pod = await _pod(context, info)
    path = f"/{kind}/{info.namespace}/{info.name}"
    query: list[tuple[str, str]] = []
    if kind == "portForward":
        ports = [value for name, value in request.query if name == "ports"]
        query = [("port", ",".join(ports))] if ports else []
    else:
        path += "/" + _container(pod, request.first("container"))
        for name, sent in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")):
            if parse_bool(request.first(name, "false")):
                query.append((sent, "1"))
        query += [(name, value) for name, value in request.query if name == "command"]
    node = pod["spec"].get("nodeName")
    if not node:
        raise errors.bad_request(f"pod {info.name} does not have a host assigned")
    place = await backend.kubelet(context, node, path, urlencode(sorted(query)))
    if "upgrade" not in request.headers.get("connection", "").lower():
        raise errors.bad_request("Upgrade request required")
    from pilothouse.apiserver.endpoints import tunnel

    return await tunnel.open_(request, place)


# Proxies


def _split(target: str, what: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `name`, `name:port` or `scheme:name:port`. Raises 400."""
    parts = target.split(":")
    scheme, port = "", ""
    if len(parts) == 1:
        name = parts[0]
    elif len(parts) == 2:
        name, port = parts
    elif len(parts) == 3 and parts[0] in ("", "http", "https"):
        scheme, name, port = parts
    else:
        name = ""
    if not name:
        raise errors.bad_request(f'invalid {what} request "{target}"')
    return scheme, name, port


async def _pass_on(request: Request, info: RequestInfo, scheme: str, host: str, port: int) -> Response:
    path = quote(info.subpath or "/", safe="/:@!$&'()*+,;=~-._")
    place = Place(scheme or "http", host, port, path, urlencode(request.query))
    if "upgrade" in request.headers.get("connection", "").lower():
        from pilothouse.apiserver.endpoints import tunnel

        return await tunnel.open_(request, place)
    return await backend.forward(request.method, place, request.headers, request.body)


def _port(text: str, scheme: str) -> int:
    if not text:
        return 443 if scheme == "https" else 80
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 65536:
        raise errors.bad_request(f'invalid port "{text}"')
    return int(text)


async def proxy_pod(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    scheme, name, port = _split(info.name, "pod")
    pod = await _pod(context, info, name)
    if not port:
        containers = pod["spec"].get("containers") or ()
        port = next((str(c["ports"][0]["containerPort"]) for c in containers if c.get("ports")), "")
    address = get(pod, "status", "podIP", default="")
    if not backend.is_allowed(address):
        raise errors.bad_request("address not allowed")
    return await _pass_on(request, info, scheme, address, _port(port, scheme))


async def proxy_node(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    scheme, name, port = _split(info.name, "node")
    node = await context.objects.get_live("", "nodes", "", name)
    if node is None:
        raise errors.not_found("", "nodes", name)
    address, own = backend.address_of(node), backend.port_of(node)
    if not backend.is_allowed(address):
        raise errors.bad_request("address not allowed")
    # The kubelet's own port is spoken to as the kubelet is, whatever the request says.
    if port in ("", str(own)):
        return await _pass_on(request, info, "https", address, own)
    return await _pass_on(request, info, scheme, address, _port(port, scheme))


async def proxy_service(context: EndpointContext, info: RequestInfo, request: Request) -> Response:
    scheme, name, port = _split(info.name, "service")
    if port.isascii() and port.isdigit():
        service = await context.objects.get_live("", "services", info.namespace, name)
        if service is None:
            raise errors.not_found("", "services", name)
        declared = next((p for p in get(service, "spec", "ports", default=()) if str(p.get("port")) == port), None)
        if declared is None:
            raise errors.unavailable(f'no service port {port} found for service "{name}"')
        port = declared.get("name", "")
    slices = [
        s for s in context.objects.list("discovery.k8s.io", "endpointslices", info.namespace)
        if get(s, "metadata", "labels", "kubernetes.io/service-name") == name
    ]  # fmt: skip
    ready = _endpoints(context, info.namespace, slices, port)
    if not ready:
        raise errors.unavailable(f'no endpoints available for service "{name}"')
    address, number = context.clock.random.choice(ready)
    return await _pass_on(request, info, scheme, address, number)


def _endpoints(context: EndpointContext, namespace: str, slices: Sequence[Obj], port: str) -> list[tuple[str, int]]:
    """The ready endpoints that are pods of this namespace, at the port of that name."""
    found = []
    for one in slices:
        numbers = [p["port"] for p in one.get("ports") or () if (p.get("name") or "") == port and p.get("port")]
        if not numbers:
            continue
        for endpoint in one.get("endpoints") or ():
            if get(endpoint, "conditions", "ready") is False or not endpoint.get("addresses"):
                continue
            ref = endpoint.get("targetRef") or {}
            address = endpoint["addresses"][0]
            pod = context.objects.get("", "pods", namespace, ref.get("name", "")) if ref else None
            ips = [ip.get("ip") for ip in get(pod, "status", "podIPs", default=())]
            if ref.get("namespace") == namespace and address in ips:
                found.append((address, numbers[0]))
    return found
