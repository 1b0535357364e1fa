"""managedFields of writes."""

from __future__ import annotations

from pilothouse.api.objects import Obj
from pilothouse.apiserver.handlers.options import WriteOptions
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry


def update(scope: Scope, entry: Entry | None, obj: Obj, options: WriteOptions) -> None:
    """Changes obj: what this write changes belongs to its manager."""


def moved(scope: Scope, entry: Entry, obj: Obj, options: WriteOptions) -> None:
    """The same for what was written through a subresource of another kind."""


def keep_times(new: Obj, old: Obj) -> Obj:
    """Where nothing but the times of managedFields changed, the old ones stay (upstream's IgnoreManagedFieldsTimestamps)."""
    return new
