"""What groups of pods and the templates of them have in common: the fields that closed gates drop, and declarative rules."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import gates, names
from pilothouse.api.kinds.common.declarative import (
    Check,
    Run,
    each,
    enum,
    every,
    fields,
    immutable,
    in_bytes,
    long_name,
    max_items,
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
    unique,
)
from pilothouse.api.objects import Obj

_PRIORITY_MAX: Final = 1_000_000_000
_CLAIMS_MAX: Final = 4
_GATES: Final = {
    "schedulingConstraints": "TopologyAwareWorkloadScheduling", "resourceClaims": "DRAWorkloadResourceClaims",
    "preemptionPolicy": "PodGroupPreemptionPolicy", "parentCompositePodGroupName": "CompositePodGroup",
    "compositePodGroupTemplates": "CompositePodGroup",
}  # fmt: skip
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


_label_key: Final = text(lambda key: in_bytes(names.qualified_name(key)), "format=k8s-label-key")
_CONSTRAINTS: Final = fields({
    "topology": [max_items(1), optional, each(struct(fields({"key": [required, _label_key]})))],
})  # fmt: skip
_CLAIM: Final = every(
    union(("resourceClaimName", "resourceClaimTemplateName")),
    fields({
        "name": [required, short_name], "resourceClaimName": [optional_pointer, long_name],
        "resourceClaimTemplateName": [optional_pointer, long_name],
    }),
)  # fmt: skip


def named(item: Any) -> str:
    return (item or {}).get("name") or ""


def rules(*, mode_is_required: bool) -> dict[str, list[Check]]:
    """Of the fields that a group and its template share."""
    return {
        "schedulingPolicy": [struct(_POLICY)],
        "schedulingConstraints": [optional_pointer, immutable, struct(_CONSTRAINTS)],
        "resourceClaims": [
            immutable,
            max_items(_CLAIMS_MAX),
            optional,
            unique(named),
            each(struct(_CLAIM), key=named),
        ],
        "disruptionMode": [immutable, required_pointer if mode_is_required else optional_pointer, struct(_MODE)],
        "priorityClassName": [immutable, optional, long_name],
        "priority": [immutable, optional_pointer, maximum(_PRIORITY_MAX)],
        "preemptionPolicy": [optional_pointer, immutable, enum("Never", "PreemptLowerPriority", zero=False)],
    }


REFERENCE: Final[Run] = fields({"workloadName": [required, long_name], "templateName": [required, short_name]})


def drop_gated(new: Obj, old: Obj | None) -> None:
    """Fields of gates that are closed go, where they are not in use."""
    for name, gate in _GATES.items():
        if name in new and not (old or {}).get(name) and not gates.is_open(gate):
            new.pop(name)
