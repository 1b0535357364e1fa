"""Namespace.

Source: upstream's registry/core/namespace/strategy.go and ValidateNamespace*.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.metadata import masked
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

NAME_LABEL: Final = "kubernetes.io/metadata.name"
_KUBERNETES: Final = "kubernetes"
_STANDARD: Final = frozenset({"kubernetes", "metav1.FinalizerOrphanDependents", "orphan", "foregroundDeletion"})


def _default(obj: Obj) -> None:
    metadata = meta(obj)
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), NAME_LABEL: metadata["name"]}
    status = obj.get("status")
    if isinstance(status, dict) and not status.get("phase"):
        status["phase"] = "Active"


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Active"}
    spec = obj["spec"] = dict(obj.get("spec") or {})
    finalizers = list(spec.get("finalizers") or ())
    if _KUBERNETES not in finalizers:
        finalizers.append(_KUBERNETES)
    spec["finalizers"] = finalizers
    _default(obj)


def _prepare_update(new: Obj, old: Obj) -> None:
    spec = new["spec"] = dict(new.get("spec") or {})
    keep(spec, old.get("spec") or {}, "finalizers")
    keep(new, old, "status")


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")


def finalizer_errors(obj: Obj) -> ErrorList:
    found: ErrorList = []
    for one in (obj.get("spec") or {}).get("finalizers") or ():
        wrong = names.qualified_name(one)
        found += [field.invalid("spec.finalizers", one, why) for why in wrong]
        if not wrong and "/" not in one and one not in _STANDARD:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(field.invalid("spec.finalizers", one, why))
    return found


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    phase = (new.get("status") or {}).get("phase")
    if meta(new).get("deletionTimestamp"):
        if phase != "Terminating":
            why = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            return [field.invalid("status.Phase", phase or "", why)]
    elif phase != "Active":
        return [field.invalid("status.Phase", phase or "", "may only be 'Active' if `deletionTimestamp` is empty")]
    return []


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), (obj.get("status") or {}).get("phase") or "", age(obj, now_s)]


def _fields(obj: Obj) -> dict[str, str]:
    return {"status.phase": (obj.get("status") or {}).get("phase") or ""}


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=finalizer_errors,
    validate_status=_validate_status,
    name=lambda name, prefix: names.dns1123_label(masked(name) if prefix else name),
    row=_row,
    fields=_fields,
    field_names=frozenset({"status.phase"}),
)
