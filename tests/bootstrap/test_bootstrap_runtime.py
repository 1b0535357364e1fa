"""What a process gives back."""

from __future__ import annotations

import asyncio
import ctypes

import pytest

from pilothouse.bootstrap import runtime
from pilothouse.clock import VirtualClock


@pytest.mark.parametrize("glibc", [True, False])
def test_free_memory_goes_back_now_and_then(glibc: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    asked: list[tuple[str, int]] = []

    class Library:
        if glibc:

            @staticmethod
            def malloc_trim(kept: int) -> None:
                asked.append(("malloc_trim", kept))

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)

    async def main() -> None:
        tidying = asyncio.create_task(runtime.tidy(clock))
        await clock.sleep(61)
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)

    clock.run(main())
    assert asked == [("malloc_trim", 0)] * 4 * glibc
