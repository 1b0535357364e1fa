"""Event of events.k8s.io: stored as one of the core group, with stricter rules."""

from __future__ import annotations

from pilothouse.api.kinds.core import events
from pilothouse.api.kinds.kind import Kind

KIND = Kind(
    validate=events.strict,
    validate_update=events.strict_update,
    row=events.row,
    fields=events.selectable_new,
    field_names=frozenset(events.selectable_new({})),
    decode={"v1": events.from_new},
    encode={"v1": events.to_new},
    create_on_update=True,
    reset_fields=frozenset(),
)
