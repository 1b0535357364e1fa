"""The JSON gateway: `POST /v3/kv/range` and its siblings, each the JSON form of one gRPC method. A streaming method
takes a row of JSON requests and answers with lines of `{"result": …}`. Source of the behaviour: grpc-gateway as etcd
configures it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import orjson

from pilothouse.store.etcd.gatewayjson import check
from pilothouse.store.wire.hpack import Fields
from pilothouse.store.wire.rpc import Head, Method, RpcError, Status, pieces
from pilothouse.store.wire.server import HttpAnswer, HttpRequest

log = logging.getLogger(__name__)

_HTTP: Final = {
    Status.CANCELLED: 499, Status.INVALID_ARGUMENT: 400, Status.DEADLINE_EXCEEDED: 504, Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409, Status.PERMISSION_DENIED: 403, Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400, Status.ABORTED: 409, Status.OUT_OF_RANGE: 400, Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503, Status.UNAUTHENTICATED: 401,
}  # fmt: skip
_PASSED_ON: Final = {"authorization": b"authorization", "grpc-metadata-token": b"token"}
_ANSWERS_MAX: Final = 256  # that wait for a client which does not read


class _Transport:
    """A gateway's call comes over no connection of its own that has a certificate."""

    def get_extra_info(self, name: str) -> None:
        return None


class _Connection:
    transport = _Transport()


class GatewayCall:
    """Stands in for a `Call` where the request came as JSON."""

    def __init__(self, request: HttpRequest, messages: list[Any]) -> None:
        fields: Fields = tuple(
            (name, request.headers[header].encode()) for header, name in _PASSED_ON.items() if header in request.headers
        )
        self.head = Head("POST", request.target, "", "", None, (*fields, (b"grpcgateway-accept", b"*/*")))
        self.connection = _Connection()
        self.done = False
        self.answers: asyncio.Queue[bytes | None] = asyncio.Queue(_ANSWERS_MAX)
        self._messages = iter(messages)

    def __aiter__(self) -> GatewayCall:
        return self

    async def __anext__(self) -> Any:
        for message in self._messages:
            return message
        if self.answers.empty() and self.done:
            raise StopAsyncIteration
        await (
            asyncio.get_running_loop().create_future()
        )  # the request is at its end; the answer goes on until the client leaves
        return None

    def post_message(self, message: Any) -> None:
        self.answers.put_nowait(_bytes(message))

    async def send_message(self, message: Any) -> None:
        await self.answers.put(_bytes(message))

    async def drained(self) -> None:
        while self.answers.full():
            await asyncio.wait_for(self.answers.join(), None)


def _bytes(message: Any) -> bytes:
    return b"".join(pieces(message))


class Gateway:
    """`methods`: by the gateway's path."""

    def __init__(self, methods: Mapping[str, Method], failure: Callable[[Exception], RpcError]) -> None:
        self._methods, self._failure = methods, failure

    async def serve(self, request: HttpRequest, path: str) -> HttpAnswer:
        method = self._methods.get(path)
        if method is None:
            return _refusal(Status.NOT_FOUND, "Not Found")
        if request.method != "POST":
            return _refusal(Status.UNIMPLEMENTED, "Method Not Allowed")
        try:
            messages = _messages(method, request.body)
        except ValueError as error:
            return _refusal(Status.INVALID_ARGUMENT, str(error))
        call: Any = GatewayCall(request, messages)
        if method.client_streams:
            return HttpAnswer(200, self._stream(method, method.handler(call), call))
        if method.server_streams:
            return HttpAnswer(200, self._stream(method, method.handler(messages[0], call), call))
        try:
            response = await method.handler(messages[0], call)
        except Exception as error:
            refused = error if isinstance(error, RpcError) else self._failure(error)
            return _refusal(refused.status, str(refused))
        return HttpAnswer(200, _json(method, _bytes(response)))

    async def _stream(self, method: Method, handler: Any, call: GatewayCall) -> AsyncIterator[bytes]:
        async def run() -> None:
            try:
                await handler
            finally:
                call.done = True
                await call.answers.put(None)

        task = asyncio.create_task(run(), name="etcd gateway stream")
        try:
            while (data := await call.answers.get()) is not None:
                call.answers.task_done()
                yield b'{"result":' + _json(method, data) + b"}\n"
            await task
        except Exception as error:
            refused = error if isinstance(error, RpcError) else self._failure(error)
            yield orjson.dumps({"error": _status(refused.status, str(refused))}) + b"\n"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _messages(method: Method, body: bytes) -> list[Any]:
    """The request, or several one after the other where the method takes a stream. Raises ValueError."""
    from google.protobuf import json_format

    try:
        text = body.decode()
        documents = _documents(text) if method.client_streams else [text or "{}"]
        for document in documents:
            check(document, method.request.DESCRIPTOR)
        return [json_format.Parse(document, method.request(), ignore_unknown_fields=True) for document in documents]
    except (json_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def _documents(text: str) -> list[str]:
    """JSON documents that follow one another."""
    import json

    decoder, at, found = json.JSONDecoder(), 0, []
    text = text.strip()
    while at < len(text):
        try:
            _, stop = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise ValueError(str(error)) from None
        found.append(text[at:stop])
        at = stop
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def _json(method: Method, data: bytes) -> bytes:
    from google.protobuf import json_format

    message = method.response.FromString(data)
    return orjson.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True))


def _status(status: Status, message: str) -> dict[str, Any]:
    return {"code": int(status), "message": message}


def _refusal(status: Status, message: str) -> HttpAnswer:
    return HttpAnswer(_HTTP.get(status, 500), orjson.dumps(_status(status, message)))
