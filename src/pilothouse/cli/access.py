"""A client of a running cluster, from its kubeconfig."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pilothouse.bootstrap import kubeconfig
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.client import Client
from pilothouse.clock import RealClock

T = TypeVar("T")
_PATIENCE_S = 10.0


def ask(directory: ClusterDirectory, question: Callable[[Client], Awaitable[T]]) -> T:
    """The answer to one question. Raises ClusterError where the cluster does not run or does not answer."""
    if directory.running() is None:
        known = directory.exists()
        hint = f'start it with "pilothouse up{directory.option()}"' if known else 'see "pilothouse list"'
        what = "is not running" if known else "does not exist"
        raise ClusterError(f'cluster "{directory.name}" {what}; {hint}')
    return asyncio.run(_ask(directory, question))


async def _ask(directory: ClusterDirectory, question: Callable[[Client], Awaitable[T]]) -> T:
    from pilothouse.api.errors import StatusError
    from pilothouse.client.https import Https

    clock = RealClock()
    client = Client(Https.from_kubeconfig(kubeconfig.read(directory.kubeconfig)), clock, user_agent="pilothouse")
    try:
        async with clock.timeout(_PATIENCE_S):
            return await question(client)
    except TimeoutError:
        raise ClusterError(f'cluster "{directory.name}" did not answer within {_PATIENCE_S:.0f} s') from None
    except StatusError as error:
        raise ClusterError(str(error)) from None
    finally:
        await client.close()
