"""Doing many things of a kind: a few first, then twice as many each time all went well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

FIRST: Final = 1


async def slow_start(
    count: int, do: Callable[[int], Awaitable[object]], first: int = FIRST
) -> tuple[int, Exception | None]:
    """Calls `do(index)` `count` times, in batches of 1, 2, 4, …, and stops after a batch in which one failed: where nothing
    can succeed (a quota, a broken template), the server is not flooded. Returns how many succeeded, and the first failure."""
    done = succeeded = 0
    size = min(count, first)
    while size > 0:
        results = await asyncio.gather(*(do(done + i) for i in range(size)), return_exceptions=True)
        failures = [r for r in results if isinstance(r, BaseException)]
        done += size
        succeeded += size - len(failures)
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure
            return succeeded, failure
        size = min(2 * size, count - done)
    return succeeded, None


async def all_of(todo: list[Awaitable[object]]) -> None:
    """Awaits all at the same time; raises the first failure after all have ended."""
    results = await asyncio.gather(*todo, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
