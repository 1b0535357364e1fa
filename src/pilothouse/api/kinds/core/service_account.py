"""ServiceAccount."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), age(obj, now_s)]


KIND = Kind(row=_row, reset_fields=frozenset())
