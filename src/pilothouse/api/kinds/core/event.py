"""Event of the core group."""

from __future__ import annotations

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core import events
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj


def _validate(obj: Obj) -> ErrorList:
    return events.common(obj, "reportingComponent")


KIND = Kind(
    own_metadata=False,
    validate=_validate,
    validate_update=lambda new, _old: _validate(new),
    row=events.row,
    fields=events.selectable,
    field_names=frozenset(events.selectable({})),
    create_on_update=True,
    reset_fields=frozenset(),
)
