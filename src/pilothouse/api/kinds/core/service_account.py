"""ServiceAccount."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def _prepare_create(obj: Obj) -> None:
    """Of a reference to a secret upstream keeps its name alone."""
    if obj.get("secrets"):
        obj["secrets"] = [{"name": s["name"]} if s.get("name") else {} for s in obj["secrets"]]


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    prepare_create=_prepare_create,
    prepare_update=lambda new, _old: _prepare_create(new),
    row=_row,
    reset_fields=frozenset(),
)
