"""x-kubernetes-validations: the rules of a schema, judged on values."""

from __future__ import annotations

from typing import Any

from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj


def of_default(schema: Obj, value: Any, path: str, root: bool) -> ErrorList:
    """The rules that a default breaks."""
    return []
