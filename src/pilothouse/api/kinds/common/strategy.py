"""What the create and update strategies of many kinds do: status apart from spec, generations, immutable fields.

Source: upstream's strategies (pkg/registry/*/strategy.go) and metav1.ResetObjectMetaForStatus.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import Obj

_STATUS_METADATA: Final = (
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
)


def drop_status(obj: Obj) -> None:
    """A creator sets no status. What upstream writes as an empty struct stays one."""
    if "status" in obj:
        obj["status"] = {}


def keep(new: Obj, old: Obj, name: str) -> None:
    """A field that this request may not change stays as it was."""
    if name in old:
        new[name] = old[name]
    else:
        new.pop(name, None)


def first_generation(obj: Obj) -> None:
    obj.setdefault("metadata", {})["generation"] = 1


def next_generation(new: Obj, old: Obj, *parts: str) -> None:
    """Counts a change of any of `parts`, top-level fields."""
    if not all(same(new.get(p), old.get(p)) for p in parts):
        new.setdefault("metadata", {})["generation"] = int((old.get("metadata") or {}).get("generation") or 0) + 1


def create(obj: Obj) -> None:
    """No status, generation 1."""
    drop_status(obj)
    first_generation(obj)


def update(new: Obj, old: Obj) -> None:
    """The old status; a new generation where the spec changed."""
    keep(new, old, "status")
    next_generation(new, old, "spec")


def update_without_generation(new: Obj, old: Obj) -> None:
    keep(new, old, "status")


def keep_metadata(new: Obj, old: Obj) -> None:
    """An update of status changes no labels, annotations, finalizers or owners."""
    target, source = new.setdefault("metadata", {}), old.get("metadata") or {}
    for name in _STATUS_METADATA:
        keep(target, source, name)


def keep_spec(new: Obj, old: Obj) -> None:
    """Of an update of status that may change metadata too, as those of the older kinds may."""
    keep(new, old, "spec")


def update_status(new: Obj, old: Obj) -> None:
    """Keeps all of old but status."""
    keep(new, old, "spec")
    keep_metadata(new, old)


def immutable(new: Any, old: Any, path: str, value: Any = None) -> ErrorList:
    """`value` where it differs from `new` in form (a struct as upstream's messages show it)."""
    return [] if same(new, old) else [field.invalid(path, new if value is None else value, "field is immutable")]
