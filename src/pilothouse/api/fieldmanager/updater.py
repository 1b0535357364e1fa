"""How updates and applies change an object's managers, and what an apply makes of the object.

Source: structured-merge-diff's merge/update.go, and the managers around it in apimachinery/pkg/util/managedfields/internal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from pilothouse.api.fieldmanager import managers, sets, typed
from pilothouse.api.fieldmanager.managers import STRIPPED, Conflicts, Identity, Managed, Managers
from pilothouse.api.fieldmanager.sets import Set
from pilothouse.api.fieldmanager.typed import Comparison, Place
from pilothouse.api.objects import Obj
from pilothouse.api.types import Type

_UNKNOWN: Final = "unknown"

# (object, its apiVersion, the wanted one) → the object in that version and how it is taken apart; None where nobody knows
# the version.
View: TypeAlias = Callable[[Obj, str, str], tuple[Place, Obj] | None]


@dataclass(frozen=True, slots=True)
class Write:
    """One write: of what type, by whom, and which fields it ignores."""

    type: Type | None
    manager: str
    api_version: str
    subresource: str
    now: str
    ignored: Set = field(default_factory=dict)
    view: View | None = None  # for fields that were managed in other versions

    def identity(self, operation: str) -> Identity:
        version = self.api_version if operation == "Update" else ""
        return Identity(self.manager or _UNKNOWN, operation, version, self.subresource)

    def seen(self, obj: Obj, of: str, wanted: str) -> tuple[Place, Obj] | None:
        """An object of the version `of` in another one."""
        if of == wanted == self.api_version or self.view is None:
            return (typed.place_of(self.type), obj) if of == wanted else None
        return self.view(obj, of, wanted)


def updated(write: Write, old: Obj, new: Obj, known: Managers) -> Managers:
    """The managers after `old` became `new` by an update. What this write changed is its manager's alone."""
    out, changes = _settled(write, bare(old), bare(new), known, None, force=True)
    taken = sets.difference(sets.union(changes.added, changes.modified), STRIPPED)
    if taken:
        me = write.identity("Update")
        mine = out.get(me)
        fields = sets.union(mine.fields, taken) if mine else taken
        out[me] = Managed(write.api_version, fields, write.now, _written(known.get(me), fields))
    return managers.capped(out)


def applied(write: Write, live: Obj, configuration: Obj, known: Managers, *, force: bool) -> tuple[Obj, Managers]:
    """`live` with the configuration applied, and its managers then. Raises Conflicts without `force`."""
    place = typed.place_of(write.type)
    live, configuration = bare(live), bare(configuration)
    me = write.identity("Apply")
    last = known.get(me)
    mine = typed.fields_of(place, configuration)
    if write.ignored:
        mine = sets.without_below(mine, write.ignored)
    merged = typed.merge(place, live, configuration)
    now_known = {**known, me: Managed(write.api_version, mine, last.time if last is not None else "")}
    if last is not None and last.fields:
        merged = _pruned(write, merged, now_known, last)
    out, _ = _settled(write, live, merged, now_known, me, force=force)
    mine = sets.difference(mine, STRIPPED)
    if not mine:
        del out[me]
    else:
        # An apply that changes nothing is none in time.
        time = out[me].time if merged == live else write.now
        out[me] = Managed(write.api_version, mine, time, _written(last, mine))
    return merged, out


def _written(before: Managed | None, fields: Set) -> Any:
    """How the fields are written, where that was known of the same ones."""
    return before.written if before is not None and before.fields == fields else None


def bare(obj: Obj) -> Obj:
    """Without its managers."""
    meta = obj.get("metadata")
    if isinstance(meta, dict) and "managedFields" in meta:
        return {**obj, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}
    return obj


def _settled(
    write: Write, old: Obj, new: Obj, known: Managers, me: Identity | None, *, force: bool
) -> tuple[Managers, Comparison]:
    """The managers without what the change took from them, and the change in the version of the write. `me` is left alone.
    Each manager's fields are compared in the version that they were managed in; nobody manages in a version that is gone."""
    changes: dict[str, Comparison | None] = {}
    out: Managers = {}
    conflicts: dict[Identity, Set] = {}
    for identity, managed in known.items():
        if identity == me:
            out[identity] = managed
            continue
        found = _changes(write, old, new, managed.api_version, changes)
        if found is None:
            continue
        taken = sets.intersection(managed.fields, sets.union(found.added, found.modified))
        if taken:
            conflicts[identity] = taken
        rest = sets.difference(sets.difference(managed.fields, taken), found.removed)
        if rest:
            out[identity] = managed if rest == managed.fields else replace(managed, fields=rest, written=None)
    if conflicts and not force:
        raise Conflicts(conflicts)
    own = _changes(write, old, new, write.api_version, changes)
    assert own is not None
    return out, own


def _changes(
    write: Write, old: Obj, new: Obj, api_version: str, made: dict[str, Comparison | None]
) -> Comparison | None:
    if api_version not in made:
        before = write.seen(old, write.api_version, api_version)
        after = write.seen(new, write.api_version, api_version)
        found = None
        if before is not None and after is not None:
            found = typed.compare(before[0], before[1], after[1])
            for name in ("added", "modified", "removed"):
                part: Set = sets.difference(getattr(found, name), STRIPPED)
                setattr(found, name, sets.without_below(part, write.ignored) if write.ignored else part)
        made[api_version] = found
    return made[api_version]


def _pruned(write: Write, merged: Obj, known: Managers, last: Managed) -> Obj:
    """`merged` without what its manager applied before and applies no longer, unless somebody else manages it."""
    seen = write.seen(merged, write.api_version, last.api_version)
    if seen is None:
        return merged
    place, whole = seen
    at, pruned = last.api_version, typed.without(place, whole, typed.named(place, last.fields))
    owned: dict[str, Set] = {}
    for managed in known.values():
        owned[managed.api_version] = sets.union(owned.get(managed.api_version, {}), managed.fields)
    for version in sorted(owned, key=lambda v: v != last.api_version):
        full, part = write.seen(merged, write.api_version, version), write.seen(pruned, at, version)
        if full is None or part is None:
            continue
        kept = sets.union(_members(full[0], part[1]), typed.named(full[0], owned[version]))
        gone = sets.difference(_members(*full), kept)
        pruned, at = typed.without(full[0], full[1], gone), version
    part = write.seen(pruned, at, last.api_version)
    if part is not None:
        # What stands in nobody's way and was not applied before stays.
        lost = sets.difference(_members(place, whole), _members(place, part[1]))
        gone = sets.intersection(lost, typed.named(place, last.fields))
        pruned, at = typed.without(place, whole, gone), last.api_version
    back = write.seen(pruned, at, write.api_version)
    return merged if back is None else back[1]


def _members(place: Place, obj: Obj) -> Set:
    return typed.named(place, typed.fields_of(place, obj))
