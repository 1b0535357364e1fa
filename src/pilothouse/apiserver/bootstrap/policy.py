"""Brings the default RBAC policy of an existing cluster up to this version: adds what is missing, never takes away.

Source: upstream's documentation "Using RBAC Authorization", auto-reconciliation.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver.authorization.rules import uncovered

GROUP: Final = "rbac.authorization.k8s.io"
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def reconcile(present: Obj, wanted: Obj) -> Obj | None:
    """`present` with what `wanted` has and it lacks; None where nothing is missing or its owner opted out."""
    meta = present["metadata"]
    if (meta.get("annotations") or {}).get(_AUTOUPDATE) == "false":
        return None
    changes: Obj = {}
    for field in ("labels", "annotations"):
        own, default = meta.get(field) or {}, wanted["metadata"].get(field) or {}
        if any(name not in own for name in default):
            changes[field] = {**default, **own}
    new: Obj = {}
    if "roleRef" in wanted:
        if present.get("roleRef") != wanted["roleRef"]:
            return None  # a role cannot change; upstream deletes the binding and creates it, which cuts its users off
        _extend(new, "subjects", present, _missing_subjects(present, wanted))
    elif wanted.get("aggregationRule"):
        if not present.get("aggregationRule"):
            new["aggregationRule"] = wanted["aggregationRule"]
    else:
        _extend(new, "rules", present, uncovered(present.get("rules") or [], wanted.get("rules") or []))
    if not changes and not new:
        return None
    out: Obj = copy(present)
    out["metadata"].update(changes)
    out.update(copy(new))
    return out


def _extend(new: Obj, field: str, present: Obj, missing: list[Any]) -> None:
    if missing:
        new[field] = [*(present.get(field) or ()), *missing]


def _missing_subjects(present: Obj, wanted: Obj) -> list[Any]:
    own = present.get("subjects") or []
    return [s for s in wanted.get("subjects") or () if s not in own]
