"""The conditions of flow schemas and priority levels, which have fewer rules than metav1's."""

from __future__ import annotations

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.objects import Obj


def conditions(status: Obj | None) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, condition in enumerate((status or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{i}].type", condition.get("type") or ""
        if kind in seen:
            found.append(field.duplicate(path, kind))
        seen.add(kind)
        if not kind:
            found.append(field.required(path))
    return found


def prepare_status(new: Obj, old: Obj) -> None:
    """Keeps all of old but status and the managed fields."""
    keep(new, old, "spec")
    managed = (new.get("metadata") or {}).get("managedFields")
    new["metadata"] = dict(old.get("metadata") or {})
    if managed is not None:
        new["metadata"]["managedFields"] = managed
    else:
        new["metadata"].pop("managedFields", None)
