"""metav1.Condition: what a list of them must be like."""

from __future__ import annotations

import re
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.objects import Obj

_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_is_reason = re.compile(_REASON).fullmatch
_REASON_MAX_BYTES: Final = 1024
_MESSAGE_MAX_BYTES: Final = 32 * 1024
_STATUSES: Final = ("False", "True", "Unknown")


def conditions(values: list[Obj] | None, path: str) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, condition in enumerate(values or ()):
        kind = condition.get("type") or ""
        if kind in seen:
            found.append(field.duplicate(f"{path}[{i}]", kind))
        seen.add(kind)
        found += _condition(condition, f"{path}[{i}]")
    return found


def _condition(condition: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    kind, status = condition.get("type") or "", condition.get("status") or ""
    if kind:
        found += label_name(kind, f"{path}.type")
    else:
        found.append(field.required(f"{path}.type", "is required"))
    if not status:
        found.append(field.required(f"{path}.status"))
    elif status not in _STATUSES:
        found.append(field.not_supported(f"{path}.status", status, _STATUSES))
    generation = condition.get("observedGeneration") or 0
    if generation < 0:
        found.append(field.invalid(f"{path}.observedGeneration", generation, "must be greater than or equal to zero"))
    if not condition.get("lastTransitionTime"):
        found.append(field.required(f"{path}.lastTransitionTime"))
    reason = condition.get("reason") or ""
    if not reason:
        found.append(field.required(f"{path}.reason"))
    else:
        found += [field.invalid(f"{path}.reason", reason, d) for d in condition_reason(reason)]
        if len(reason.encode()) > _REASON_MAX_BYTES:
            found.append(field.too_long(f"{path}.reason", _REASON_MAX_BYTES))
    if len((condition.get("message") or "").encode()) > _MESSAGE_MAX_BYTES:
        found.append(field.too_long(f"{path}.message", _MESSAGE_MAX_BYTES))
    return found


def condition_reason(text: str) -> list[str]:
    if _is_reason(text):
        return []
    message = (
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
        "characters or '_,:', and must end with an alphanumeric character or '_'"
    )
    return [names.pattern(message, _REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")]


def is_true(values: list[Obj] | None, kind: str) -> bool:
    """Whether the condition of that type is True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in values or ())
