"""What an evaluation goes through: its frame, with the cost so far, and its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pilothouse.api.cel import costs


class CostLimitExceeded(Exception):
    """Not an error value: nothing in the expression can catch it."""

    def __init__(self) -> None:
        super().__init__(costs.LIMIT_EXCEEDED)


class Frame:
    __slots__ = ("cost", "limit", "locals", "variables")

    def __init__(self, variables: Mapping[str, Any], limit: int) -> None:
        self.variables = variables
        self.locals: dict[str, Any] = {}
        self.cost = 0
        self.limit = limit

    def charge(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise CostLimitExceeded


Step = Callable[[Frame], Any]


class Constant:
    """A step whose value is known before."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, _: Frame) -> Any:
        return self.value
