"""CSIStorageCapacity."""

from __future__ import annotations

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import node_labels, selectors
from pilothouse.api.kinds.common.quantities import non_negative
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj


def _own(obj: Obj, *, allow_invalid_values: bool) -> ErrorList:
    found = selectors.label_selector(obj.get("nodeTopology"), "nodeTopology", allow_invalid_values=allow_invalid_values)
    name = obj.get("storageClassName") or ""
    found += [field.invalid("storageClassName", name, d) for d in names.dns1123_subdomain(name)]
    capacity = obj.get("capacity")
    return found if capacity is None else found + non_negative(capacity, "capacity")


def _validate(obj: Obj) -> ErrorList:
    return _own(obj, allow_invalid_values=False)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    lenient = bool(selectors.label_selector(old.get("nodeTopology"), ""))
    found = _own(new, allow_invalid_values=lenient)
    topology = new.get("nodeTopology")
    before = old.get("nodeTopology")
    if not same(topology, before) or (topology is None) != (before is None):
        shown = None if topology is None else internal("meta/v1.LabelSelector", topology)
        found.append(field.invalid("nodeTopology", shown, "field is immutable"))
    name = new.get("storageClassName") or ""
    if name != (old.get("storageClassName") or ""):
        found.append(field.invalid("storageClassName", name, "field is immutable"))
    return found


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    return node_labels.of_selector(new.get("nodeTopology"), "nodeTopology")


KIND = Kind(
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    unconditional_update=False,
)
