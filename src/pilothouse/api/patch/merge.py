"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from pilothouse.api.objects import copy


def merge_patch(document: Any, patch: Any) -> Any:
    """The document with the patch in it; neither is changed."""
    if not isinstance(patch, dict):
        return copy(patch)
    out = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = merge_patch(out.get(key), value)
        else:
            out[key] = copy(value)
    return out
