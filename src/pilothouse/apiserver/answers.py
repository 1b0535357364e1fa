"""Answers: entries, lists and other objects in the form that the client accepts. Within the process they stay objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import orjson

from pilothouse.api.codec import protowrite, text
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.apiserver import negotiation, slices, tables
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.negotiation import CBOR, JSON, PROTOBUF, YAML, Forms, Output
from pilothouse.apiserver.pacing import Pace
from pilothouse.apiserver.registry.entries import Entry

_READ_AT_ONCE: Final = 10  # between two looks at the clock
_WHOLE_BYTES: Final = 2 * slices.SLICE_BYTES


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
    output, served, pace = scope.output, scope.served, Pace(scope.core.clock)
    plain = output.media_type == JSON and not output.pretty
    if output.transform:
        if plain and entries and not scope.local:
            return await _sliced(scope, tables.of_list(scope, entries, meta, pace), JSON, pace)
        return of_object(scope, tables.transform(scope, entries, meta))
    if served.stored.custom:
        meta = {"continue": "", **meta}  # upstream's untyped lists always say it
    head: Obj = {"kind": served.resource.list_kind, "apiVersion": served.gvr.api_version, "metadata": meta}
    if scope.local:
        return _local(scope, {**head, "items": await _shown(scope, entries, pace)}, 200)
    if plain:
        return await _sliced(scope, slices.json(served, entries, head), JSON, pace)
    if output.media_type == PROTOBUF and not served.stored.custom:
        for entry in [entry for entry in entries if not entry.has_message(served)]:
            entry.message(served)
            await pace.rest()
        return await _sliced(scope, slices.protobuf(served, entries, meta), PROTOBUF, pace)
    if output.media_type == JSON:
        return await _sliced(scope, slices.pretty(served, entries, head, pace), JSON, pace)
    if output.media_type == CBOR:
        return await _sliced(scope, slices.cbor(served, entries, head, pace), CBOR, pace)
    return await _sliced(scope, slices.yaml(served, entries, head, pace), YAML, pace)


async def _shown(scope: Scope, entries: Sequence[Entry], pace: Pace) -> list[Obj]:
    """The entries' objects, which may have to be read from their bytes."""
    found: list[Obj] = []
    for i in range(0, len(entries), _READ_AT_ONCE):
        found += [entry.of(scope.served) for entry in entries[i : i + _READ_AT_ONCE]]
        await pace.rest()
    return found


async def _sliced(scope: Scope, made: Iterator[bytes], media_type: str, pace: Pace) -> Response:
    """What is no longer than two slices is an answer as any other."""
    begun: list[bytes] = []
    size = 0
    for one in made:
        begun.append(one)
        size += len(one)
        if size > _WHOLE_BYTES:
            response = _wire(scope, b"", media_type, 200)
            response.slices = chain(begun, made)
            return response
        await pace.rest()
    return _wire(scope, b"".join(begun), media_type, 200)


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
    elif output.media_type == CBOR:
        from pilothouse.api.codec import cbor

        return cbor.encode(obj), CBOR
    return to_json(obj, output.pretty), JSON


def to_json(obj: Any, pretty: bool = False) -> bytes:
    """Upstream ends what is for programs with a newline, and what is for people without one."""
    return text.to_json(obj, orjson.OPT_INDENT_2 if pretty else orjson.OPT_APPEND_NEWLINE)


def error_response(error: StatusError, request: Request, local: bool, forms: Forms) -> Response:
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
        output = negotiation.output(request.headers.get("accept", ""), forms, transforms=False)
        body, media_type = encode(status, output._replace(pretty=output.pretty or pretty))
    except StatusError:
        body, media_type = to_json(status, pretty=True), JSON
    headers["Content-Type"] = media_type
    return Response(error.code, headers, body)
