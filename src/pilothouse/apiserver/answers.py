"""Answers: entries, lists and other objects in the form that the client accepts. Within the process they stay objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from pilothouse.api.codec import protowrite
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.apiserver import negotiation, tables
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.negotiation import JSON, PROTOBUF, YAML, Output
from pilothouse.apiserver.registry.entries import Entry

_SLICE: Final = 1000  # entries encoded without a pause
_SLICE_PROTOBUF: Final = 50


def of_entry(scope: Scope, entry: Entry, status: int = 200) -> Response:
    output = scope.output
    if output.transform:
        return of_object(scope, tables.transform(scope, [entry], None), status)
    if scope.local:
        return _local(scope, entry.of(scope.served), status)
    if output.media_type == JSON and not output.pretty:
        return _wire(scope, entry.json(scope.served) + b"\n", JSON, status)
    if output.media_type == PROTOBUF:
        body = protowrite.envelope(scope.served.gvk, entry.message(scope.served))
        return _wire(scope, body, PROTOBUF, status)
    return of_object(scope, entry.of(scope.served), status)


async def of_list(scope: Scope, entries: Sequence[Entry], meta: Obj) -> Response:
    output, served = scope.output, scope.served
    if output.transform:
        return of_object(scope, tables.transform(scope, entries, meta))
    head: Obj = {"kind": served.resource.list_kind, "apiVersion": served.gvr.api_version, "metadata": meta}
    if scope.local:
        return _local(scope, {**head, "items": [e.of(served) for e in entries]}, 200)
    if output.media_type == JSON and not output.pretty:
        for i in range(0, len(entries) - _SLICE, _SLICE):
            for entry in entries[i : i + _SLICE]:
                entry.json(served)
            await scope.core.clock.sleep(0)
        start = orjson.dumps(head)[:-1] + b',"items":['
        if served.stored.custom:
            items = b",".join([e.json(served) for e in entries])
        else:
            # Upstream's typed lists leave kind and apiVersion out of their items.
            cut = len(b'{"kind":"","apiVersion":"",') + len(served.resource.kind) + len(served.gvr.api_version)
            items = b",{".join([e.json(served)[cut:] for e in entries])
            if entries:
                items = b"{" + items
        return _wire(scope, b"".join((start, items, b"]}\n")), JSON, 200)
    if served.stored.custom:
        return of_object(scope, {**head, "items": [e.of(served) for e in entries]})
    if output.media_type == PROTOBUF:
        return _wire(scope, await _protobuf_list(scope, entries, meta), PROTOBUF, 200)
    bare = ("kind", "apiVersion")
    shown = [{k: v for k, v in e.of(served).items() if k not in bare} for e in entries]
    return of_object(scope, {**head, "items": shown})


def of_object(scope: Scope, obj: Obj, status: int = 200) -> Response:
    """Any object that has its kind and apiVersion, as it is."""
    if scope.local:
        return _local(scope, obj, status)
    body, media_type = encode(obj, scope.output)
    return _wire(scope, body, media_type, status)


def _local(scope: Scope, obj: Obj, status: int) -> Response:
    return Response(status, {}, object=obj, warnings=scope.warnings)


def _wire(scope: Scope, body: bytes, media_type: str, status: int) -> Response:
    return Response(status, {"Content-Type": media_type}, body, warnings=scope.warnings)


def encode(obj: Obj, output: Output) -> tuple[bytes, str]:
    """The bytes of an object that says its kind, and their media type."""
    if output.media_type == PROTOBUF:
        encoded = protowrite.encode(obj)
        if encoded is not None:
            return encoded, PROTOBUF
    elif output.media_type == YAML:
        from pilothouse.api.codec import yamltext

        return yamltext.to_yaml(obj), YAML
    return to_json(obj, output.pretty), JSON


def to_json(obj: Any, pretty: bool = False) -> bytes:
    """Upstream ends what is for programs with a newline, and what is for people without one."""
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2 if pretty else orjson.OPT_APPEND_NEWLINE)


async def _protobuf_list(scope: Scope, entries: Sequence[Entry], meta: Obj) -> bytes:
    served = scope.served
    for i in range(0, len(entries) - _SLICE_PROTOBUF, _SLICE_PROTOBUF):
        for entry in entries[i : i + _SLICE_PROTOBUF]:
            entry.message(served)
        await scope.core.clock.sleep(0)
    gvk = served.gvk._replace(kind=served.resource.list_kind)
    return protowrite.envelope(gvk, protowrite.list_message(meta, [e.message(served) for e in entries]))


def error_response(error: StatusError, request: Request, local: bool) -> Response:
    """A Status, in the form that the client accepts if that can be told, else as JSON."""
    status = error.status()
    headers = dict(error.headers)
    retry_s = (error.details or {}).get("retryAfterSeconds")
    if retry_s:
        headers["Retry-After"] = str(retry_s)
    if local:
        return Response(error.code, headers, object=status)
    pretty = negotiation.wants_pretty(request.first("pretty"), request.headers.get("user-agent", ""))
    try:
        output = negotiation.output(request.headers.get("accept", ""), tables=False)
        body, media_type = encode(status, output._replace(pretty=output.pretty or pretty))
    except StatusError:
        body, media_type = to_json(status, pretty=True), JSON
    headers["Content-Type"] = media_type
    return Response(error.code, headers, body)
