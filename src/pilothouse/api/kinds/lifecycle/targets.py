"""What evictions and requests for them have in common: what is to go, who asks, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pilothouse.api import names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, strategy
from pilothouse.api.kinds.common.conditions import conditions, is_true
from pilothouse.api.kinds.common.declarative import (
    Check,
    Run,
    enum,
    every,
    fields,
    immutable,
    in_bytes,
    long_name,
    max_items,
    minimum,
    optional_pointer,
    refuse,
    required,
    rising,
    struct,
    text,
    union,
)
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj

INTENTS: Final = ("Eviction", "Withdrawn")
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_is_uuid: Final = re.compile(_UUID).fullmatch
_UUID_WORDS: Final = "must be a lowercase UUID in 8-4-4-4-12 format"
_CONDITIONS_MAX: Final = 100


def _prefixed(key: str) -> list[str]:
    wrong = in_bytes(names.qualified_name(key))
    return wrong or ([] if "/" in key else ["must include a prefix (e.g. 'example.com/key')"])


prefixed_key: Final = text(_prefixed, "format=k8s-prefixed-label-key")
_uuid: Final = text(lambda value: [] if _is_uuid(value) else [_UUID_WORDS], "format=k8s-uuid")
_TARGET: Final = every(
    union(("pod",)),
    fields({"pod": [optional_pointer, struct(fields({"name": [required, long_name], "uid": [required, _uuid]}))]}),
)
TARGET: Final = [immutable, struct(_TARGET)]
REQUESTER: Final = fields({"name": [required, prefixed_key], "intent": [required, enum(*INTENTS)]})
OBSERVED: Final[dict[str, list[Check]]] = {
    "conditions": [max_items(_CONDITIONS_MAX)],
    "observedGeneration": [optional_pointer, refuse(unset=True), minimum(1), rising],
}
NAME: Final[Run] = fields({"metadata": [struct(fields({"name": [long_name]}))]})


def shown(obj: Obj) -> list[Any]:
    """Name, target, its type and what became of it, for a table."""
    pod = ((obj.get("spec") or {}).get("target") or {}).get("pod")
    target = ["<unset>", "<unset>"] if pod is None else [pod.get("name") or "", "Pod"]
    status = obj.get("status") or {}
    state = "Progressing" if (status.get("observedGeneration") or 0) > 0 else "Pending"
    told = status.get("conditions") or []
    for outcome in ("Failed", "TargetEvicted"):
        if is_true(told, outcome):
            found = next(c for c in told if c.get("type") == outcome)
            state = f"{outcome} ({found.get('reason') or ''})"
    return [(obj.get("metadata") or {}).get("name", ""), *target, state]


def kind(rules: Run, row: Callable[[Obj, float], list[Any]]) -> Kind:
    """A kind that is judged by its declarative rules and by the conditions of its status."""

    def validate(obj: Obj) -> ErrorList:
        return declarative.merged([], rules, obj)

    def validate_update(new: Obj, old: Obj) -> ErrorList:
        return declarative.merged([], rules, new, old)

    def validate_status(new: Obj, old: Obj) -> ErrorList:
        found = conditions((new.get("status") or {}).get("conditions"), "status.conditions")
        return declarative.merged(found, rules, new, old)

    return Kind(
        prepare_create=strategy.create,
        prepare_update=strategy.update,
        prepare_status=strategy.update_status,
        validate=validate,
        validate_update=validate_update,
        validate_status=validate_status,
        row=row,
        unconditional_update=False,
        status_reset_fields=frozenset({"metadata", "spec"}),
    )
