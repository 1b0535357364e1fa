"""componentstatuses: whether the scheduler, the controller manager and the store are well. Deprecated since 1.19, still read
by `kubectl get cs`.

Source: upstream's registry/core/componentstatus: it asks the components' own addresses on this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from pilothouse.api import errors
from pilothouse.api.exchange import Request
from pilothouse.api.objects import Obj
from pilothouse.api.selectors import FieldSelector, Selector
from pilothouse.apiserver.contracts import EndpointContext
from pilothouse.apiserver.endpoints.backend import dial_error
from pilothouse.apiserver.handlers import selection
from pilothouse.apiserver.handlers.options import list_options
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.store.interface import StoreError

_PORTS: Final = {"scheduler": 10259, "controller-manager": 10257}
_TIMEOUT_S: Final = 5.0


async def read(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    if request.method not in ("GET", "HEAD") or info.verb == "watch":
        raise errors.method_not_supported("", "componentstatuses", info.verb)
    if info.path_name:
        if info.name == "etcd-0":
            one = await _store(context)
        elif info.name in _PORTS:
            one = await _component(context, info.name)
        else:
            raise errors.not_found("", "componentstatus", info.name)
        return {"kind": "ComponentStatus", "apiVersion": "v1", **one}
    labels, fields = selection.parsed(list_options(request.query))
    for term in fields.terms if fields is not None else ():
        if term.name not in selection.OF_ALL:
            raise errors.bad_request(selection.unknown_field(term.name))
    found = await asyncio.gather(*(_component(context, name) for name in _PORTS), _store(context))
    items = [one for one in found if _chosen(one["metadata"]["name"], labels, fields)]
    return {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": items}


def _chosen(name: str, labels: Selector | None, fields: FieldSelector | None) -> bool:
    having = {"metadata.name": name}
    return (labels is None or labels.matches({})) and (
        fields is None or all((having.get(t.name, "") == t.value) == t.equal for t in fields.terms)
    )


def _status(name: str, healthy: bool, message: str) -> Obj:
    condition = {"type": "Healthy", "status": "True" if healthy else "False", "message": message}
    return {"metadata": {"name": name}, "conditions": [condition]}


async def _store(context: EndpointContext) -> Obj:
    try:
        await context.store.revision()
    except StoreError as error:
        return _status("etcd-0", False, str(error))
    return _status("etcd-0", True, "ok")


async def _component(context: EndpointContext, name: str) -> Obj:
    port = _PORTS[name]
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        async with context.clock.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            writer.write(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            answer = await reader.read(4096)
            writer.close()
    except TimeoutError:
        return _status(name, False, f'Get "https://127.0.0.1:{port}/healthz": context deadline exceeded')
    except OSError as error:
        return _status(name, False, f'Get "https://127.0.0.1:{port}/healthz": {dial_error("127.0.0.1", port, error)}')
    head, _, body = answer.partition(b"\r\n\r\n")
    return _status(name, b" 200 " in head.partition(b"\r\n")[0] + b" ", body.decode("utf-8", "replace"))
