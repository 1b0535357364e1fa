"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from pilothouse.api.objects import copy
from pilothouse.api.patch import in_go_order


def merge_patch(document: Any, patch: Any) -> Any:
    """The document with the patch in it; neither is changed. Objects that the patch goes through come out in Go's order."""
    if not isinstance(document, dict):
        return _pruned(patch)
    if not isinstance(patch, dict):
        return copy(patch)
    out = dict(document)
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif out.get(key) is None:
            out[key] = _pruned(value)
        else:
            out[key] = merge_patch(out[key], value)
    return in_go_order(out)


def _pruned(value: Any) -> Any:
    """A new value: without nulls, save those in lists."""
    if isinstance(value, dict):
        return in_go_order({k: _pruned(v) for k, v in value.items() if v is not None})
    return [_pruned(v) for v in value] if isinstance(value, list) else value
