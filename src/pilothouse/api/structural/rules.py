"""x-kubernetes-validations: the rules of a schema, judged on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj
from pilothouse.api.structural.correlation import Correlated

Rules: TypeAlias = Callable[[Any, Any, Correlated | None], ErrorList]


def compiled(schema: Obj) -> Rules | None:
    """(new, old, both side by side) → the rules that are broken; None where the schema has none."""
    return None


def of_default(schema: Obj, value: Any, path: str, root: bool) -> ErrorList:
    """The rules that a default breaks."""
    return []
