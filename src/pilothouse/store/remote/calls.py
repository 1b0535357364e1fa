"""`Calls`: one request and its answer, from whichever member gives one. What may be repeated is, until the time is up.

Source: the retry rules of etcd's Go client (`retry_interceptor.go`): 25 ms between attempts, give or take 10 %.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from pilothouse.clock import Clock
from pilothouse.store.interface import InvalidRequest, Unavailable
from pilothouse.store.remote.endpoints import Endpoint, Endpoints, metadata
from pilothouse.store.remote.failures import REQUEST_BYTES_MOST, failure_of, is_unanswered, is_unsent
from pilothouse.store.rpc.services import Method

log = logging.getLogger(__name__)

CALL_S: Final = 60.0  # for all attempts together: the API server's longest request
ATTEMPT_S: Final = 10.0  # a member that works answers within 7 s, if only to say that it could not
PROPOSAL_S: Final = 3.0  # a write that a member gave to a leader which is no more is lost; there is a new one by then
BACKOFF_S: Final = 0.025
_JITTER: Final = 0.1


class Answer(NamedTuple):
    response: Any
    repeated: bool  # an earlier attempt was not answered: it may have been carried out


class Calls:
    def __init__(self, endpoints: Endpoints, clock: Clock) -> None:
        self.endpoints, self.clock = endpoints, clock

    async def unary(
        self,
        method: Method,
        request: Any,
        *,
        repeat: bool,
        first_s: float = ATTEMPT_S,
        renew: Callable[[], Awaitable[Any]] | None = None,
    ) -> Answer:
        """`repeat`: asking twice does no harm; `first_s`: how long the first attempt may take; `renew`: makes the request that
        is sent after one that was not answered. Raises the store's errors."""
        data = request.SerializeToString()
        if len(data) > REQUEST_BYTES_MOST:
            why = f"trying to send message larger than max ({len(data)} vs. {REQUEST_BYTES_MOST})"
            raise InvalidRequest(f"rpc error: code = ResourceExhausted desc = {why}")
        try:
            async with self.clock.timeout(CALL_S):
                return await self._attempts(method, data, repeat, first_s, renew)
        except TimeoutError:
            raise Unavailable("context deadline exceeded") from None

    async def _attempts(
        self, method: Method, data: bytes, repeat: bool, attempt_s: float, renew: Callable[[], Awaitable[Any]] | None
    ) -> Answer:
        import grpc

        endpoint: Endpoint | None = None
        repeated = False
        while True:
            endpoint = await self.endpoints.pick(endpoint)
            began_s = self.clock.monotonic()
            call = endpoint.call(method)(data, timeout=attempt_s, metadata=metadata())
            if repeat:
                endpoint.waiting[call] = began_s
            try:
                return Answer(await call, repeated)
            except grpc.aio.AioRpcError as error:
                if not is_unsent(error):
                    if not (repeat and is_unanswered(error)):
                        raise failure_of(error) from None
                    repeated = True
                    if self.clock.monotonic() - began_s > ATTEMPT_S - 1:
                        self.endpoints.doubt(endpoint)  # it said nothing at all, not that it could not
                log.info("%s of %s: %s", method.name, endpoint.url, error.details())
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                if self.endpoints.closed:
                    raise Unavailable("the store is closed") from None  # its channel was closed under the call
                repeated = True  # the endpoint was abandoned
            finally:
                endpoint.waiting.pop(call, None)
                attempt_s = ATTEMPT_S
            await self.backoff()
            if repeated and renew is not None:
                data = (await renew()).SerializeToString()

    async def backoff(self) -> None:
        await self.clock.sleep(BACKOFF_S * (1 + _JITTER * (2 * self.clock.random.random() - 1)))
