"""Counts of replicas in statuses: none negative, none above the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.podspec.forms import non_negative
from pilothouse.api.objects import Obj


def counts(status: Obj, path: str, known: Sequence[str], within: Sequence[str]) -> ErrorList:
    """`within`: those that are parts of `replicas`, the last of them available ones."""
    found: ErrorList = []
    for name in known:
        found += non_negative(status.get(name), f"{path}.{name}")
    total = status.get("replicas") or 0
    for name in within:
        count = status.get(name) or 0
        if count > total:
            found.append(field.invalid(f"{path}.{name}", count, "cannot be greater than status.replicas"))
    return found


def available(status: Obj, path: str, ready: str = "readyReplicas") -> ErrorList:
    count = status.get("availableReplicas") or 0
    if count <= (status.get("readyReplicas") or 0):
        return []
    return [field.invalid(f"{path}.availableReplicas", count, f"cannot be greater than {ready}")]


def not_decremented(new: Any, old: Any, path: str) -> ErrorList:
    """Of an absent number only what was there can be said to shrink."""
    if old is None or new is None or new >= old:
        return []
    return [field.invalid(path, new, "cannot be decremented")]
