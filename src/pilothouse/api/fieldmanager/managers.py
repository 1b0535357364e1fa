"""managedFields: the managers of an object and their fields, as entries and as sets.

Source: upstream's apimachinery/pkg/util/managedfields/internal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.fieldmanager import sets
from pilothouse.api.fieldmanager.sets import Set
from pilothouse.api.objects import Obj

UPDATE_MANAGERS_MAX: Final = 10
_ANCIENT: Final = "ancient-changes"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who manages. An applier is the same in every version."""

    manager: str
    operation: str  # Apply or Update
    api_version: str
    subresource: str = ""

    def shown(self) -> str:
        name = f'"{self.manager}"'
        if self.subresource:
            name += f' with subresource "{self.subresource}"'
        return f"{name} using {self.api_version}" if self.operation == "Update" else name


@dataclass(frozen=True, slots=True)
class Managed:
    api_version: str
    fields: Set
    time: str = ""
    written: Obj | None = None  # the fields as FieldsV1, where they are what they were in the store


Managers = dict[Identity, Managed]


def _strip() -> Set:
    own = (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion",
    )  # fmt: skip
    found = sets.union(sets.of_path("f:apiVersion"), sets.of_path("f:kind"))
    found = sets.union(found, sets.of_path("f:metadata"))
    for name in own:
        found = sets.union(found, sets.of_path("f:metadata", f"f:{name}"))
    return found


STRIPPED: Final = _strip()


@cache
def paths(dotted: frozenset[str]) -> Set:
    """`spec.replicas` and its like as a set."""
    found: Set = {}
    for path in sorted(dotted):
        found = sets.union(found, sets.of_path(*(f"f:{name}" for name in path.split("."))))
    return found


def read(entries: Any, *, stored: bool = False) -> Managers:
    """`stored`: as `write` made them. Raises ValueError for entries that are none."""
    found: Managers = {}
    for entry in entries or ():
        operation = entry.get("operation", "")
        if operation not in ("Apply", "Update"):
            raise ValueError(f"metadata.managedFields operation {operation!r} is neither Apply nor Update")
        if entry.get("fieldsType") != "FieldsV1":
            raise ValueError(f"metadata.managedFields fieldsType {entry.get('fieldsType')!r} is not FieldsV1")
        version = entry.get("apiVersion", "")
        identity = Identity(
            entry.get("manager", ""), operation, version if operation == "Update" else "", entry.get("subresource", "")
        )
        fields = entry.get("fieldsV1") or {}
        written = fields if stored else None
        found[identity] = Managed(version, sets.of_fields(fields), entry.get("time") or "", written)
    return found


def write(managers: Managers) -> list[Obj]:
    """Entries in upstream's order: appliers first, then the oldest."""
    rows = sorted(
        managers.items(), key=lambda m: (m[0].operation, m[1].time, m[0].manager, m[1].api_version, m[0].subresource)
    )
    out = []
    for identity, managed in rows:
        entry: Obj = {"manager": identity.manager, "operation": identity.operation, "apiVersion": managed.api_version}
        if managed.time:
            entry["time"] = managed.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": managed.written or sets.to_fields(managed.fields)}
        if identity.subresource:
            entry["subresource"] = identity.subresource
        out.append(entry)
    return out


class Conflicts(Exception):
    """Others manage what an apply would change."""

    def __init__(self, found: dict[Identity, Set]) -> None:
        super().__init__(found)
        self.found = found

    def status(self) -> StatusError:
        shown = sorted(((i.shown(), found) for i, found in self.found.items()), key=lambda c: c[0])
        rows = [(who, sets.show(path)) for who, found in shown for path in sets.members(found)]
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path} for who, path in rows
        ]
        if len(rows) == 1:
            message = f"Apply failed with 1 conflict: conflict with {rows[0][0]}: {rows[0][1]}"
        else:
            lines = []
            for who in sorted({who for who, _ in rows}):
                lines.append(f"conflicts with {who}:")
                lines += [f"- {path}" for whose, path in rows if whose == who]
            message = f"Apply failed with {len(rows)} conflicts: " + "\n".join(lines)
        return StatusError(409, "Conflict", message, {"causes": causes})


def capped(managers: Managers) -> Managers:
    """More than ten updaters are told apart no longer: the oldest become one."""
    updaters = sorted(
        ((m.time, i.manager, i) for i, m in managers.items() if i.operation == "Update"), key=lambda u: u[:2]
    )
    if len(updaters) <= UPDATE_MANAGERS_MAX:
        return managers
    out = dict(managers)
    for _, _, identity in updaters[: len(updaters) - UPDATE_MANAGERS_MAX + 1]:
        managed = out.pop(identity)
        bucket = Identity(_ANCIENT, "Update", identity.api_version, "")
        before = out.get(bucket)
        fields = sets.union(before.fields, managed.fields) if before else managed.fields
        out[bucket] = Managed(managed.api_version, fields, managed.time)
    return out
