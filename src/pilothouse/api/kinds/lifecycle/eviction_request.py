"""EvictionRequest: somebody wishes that a pod went."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.kinds.common.declarative import enum, every, fields, immutable, required, struct
from pilothouse.api.kinds.lifecycle import targets
from pilothouse.api.objects import Obj
from pilothouse.api.printing import age

_SPEC: Final = fields({
    "target": targets.TARGET, "requester": [immutable, required, targets.prefixed_key],
    "intent": [required, enum(*targets.INTENTS)],
})  # fmt: skip
_RULES: Final = every(targets.NAME, fields({"spec": [struct(_SPEC)], "status": [struct(fields(targets.OBSERVED))]}))


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [*targets.shown(obj), spec.get("requester") or "", spec.get("intent") or "", age(obj, now_s)]


KIND = targets.kind(_RULES, _row)
