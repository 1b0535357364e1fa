"""namespaces/finalize: what a namespace waits for in `spec.finalizers`; with the last it goes.

Source: upstream's registry/core/namespace (finalizeStrategy, ValidateNamespaceFinalizeUpdate).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import SubresourceStrategy

_STANDARD: Final = frozenset({"kubernetes", "foregroundDeletion", "orphan"})


def prepare(new: Obj, old: Obj) -> None:
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


def validate(new: Obj, old: Obj) -> ErrorList:
    errs: ErrorList = []
    for i, name in enumerate((new.get("spec") or {}).get("finalizers") or []):
        path = f"spec.finalizers[{i}]"
        errs += [field.invalid(path, name, why) for why in names.qualified_name(name)]
        if "/" not in name and name not in _STANDARD:
            errs.append(
                field.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")
            )
    return errs


STRATEGY = SubresourceStrategy(prepare=prepare, validate=validate)
