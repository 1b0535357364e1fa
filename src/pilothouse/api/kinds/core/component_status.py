"""ComponentStatus: never stored; what /api/v1/componentstatuses shows."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta


def _row(obj: Obj, _: float) -> list[Any]:
    status = message = error = ""
    for condition in obj.get("conditions") or ():
        if condition.get("type") == "Healthy":
            status = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            message, error = condition.get("message") or "", condition.get("error") or ""
            break
    return [meta(obj).get("name", ""), status or "Unknown", message, error]


KIND = Kind(row=_row)
