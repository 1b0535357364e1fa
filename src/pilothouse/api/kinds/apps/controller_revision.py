"""ControllerRevision."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, controller_of, meta
from pilothouse.api.printing import age


def _row(obj: Obj, now_s: float) -> list[Any]:
    owner = controller_of(obj)
    shown = "<none>"
    if owner is not None:
        group, slash, _ = (owner.get("apiVersion") or "").partition("/")
        kind = (owner.get("kind") or "").lower()
        shown = f"{kind}.{group}/{owner.get('name') or ''}" if slash else f"{kind}/{owner.get('name') or ''}"
    return [meta(obj).get("name", ""), shown, obj.get("revision") or 0, age(obj, now_s)]


KIND = Kind(row=_row, reset_fields=frozenset())
