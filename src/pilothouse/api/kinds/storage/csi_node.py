"""CSINode."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import drop_status, keep, keep_metadata, update_without_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.storage.parameters import driver_name
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_NODE_ID_MAX: Final = 256
_GATED: Final = (Gated("CSIVolumeHealth", fields("status.storageHealth")),)


def _drivers(drivers: list[Obj]) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, driver in enumerate(drivers):
        path = f"spec.drivers[{i}]"
        name, node = driver.get("name") or "", driver.get("nodeID") or ""
        found += driver_name(name, f"{path}.name")
        if not node:
            found.append(field.required(f"{path}.nodeID"))
        if len(node.encode()) > _NODE_ID_MAX:
            found.append(field.invalid(f"{path}.nodeID", node, f"must be {_NODE_ID_MAX} characters or less"))
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None and count < 0:
            detail = "must be greater than or equal to 0"
            found.append(field.invalid(f"{path}.allocatable.count", count, detail))
        if name in seen:
            found.append(field.duplicate(f"{path}.name", name))
        seen.add(name)
        found += _topology_keys(driver.get("topologyKeys") or [], path)
    return found


def _topology_keys(keys: list[str], path: str) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for key in keys:
        if not key:
            found.append(field.required(path))
        if key in seen:
            found.append(field.duplicate(path, key))
        seen.add(key)
        found += [field.invalid(path, key, d) for d in names.qualified_name(key)]
    return found


def _validate(obj: Obj) -> ErrorList:
    return _drivers((obj.get("spec") or {}).get("drivers") or [])


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    """A driver's allocatable may change, the rest of it not."""
    drivers = (new.get("spec") or {}).get("drivers") or []
    found = _drivers(drivers)
    for before in (old.get("spec") or {}).get("drivers") or ():
        for driver in drivers:
            if driver.get("name") != before.get("name"):
                continue
            kept = {k: v for k, v in driver.items() if k != "allocatable"}
            if not same(kept, {k: v for k, v in before.items() if k != "allocatable"}):
                value = internal("storage/v1.CSINodeDriver", kept)
                found.append(field.invalid("spec.drivers", value, "field is immutable"))
    return found


def _prepare_update(new: Obj, old: Obj) -> None:
    update_without_generation(new, old)


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    keep_metadata(new, old)
    drop(_GATED, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    drivers = (obj.get("spec") or {}).get("drivers") or ()
    return [meta(obj).get("name", ""), len(drivers), age(obj, now_s)]


KIND = Kind(
    status_reset_fields=frozenset({"metadata", "spec"}),
    prepare_create=drop_status,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    unconditional_update=False,
)
