"""Declarative rules on the health of volumes, as claims and pods report it (KEP-1432)."""

from __future__ import annotations

from pilothouse.api.kinds.common.declarative import (
    each,
    enum,
    fields,
    max_bytes,
    max_items,
    optional,
    optional_pointer,
    required,
    struct,
    unique,
)  # fmt: skip
from pilothouse.api.objects import Obj


def _key(condition: Obj) -> tuple[str, str]:
    return condition.get("status") or "", condition.get("reason") or ""


_CONDITION = fields(
    {
        "status": [required, enum("DataLoss", "Degraded", "Inaccessible")],
        "reason": [required, max_bytes(256)],
        "message": [optional, max_bytes(1024)],
    }
)
HEALTH_CONDITIONS = [max_items(16), optional, unique(_key), each(struct(_CONDITION), key=_key)]
HEALTH_STATUS = [optional_pointer, struct(fields({"healthConditions": HEALTH_CONDITIONS}))]
