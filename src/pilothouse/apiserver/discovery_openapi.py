"""`/openapi/v3`: the list of the documents, and each by its group and version.

Source: kube-openapi's handler3: addresses carry a hash of the document, and may then be cached for good. A document is made
when it is first asked for, on a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Final

import orjson

from pilothouse import __version__
from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.api.openapi import v3
from pilothouse.api.scheme import GVK, Resource
from pilothouse.apiserver import routing, version

if TYPE_CHECKING:
    from pilothouse.apiserver.server import APIServer

_JSON: Final = "application/json"
_ROOT: Final = "/openapi/v3"
_documents: dict[str, bytes] = {}  # hash → document; the same for every server of this version


async def handle(server: APIServer, request: Request) -> Response:
    """Raises 405 for anything but a read."""
    if request.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed()
    path = request.path.rstrip("/")
    if path == _ROOT:
        return Response(200, {"Content-Type": _JSON}, orjson.dumps({"paths": _index(server)}))
    if not path.startswith(f"{_ROOT}/api"):
        return routing.page_not_found()
    name = path.removeprefix(f"{_ROOT}/")
    served = _served(server)
    if name not in served:
        return routing.page_not_found()
    found = _hash(name, served[name])
    headers = {"Content-Type": _JSON, "Etag": f'"{found}"', "Vary": "Accept"}
    if request.first("hash") == found:
        headers["Cache-Control"] = "public, immutable"
    if f'"{found}"' in request.headers.get("if-none-match", ""):
        return Response(304, headers)
    if found not in _documents:
        loop = asyncio.get_running_loop()
        _documents[found] = await loop.run_in_executor(None, _make, served[name])
    return Response(200, headers, _documents[found])


class _Served:
    """What one group and version serves, as it is now."""

    __slots__ = ("api_version", "resources", "schemas")

    def __init__(self, api_version: str) -> None:
        self.api_version = api_version
        self.resources: list[Resource] = []
        self.schemas: dict[GVK, Obj] = {}


def _served(server: APIServer) -> dict[str, _Served]:
    """`api/v1`, `apis/apps/v1` … → what is served there."""
    found: dict[str, _Served] = {}
    for one in server.registry:
        api_version = one.gvr.api_version
        name = f"apis/{api_version}" if one.gvr.group else f"api/{api_version}"
        into = found.setdefault(name, _Served(api_version))
        into.resources.append(one.resource)
        if one.stored.custom:
            into.schemas[one.gvk] = one.schema or {"type": "object"}
    return found


def _hash(name: str, served: _Served) -> str:
    """Of what the document is made from: the tables of this version, and custom schemas."""
    told = [__version__, name, sorted(r.gvr.resource for r in served.resources)]
    custom = [(k._asdict(), v) for k, v in served.schemas.items()]
    return hashlib.sha512(orjson.dumps([told, custom], option=orjson.OPT_SORT_KEYS)).hexdigest().upper()


def _index(server: APIServer) -> dict[str, dict[str, str]]:
    return {
        name: {"serverRelativeURL": f"{_ROOT}/{name}?hash={_hash(name, served)}"}
        for name, served in sorted(_served(server).items())
    }


def _make(served: _Served) -> bytes:
    document = v3.document(served.api_version, served.resources, served.schemas, version.info()["gitVersion"])
    return orjson.dumps(document)
