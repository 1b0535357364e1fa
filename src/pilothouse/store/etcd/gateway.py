"""The JSON gateway: `POST /v3/kv/range` and its siblings, each the JSON form of one gRPC method. A streaming method
takes a row of JSON requests and answers with lines of `{"result": …}`. Source of the behaviour: grpc-gateway as etcd
configures it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from pilothouse.clock import Clock
from pilothouse.store.etcd.gatewayjson import messages
from pilothouse.store.wire.hpack import Fields
from pilothouse.store.wire.rpc import BadHead, Method, RpcError, Status, check_size, head_of, pieces
from pilothouse.store.wire.server import HttpAnswer, HttpRequest

log = logging.getLogger(__name__)

_HTTP: Final = {
    Status.CANCELLED: 499, Status.INVALID_ARGUMENT: 400, Status.DEADLINE_EXCEEDED: 504, Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409, Status.PERMISSION_DENIED: 403, Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400, Status.ABORTED: 409, Status.OUT_OF_RANGE: 400, Status.UNIMPLEMENTED: 501,
    Status.UNAVAILABLE: 503, Status.UNAUTHENTICATED: 401,
}  # fmt: skip
_PASSED_ON: Final = {
    "authorization": b"authorization", "grpc-metadata-token": b"token", "grpc-timeout": b"grpc-timeout",
}  # fmt: skip
_GRPC_HEADERS: Final = {"Grpc-Metadata-Content-Type": "application/grpc"}  # of an answer by a method
_MADE_ASIDE_BYTES: Final = 32 << 10  # whose JSON takes long enough to be made on a thread
_ANSWERS_MAX: Final = 256  # that wait for a client which does not read


class _Transport:
    """A gateway's call comes over no connection of its own that has a certificate."""

    def get_extra_info(self, name: str) -> None:
        return None


class _Connection:
    transport = _Transport()


class GatewayCall:
    """Stands in for a `Call` where the request came as JSON. Raises BadHead for a timeout that is none."""

    def __init__(self, request: HttpRequest, messages: Iterator[Any]) -> None:
        fields: Fields = tuple(
            (name, request.headers[header].encode()) for header, name in _PASSED_ON.items() if header in request.headers
        )
        pseudo = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", request.target.encode()))
        self.head = head_of((*pseudo, *fields, (b"grpcgateway-accept", b"*/*")))
        self.connection = _Connection()
        self.done = False
        self.answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._messages = messages

    def __aiter__(self) -> GatewayCall:
        return self

    async def __anext__(self) -> Any:
        """Ends where the body does, or with the first of it that is no message."""
        try:
            for message in self._messages:
                return message
        except ValueError as error:
            log.info("failed to decode a request: %s", error)
        raise StopAsyncIteration

    def post_message(self, message: Any) -> None:
        self.answers.put_nowait(_bytes(message))

    def post_alike(self, beginnings: Sequence[bytes], rest: bytes) -> int:
        for number, beginning in enumerate(beginnings):
            if self.congested:
                return number
            self.post_message((beginning, rest))
        return len(beginnings)

    async def send_message(self, message: Any) -> None:
        self.post_message(message)
        await self.drained()

    @property
    def congested(self) -> bool:
        return self.answers.qsize() >= _ANSWERS_MAX

    async def drained(self) -> None:
        while self.congested:
            await self.answers.join()


def _bytes(message: Any) -> bytes:
    return b"".join(pieces(message))


class Gateway:
    """`methods`: by the gateway's path; `bytes_max`: of a request's message."""

    def __init__(
        self, methods: Mapping[str, Method], failure: Callable[[Exception], RpcError], clock: Clock, bytes_max: int
    ) -> None:
        self._methods, self._failure, self._clock, self._bytes_max = methods, failure, clock, bytes_max

    async def serve(self, request: HttpRequest, path: str) -> HttpAnswer:
        method = self._methods.get(path)
        if method is None:
            return _refusal(Status.NOT_FOUND, "Not Found")
        if request.method != "POST":
            return _refusal(Status.UNIMPLEMENTED, "Method Not Allowed")
        requests = self._judged(messages(request.body, method.request))
        try:
            call: Any = GatewayCall(request, requests)
            if method.client_streams:
                return await self._stream(method, method.handler(call), call)
            message = next(requests, None) or method.request()
            if method.server_streams:
                return await self._stream(method, method.handler(message, call), call)
            response = await self._in_time(method.handler(message, call), call)
            check_size(response)
        except BadHead:
            said = request.headers["grpc-timeout"]
            return _refusal(Status.INVALID_ARGUMENT, f"invalid grpc-timeout: {said}")
        except ValueError as error:
            return _refusal(Status.INVALID_ARGUMENT, str(error))
        except RpcError as refused:
            return _refusal(refused.status, str(refused))
        return HttpAnswer(200, await _json(method, _bytes(response)), headers=dict(_GRPC_HEADERS))

    def _judged(self, requests: Iterator[Any]) -> Iterator[Any]:
        for message in requests:
            size = message.ByteSize()
            if size > self._bytes_max:
                why = f"grpc: received message larger than max ({size} vs. {self._bytes_max})"
                raise RpcError(Status.RESOURCE_EXHAUSTED, why)
            yield message

    async def _in_time(self, handler: Any, call: GatewayCall) -> Any:
        """Raises RpcError for whatever goes wrong."""
        try:
            async with self._clock.timeout(call.head.timeout_s):
                return await handler
        except RpcError:
            raise
        except TimeoutError:
            raise RpcError(Status.DEADLINE_EXCEEDED, "context deadline exceeded") from None
        except Exception as error:
            raise self._failure(error) from error

    async def _stream(self, method: Method, handler: Any, call: GatewayCall) -> HttpAnswer:
        """Answers once the first line is there, and with its status where that is a failure."""
        lines = self._lines(method, handler, call)
        try:
            first = await anext(lines, b"")
        except RpcError as refused:
            return HttpAnswer(_HTTP.get(refused.status, 500), _error_line(refused))
        return HttpAnswer(200, _with_first(first, lines), headers=dict(_GRPC_HEADERS))

    async def _lines(self, method: Method, handler: Any, call: GatewayCall) -> AsyncGenerator[bytes]:
        async def run() -> None:
            try:
                await self._in_time(handler, call)
            finally:
                call.done = True
                await call.answers.put(None)

        task = asyncio.create_task(run(), name="etcd gateway stream")
        try:
            while (data := await call.answers.get()) is not None:
                call.answers.task_done()
                yield b'{"result":' + await _json(method, data) + b"}\n"
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _with_first(first: bytes, lines: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for line in lines:
            yield line
    except RpcError as refused:
        yield _error_line(refused)
    finally:
        await lines.aclose()


def _error_line(refused: RpcError) -> bytes:
    return orjson.dumps({"error": _status(refused.status, str(refused))}) + b"\n"


async def _json(method: Method, data: bytes) -> bytes:
    from google.protobuf import json_format

    def made() -> bytes:
        message = method.response.FromString(data)
        return orjson.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True))

    if len(data) < _MADE_ASIDE_BYTES:
        return made()
    return await asyncio.get_running_loop().run_in_executor(None, made)


def _status(status: Status, message: str) -> dict[str, Any]:
    return {"code": int(status), "message": message}


def _refusal(status: Status, message: str) -> HttpAnswer:
    return HttpAnswer(_HTTP.get(status, 500), orjson.dumps(_status(status, message)))
