"""Workload."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import (
    each,
    every,
    fields,
    immutable,
    long_name,
    max_items,
    optional,
    optional_pointer,
    required,
    same_items,
    short_name,
    struct,
    union,
    unique,
)
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.scheduling import groups
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_TEMPLATES_MAX: Final = 8
_CONTROLLER: Final = fields({
    "apiGroup": [optional, long_name], "kind": [required, groups.path_segment], "name": [required, groups.path_segment],
})  # fmt: skip
_TEMPLATE: Final = fields({"name": [required, short_name], **groups.rules(mode_is_required=False)})
_SPEC: Final = every(
    union(("podGroupTemplates", "compositePodGroupTemplates")),
    fields({
        "controllerRef": [immutable, optional_pointer, struct(_CONTROLLER)],
        "podGroupTemplates": [
            max_items(_TEMPLATES_MAX), optional, same_items(groups.named), unique(groups.named),
            each(struct(_TEMPLATE), key=groups.named),
        ],
    }),
)  # fmt: skip
_RULES: Final = fields({"spec": [struct(_SPEC)]})


def _templates(obj: Obj) -> list[Obj]:
    found: list[Obj] = (obj.get("spec") or {}).get("podGroupTemplates") or []
    return found


def _drop_gated(new: Obj, old: Obj | None) -> None:
    before = _templates(old or {})
    for i, template in enumerate(_templates(new)):
        groups.drop_gated(template, before[i] if i < len(before) else None)
    groups.drop_gated(new.get("spec") or {}, (old or {}).get("spec"))


def _own(obj: Obj) -> ErrorList:
    priorities = {(t.get("priorityClassName") or "", t.get("priority")) for t in _templates(obj)}
    if len(priorities) < 2:
        return []
    return [field.invalid("spec", None, "detected multiple priority configurations")]


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), age(obj, now_s)]


KIND = Kind(
    prepare_create=lambda obj: _drop_gated(obj, None),
    prepare_update=_drop_gated,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    unconditional_update=False,
    reset_fields=frozenset(),
)
