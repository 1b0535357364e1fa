"""EvictionRequest: somebody wishes that a pod went."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, strategy
from pilothouse.api.kinds.common.conditions import conditions
from pilothouse.api.kinds.common.declarative import enum, every, fields, immutable, required, struct
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.lifecycle import targets
from pilothouse.api.objects import Obj
from pilothouse.api.printing import age

_SPEC: Final = fields({
    "target": targets.TARGET, "requester": [immutable, required, targets.prefixed_key],
    "intent": [required, enum(*targets.INTENTS)],
})  # fmt: skip
_RULES: Final = every(targets.NAME, fields({"spec": [struct(_SPEC)], "status": [struct(fields(targets.OBSERVED))]}))


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged([], _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged([], _RULES, new, old)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    found = conditions((new.get("status") or {}).get("conditions"), "status.conditions")
    return declarative.merged(found, _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [*targets.shown(obj), spec.get("requester") or "", spec.get("intent") or "", age(obj, now_s)]


KIND = Kind(
    prepare_create=strategy.create,
    prepare_update=strategy.update,
    prepare_status=strategy.update_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    unconditional_update=False,
    status_reset_fields=frozenset({"metadata", "spec"}),
)
