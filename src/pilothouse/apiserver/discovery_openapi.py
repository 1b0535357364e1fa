"""`/openapi/v2` and `/openapi/v3`: the whole document, the list of those by group and version, and each of these.

Source: kube-openapi's handler and handler3: addresses of version 3 carry a hash of the document, and may then be cached for good.
Documents are made when they are first asked for, on a thread, and part by part: a CustomResourceDefinition makes only its own
group and version anew.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import orjson

from pilothouse import __version__
from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.api.openapi import custom, gnostic, v2, v3
from pilothouse.apiserver import negotiation, routing, version
from pilothouse.apiserver.handlers.delete import returns_object
from pilothouse.apiserver.registry.resources import Registry, ServedResource

_JSON: Final = "application/json"
_ROOT: Final = "/openapi/v3"
_PROTOBUF: Final = {n: f"application/com.github.proto-openapi.spec.v{n}.v1.0+protobuf" for n in (2, 3)}
_GZIP_LEVEL: Final = 1
_YEAR_S: Final = 365 * 86400.0


class Part:
    """What one group and version, or one address of discovery, adds to the documents. Everything is made on first use."""

    def __init__(self, name: str, told: object, build: Callable[[bool], Obj]) -> None:
        """`told`: what the document is made from, as JSON. `build(version_2)`: the document in the form of version 3."""
        self.name, self._build = name, build
        inputs = orjson.dumps([__version__, name, told], option=orjson.OPT_SORT_KEYS)
        self.hash = hashlib.sha512(inputs).hexdigest().upper()
        self._json: bytes | None = None
        self._protobuf: bytes | None = None
        self._fragment: v2.Fragment | None = None
        self._fragment_protobuf: v2.Fragment | None = None

    def json(self) -> bytes:
        if self._json is None:
            self._json = orjson.dumps(self._build(False))
        return self._json

    def protobuf(self) -> bytes:
        if self._protobuf is None:
            self._protobuf = gnostic.document_3(self._build(False))
        return self._protobuf

    def fragment(self) -> v2.Fragment:
        if self._fragment is None:
            self._fragment = v2.encoded(v2.fragment(self._build(True)))
        return self._fragment

    def fragment_protobuf(self) -> v2.Fragment:
        if self._fragment_protobuf is None:
            found = v2.fragment(self._build(True))
            self._fragment_protobuf = v2.Fragment(
                {n: gnostic.path_item_2(p) for n, p in found.paths.items()},
                {n: gnostic.schema_2(s) for n, s in found.definitions.items()},
                {n: gnostic.parameter_2(p) for n, p in found.parameters.items()},
            )
        return self._fragment_protobuf


_built_in: dict[tuple[object, ...], Part] = {}  # the same for every server of this process


class OpenAPI:
    """The documents of one server, as its registry is now."""

    def __init__(self, registry: Registry, now: Callable[[], float]) -> None:
        self._registry, self._now = registry, now
        self._generation = -1
        self._served: dict[str, tuple[ServedResource, ...]] = {}
        self._parts: dict[str, Part] = {}
        self._whole: dict[str, bytes] = {}  # form → the OpenAPI 2 document
        self._making = asyncio.Lock()
        self._changed_s = now()

    async def handle(self, request: Request) -> Response:
        """Any method reads, as upstream has it."""
        path = request.path
        if path == "/openapi/v2":
            return await self.whole(request)
        if path == _ROOT:
            headers = {"Accept-Ranges": "bytes", "Content-Type": "text/plain; charset=utf-8"}
            return Response(200, {**headers, "Last-Modified": _http_date(self._changed_s)}, self.index())
        if path.startswith(f"{_ROOT}/"):
            return await self.part(request, path.removeprefix(f"{_ROOT}/"))
        return routing.page_not_found()

    def parts(self) -> dict[str, Part]:
        """`api/v1`, `apis/apps/v1`, `version` … → its part."""
        if self._generation != self._registry.generation:
            self._refresh()
        return self._parts

    def _refresh(self) -> None:
        served: dict[str, list[ServedResource]] = {}
        for one in self._registry:
            served.setdefault(v3.name_of(one.gvr.api_version), []).append(one)
        now = {name: tuple(found) for name, found in served.items()}
        parts = {name: _shared(name, partial(v3.other, name, version.SHORT)) for name in v3.OTHERS}
        for name, found in now.items():
            if self._served.get(name) == found:
                parts[name] = self._parts[name]
            elif any(one.stored.custom for one in found):
                parts[name] = _of_custom(name, found)
            else:
                parts[name] = _of_built_in(name, found)
            group = found[0].gvr.group
            if group and not found[0].stored.custom:
                own = f"apis/{group}"
                parts[own] = _shared(own, partial(v3.group, group, version.SHORT))
        if {n: p.hash for n, p in parts.items()} != {n: p.hash for n, p in self._parts.items()}:
            self._whole.clear()
            self._changed_s = self._now()
        self._parts, self._served = parts, now
        self._generation = self._registry.generation

    def index(self) -> bytes:
        parts = self.parts()
        return orjson.dumps({
            "paths": {n: {"serverRelativeURL": f"{_ROOT}/{n}?hash={parts[n].hash}"} for n in sorted(parts)}
        })  # fmt: skip

    async def part(self, request: Request, name: str) -> Response:
        media_type = _accepted(request, 3)
        if media_type is None:
            return Response(406, {"Vary": "Accept"})
        part = self.parts().get(name)
        if part is None:
            return Response(404)
        headers = {"Content-Type": media_type, "Etag": f'"{part.hash}"', "Vary": "Accept"}
        asked = request.first("hash")
        if asked and asked != part.hash:
            return Response(301, {**headers, "Location": f"{_ROOT}/{name}?hash={part.hash}"})
        if asked:
            headers["Cache-Control"] = "public, immutable"
            headers["Expires"] = _http_date(self._now() + _YEAR_S)
        if _unchanged(request, part.hash):
            del headers["Content-Type"]
            return Response(304, headers)
        headers["Last-Modified"] = _http_date(self._changed_s)
        return Response(200, headers, await self._made(part.json if media_type == _JSON else part.protobuf))

    async def whole(self, request: Request) -> Response:
        headers = {"Vary": "Accept-Encoding, Accept"}
        media_type = _accepted(request, 2)
        if media_type is None:
            return Response(406, headers)
        parts = self.parts()
        told = "".join(parts[name].hash for name in sorted(parts))
        hash_ = hashlib.sha512(told.encode()).hexdigest().upper()
        headers["Etag"] = f'"{hash_}"'
        if _unchanged(request, hash_):
            return Response(304, headers)
        headers |= {"Content-Type": media_type, "Last-Modified": _http_date(self._changed_s)}
        accepted = request.headers.get("accept-encoding", "")
        if any(part.partition(";")[0].strip() == "gzip" for part in accepted.split(",")):
            headers["Content-Encoding"] = "gzip"
            return Response(200, headers, await self._document(list(parts.values()), f"{media_type} gzip"))
        return Response(200, headers, await self._document(list(parts.values()), media_type))

    async def _document(self, parts: Sequence[Part], form: str) -> bytes:
        """The OpenAPI 2 document: its media type, and `gzip` where it is that."""
        whole = self._whole
        if form not in whole:

            def make() -> bytes:
                media_type, _, packed = form.partition(" ")
                if packed:
                    plain = whole[media_type] if media_type in whole else _whole(parts, media_type)
                    return gzip.compress(plain, _GZIP_LEVEL, mtime=0)
                return _whole(parts, media_type)

            made = await self._made(make)
            if parts == list(self.parts().values()):
                whole[form] = made
            return made
        return whole[form]

    async def _made(self, make: Callable[[], bytes]) -> bytes:
        async with self._making:
            return await asyncio.get_running_loop().run_in_executor(None, make)


def _whole(parts: Sequence[Part], media_type: str) -> bytes:
    if media_type == _JSON:
        return v2.join((part.fragment() for part in parts), version.SHORT)
    found = v2.merged(part.fragment_protobuf() for part in parts)
    return gnostic.document_2(version.SHORT, found.paths, found.definitions, found.parameters, v3.SECURITY)


def _shared(name: str, build: Callable[[], Obj]) -> Part:
    """Of an address of discovery."""
    found = _built_in.get((name,))
    if found is None:
        found = _built_in[(name,)] = Part(name, None, lambda _: build())
    return found


def _of_built_in(name: str, served: Sequence[ServedResource]) -> Part:
    gvrs = tuple(one.gvr for one in served)
    # Upstream's documents say that the deletion of a namespace answers with a Status, though it does not.
    resources = [(one.resource, returns_object(one) and one.gvr.resource != "namespaces") for one in served]

    def build(version_2: bool) -> Obj:
        return v3.document(served[0].gvr.api_version, resources, version.SHORT, every_version=version_2)

    found = _built_in.get(gvrs)
    if found is None:
        found = _built_in[gvrs] = Part(name, [str(gvr) for gvr in gvrs], build)
    return found


def _of_custom(name: str, served: Sequence[ServedResource]) -> Part:
    found = [
        custom.Custom(o.resource, o.resource.list_kind, o.schema, tuple(sorted(o.kind.field_names))) for o in served
    ]
    told = [
        [
            list(o.resource.gvr),
            o.resource.kind,
            o.resource.namespaced,
            list(o.resource.subresources),
            c.selectable_fields,
            o.schema,
        ]
        for o, c in zip(served, found, strict=True)
    ]
    return Part(name, told, lambda version_2: custom.document(served[0].gvr.api_version, found, version_2=version_2))


def _accepted(request: Request, number: int) -> str | None:
    """The media type to answer with; None: nothing that can be given is accepted."""
    protobuf = _PROTOBUF[number]
    forms = {_JSON: _JSON, protobuf: protobuf, protobuf.replace(".v1.0", "@v1.0"): protobuf}
    for clause in negotiation.clauses(request.headers.get("accept", "") or "*/*"):
        if clause.media_type in forms:
            return forms[clause.media_type]
        if clause.media_type in ("*/*", "application/*"):
            return _JSON
    return None


def _unchanged(request: Request, hash_: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/") in ("*", f'"{hash_}"') for tag in given.split(",")) if given else False


def _http_date(moment_s: float) -> str:
    from email.utils import formatdate

    return formatdate(moment_s, usegmt=True)
