"""Which feature gates are open to whoever makes or judges objects: a matter of the server that is at work, so of the context.

Source: upstream's component-base/featuregate, where it is one of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Final

from pilothouse.api.scheme import load_facts

_OPEN: Final[ContextVar[frozenset[str] | None]] = ContextVar("gates", default=None)


@cache
def _defaults() -> frozenset[str]:
    return frozenset(name for name, (default, *_) in load_facts("features").items() if default)


def opened() -> frozenset[str]:
    """The names of the gates that are open; without a server, those that upstream opens by default."""
    found = _OPEN.get()
    return _defaults() if found is None else found


def is_open(gate: str) -> bool:
    return gate in opened()


@contextmanager
def opening(gates: frozenset[str]) -> Iterator[None]:
    """Within it these are open and no others; also for the tasks that begin there."""
    token = _OPEN.set(gates)
    try:
        yield
    finally:
        _OPEN.reset(token)
