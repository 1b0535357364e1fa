"""What groups of pods and the templates of them have in common: the fields that closed gates drop, and declarative rules."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import names
from pilothouse.api.kinds.common.declarative import (
    Check,
    Run,
    every,
    fields,
    immutable,
    long_name,
    maximum,
    minimum,
    optional,
    optional_pointer,
    refuse,
    required,
    required_pointer,
    short_name,
    struct,
    text,
    union,
)
from pilothouse.api.objects import Obj

_PRIORITY_MAX: Final = 1_000_000_000
_GATED: Final = ("schedulingConstraints", "resourceClaims", "preemptionPolicy")
path_segment: Final = text(names.path_segment, "format=k8s-path-segment-name")

_GANG: Final = fields({"minCount": [required, minimum(1)]})
_POLICY: Final = every(
    union(("basic", "gang")),
    fields({
        "basic": [immutable, optional_pointer],
        "gang": [optional_pointer, refuse(set=True, unset=True), struct(_GANG)],
    }),
)  # fmt: skip
_MODE: Final = union(("single", "all"))


def rules(*, mode_is_required: bool) -> dict[str, list[Check]]:
    """Of the fields that a group and its template share."""
    return {
        "schedulingPolicy": [struct(_POLICY)],
        "disruptionMode": [immutable, required_pointer if mode_is_required else optional_pointer, struct(_MODE)],
        "priorityClassName": [immutable, optional, long_name],
        "priority": [immutable, optional_pointer, maximum(_PRIORITY_MAX)],
    }


REFERENCE: Final[Run] = fields({"workloadName": [required, long_name], "templateName": [required, short_name]})


def drop_gated(new: Obj, old: Obj | None, more: tuple[str, ...] = ()) -> None:
    """Fields of gates that are closed go, where they are not in use."""
    for name in (*_GATED, *more):
        if name in new and not (old or {}).get(name):
            new.pop(name)


def named(item: Any) -> str:
    return (item or {}).get("name") or ""
