"""managedFields: the managers of an object and their fields, and how updates and applies change them.

Source: upstream's apimachinery/pkg/util/managedfields/internal and structured-merge-diff's merge/update.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.fieldmanager import sets, typed
from pilothouse.api.fieldmanager.sets import Set
from pilothouse.api.objects import Obj
from pilothouse.api.types import Type

UPDATE_MANAGERS_MAX: Final = 10
_ANCIENT: Final = "ancient-changes"
_UNKNOWN: Final = "unknown"


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


@dataclass(frozen=True, slots=True)
class Write:
    """One write: of what type, by whom, and which fields it ignores."""

    type: Type | None
    manager: str
    api_version: str
    subresource: str
    now: str
    ignored: Set = field(default_factory=dict)

    def identity(self, operation: str) -> Identity:
        version = self.api_version if operation == "Update" else ""
        return Identity(self.manager or _UNKNOWN, operation, version, self.subresource)


def updated(write_: Write, old: Obj, new: Obj, managers: Managers) -> Managers:
    """The managers after `old` became `new` by an update. What this write changed is its manager's alone."""
    changes = _compared(write_, old, new)
    taken = sets.union(changes.added, changes.modified)
    out: Managers = {}
    for identity, managed in managers.items():
        rest = sets.difference(sets.difference(managed.fields, taken), changes.removed)
        if rest:
            out[identity] = managed if rest == managed.fields else replace(managed, fields=rest, written=None)
    if taken:
        me = write_.identity("Update")
        mine, before = out.get(me), managers.get(me)
        fields = sets.union(mine.fields, taken) if mine else taken
        same = before is not None and before.fields == fields
        out[me] = Managed(write_.api_version, fields, write_.now, before.written if before and same else None)
    return _capped(out)


def _compared(write_: Write, old: Obj, new: Obj) -> typed.Comparison:
    changes = typed.compare(typed.place_of(write_.type), _bare(old), _bare(new))
    for name in ("added", "modified", "removed"):
        found: Set = sets.difference(getattr(changes, name), STRIPPED)
        setattr(changes, name, sets.without_below(found, write_.ignored) if write_.ignored else found)
    return changes


def _bare(obj: Obj) -> Obj:
    meta = obj.get("metadata")
    if isinstance(meta, dict) and "managedFields" in meta:
        return {**obj, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}
    return obj


def applied(write_: Write, live: Obj, configuration: Obj, managers: Managers, *, force: bool) -> tuple[Obj, Managers]:
    """`live` with the configuration applied, and its managers then. Raises StatusError (409) for conflicts without `force`."""
    place = typed.place_of(write_.type)
    live, configuration = _bare(live), _bare(configuration)
    me = write_.identity("Apply")
    mine = sets.difference(typed.fields_of(place, configuration), STRIPPED)
    if write_.ignored:
        mine = sets.without_below(mine, write_.ignored)
    merged = typed.merge(place, live, configuration)
    last = managers.get(me)
    others = {i: m for i, m in managers.items() if i != me}
    if last is not None:
        kept = mine
        for managed in others.values():
            kept = sets.union(kept, managed.fields)
        gone = sets.difference(last.fields, mine)
        merged = typed.remove(place, merged, gone, kept)
    changes = typed.compare(place, live, merged)
    taken = sets.difference(sets.union(changes.added, changes.modified), STRIPPED)
    conflicts = {i: both for i, m in others.items() if (both := sets.intersection(m.fields, taken))}
    if conflicts and not force:
        raise _conflict(conflicts)
    out: Managers = {}
    for identity, managed in others.items():
        rest = sets.difference(sets.difference(managed.fields, conflicts.get(identity, {})), changes.removed)
        if rest:
            out[identity] = managed if rest == managed.fields else replace(managed, fields=rest, written=None)
    if mine:
        # An apply that changes nothing is none in time: upstream keeps what was there.
        time = (last.time if last is not None else "") if merged == live else write_.now
        same = last is not None and last.fields == mine
        out[me] = Managed(write_.api_version, mine, time, last.written if last and same else None)
    return merged, _capped(out)


def _conflict(conflicts: dict[Identity, Set]) -> StatusError:
    shown = sorted(((i.shown(), found) for i, found in conflicts.items()), key=lambda c: c[0])
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


def _capped(managers: Managers) -> Managers:
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
