"""managedFields of writes: what the handlers of create, update, patch and apply ask of api.fieldmanager.

Source: upstream's apimachinery/pkg/util/managedfields/fieldmanager.go. An object that nobody's fields are known of stays so
until somebody applies to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import orjson

from pilothouse.api import errors
from pilothouse.api.codec import text
from pilothouse.api.codec.decode import decode, zero
from pilothouse.api.errors import StatusError
from pilothouse.api.fieldmanager import managers, moved, sets, typed, updater
from pilothouse.api.fieldmanager.managers import Conflicts, Managers
from pilothouse.api.fieldmanager.typed import Place, Unidentified
from pilothouse.api.fieldmanager.updater import Write
from pilothouse.api.objects import Obj, copy, in_order
from pilothouse.api.raw import plain
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import holds_raw, type_of
from pilothouse.apiserver.handlers.options import WriteOptions, manager_or_user_agent
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import ServedResource

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_T = TypeVar("_T")
_KUBECTL: Final = "kubectl"  # the applier for whom objects of client-side apply are taken over
_BEFORE: Final = "before-first-apply"
_ANNOTATIONS_MOST_BYTES: Final = 256 * 1024


class _Unconverted(Exception):
    """An object that only a webhook can convert is needed in another version."""

    def __init__(self, other: ServedResource, obj: Obj, key: tuple[str, bytes]) -> None:
        super().__init__(key[0])
        self.other, self.obj, self.key = other, obj, key


def _write(scope: Scope, options: WriteOptions) -> Write:
    served = scope.served
    ignored = scope.served.kind.reset_fields
    if scope.strategy is not None:
        ignored = scope.strategy.reset_fields
    manager = manager_or_user_agent(options.field_manager, scope.user_agent)
    return Write(
        served.merge_type or served.type, manager, served.gvr.api_version, scope.info.subresource,
        scope.core.clock.timestamp(), managers.paths(frozenset(ignored)), lambda *asked: _seen(scope, *asked),
    )  # fmt: skip


def _seen(scope: Scope, obj: Obj, of: str, wanted: str) -> tuple[Place, Obj] | None:
    """An object in another version of its kind. A version that is known but not served is taken to be as the request's."""
    mine, registry = scope.served, scope.core.registry
    resource = mine.gvr.resource
    base, other = (registry.get(*split_api_version(version), resource) for version in (of, wanted))
    place = typed.place_of(mine.merge_type or mine.type)
    if other is None or base is None or other.stored is not mine.stored:
        known = other is not None or type_of(GVK(*split_api_version(wanted), mine.gvk.kind)) is not None
        return (place, obj) if known else None
    place = typed.place_of(other.merge_type or other.type)
    if of == wanted:
        return place, obj
    if mine.stored.custom:
        return place, _converted(scope, other, obj, wanted)
    try:
        return place, other.outward(base.inward(copy(obj)))
    except (KeyError, TypeError, AttributeError):  # what was pruned cannot always be converted
        return place, obj


def _converted(scope: Scope, other: ServedResource, obj: Obj, wanted: str) -> Obj:
    if other.convert is None:
        return {**obj, "apiVersion": wanted}
    key = wanted, orjson.dumps(obj)
    found = scope.converted.get(key)
    if found is None:
        raise _Unconverted(other, obj, key)
    return found


async def _with_conversions(scope: Scope, work: Callable[[], _T]) -> _T:
    """Does work that is pure but for what a webhook must convert: over again, whenever it has converted another object.
    Raises StatusError where the webhook fails."""
    while True:
        try:
            return work()
        except _Unconverted as needed:
            assert needed.other.convert is not None
            [scope.converted[needed.key]] = await needed.other.convert([needed.obj])


def _known(entries: Any, *, stored: bool = True) -> Managers:
    try:
        return managers.read(entries, stored=stored)
    except (ValueError, AttributeError, TypeError):
        return {}


async def update(scope: Scope, entry: Entry | None, obj: Obj, options: WriteOptions) -> None:
    """Changes obj, of the version in memory: what this write changes belongs to its manager."""
    sent = obj["metadata"].pop("managedFields", None)
    try:
        await _with_conversions(scope, lambda: _update(scope, entry, obj, sent, options))
    except StatusError:  # as where upstream gives up on it
        _keep_managers(entry, obj)


def _keep_managers(entry: Entry | None, obj: Obj) -> None:
    if entry is not None and entry.obj["metadata"].get("managedFields"):
        obj["metadata"]["managedFields"] = entry.obj["metadata"]["managedFields"]


def _update(scope: Scope, entry: Entry | None, obj: Obj, sent: Any, options: WriteOptions) -> None:
    meta = obj["metadata"]
    served = scope.served
    if entry is None:
        old = _empty(scope, obj)
        known: Managers = {}
    else:
        old = entry.of(served)
        stored = entry.obj["metadata"].get("managedFields")
        known = (_known(sent, stored=False) if sent and sent != stored else {}) or _known(stored)
        if sent in ([], [{}]):
            return  # the client wipes them
        if not known:
            return
    new = obj if served.stored.custom else served.outward(obj)
    if scope.empties and served.type is not None and not served.stored.custom:
        new = decode(served.type, new)[0]
    try:
        found = updater.updated(_write(scope, options), old, new, known)
    except Unidentified:  # upstream gives up on it, and lets the object through
        _keep_managers(entry, obj)
        return
    if found:
        meta["managedFields"] = managers.write(found)


def _empty(scope: Scope, obj: Obj) -> Obj:
    type_ = scope.served.type
    if type_ is None or scope.served.stored.custom:
        return {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    found: Obj = zero(type_)
    return found


def put_back(scope: Scope, entry: Entry, obj: Obj, subs: tuple[Obj, Obj], options: WriteOptions) -> None:
    """The same for what was written through a subresource of another kind: `subs` is how that was, and is."""
    known = _known(entry.obj["metadata"].get("managedFields"))
    if known:
        write = _write_sub(scope, options)
        _put_back(scope, obj, known, updater.updated(write, *subs, _of_sub(scope, known)))


def apply_sub(scope: Scope, entry: Entry, obj: Obj, live: Obj, configuration: Obj, options: WriteOptions) -> Obj:
    """The subresource of another kind with the configuration applied; obj gets its managers. Raises 409 for conflicts."""
    known = _known(entry.obj["metadata"].get("managedFields"))
    write = _write_sub(scope, options)
    there = _of_sub(scope, known)
    if not there:
        assert write.type is not None
        there = updater.updated(replace(write, manager=_BEFORE), zero(write.type), live, {})
    try:
        merged, found = updater.applied(write, live, configuration, there, force=options.force)
    except Conflicts as conflicts:
        raise conflicts.status() from None
    _put_back(scope, obj, known, found)
    return merged


def _write_sub(scope: Scope, options: WriteOptions) -> Write:
    gvk = scope.sub_gvk
    assert gvk is not None
    return replace(_write(scope, options), type=type_of(gvk), api_version=gvk.api_version, ignored={}, view=None)


def _paths(scope: Scope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where the field stands in the object, and in the subresource."""
    assert scope.strategy is not None and scope.strategy.moved_fields is not None
    here, there = scope.strategy.moved_fields
    return moved.path(there), moved.path(here)


def _of_sub(scope: Scope, known: Managers) -> Managers:
    assert scope.sub_gvk is not None
    return moved.to_subresource(known, *_paths(scope), scope.sub_gvk.api_version)


def _put_back(scope: Scope, obj: Obj, known: Managers, found: Managers) -> None:
    settled = moved.to_object(known, found, *_paths(scope), scope.served.gvr.api_version)
    obj["metadata"]["managedFields"] = managers.write(settled)


async def apply(scope: Scope, entry: Entry | None, configuration: Obj, options: WriteOptions) -> Obj:
    """The object with the configuration applied, in the version of the request. Raises 409 for conflicts."""
    return await _with_conversions(scope, lambda: _apply(scope, entry, configuration, options))


def _apply(scope: Scope, entry: Entry | None, configuration: Obj, options: WriteOptions) -> Obj:
    served, write = scope.served, _write(scope, options)
    live: Obj = _empty(scope, configuration) if entry is None else entry.of(served)
    sent = live
    if served.type is not None and not served.stored.custom and holds_raw(served.type):
        live = plain(live)
    known = _known(live.get("metadata", {}).get("managedFields"))
    try:
        if entry is None:
            live = {"kind": configuration["kind"], "apiVersion": configuration["apiVersion"]}
        elif not known:
            known = updater.updated(replace(write, manager=_BEFORE), _empty(scope, live), live, {})
        merged, found = _applied(write, live, configuration, known, options)
    except Unidentified as error:
        raise errors.bad_request(f"failed to create typed live object: {error}") from None
    except Conflicts as conflicts:
        raise conflicts.status() from None
    if sent is not live:  # what changes nothing leaves RawExtensions as they were sent; else they come from maps
        merged = updater.bare(sent) if merged == updater.bare(live) else in_order(merged)
    meta = dict(merged.get("metadata") or {})
    meta["managedFields"] = managers.write(found)
    if options.field_manager == _KUBECTL and _last_applied(merged):
        meta["annotations"] = _annotated(meta["annotations"], configuration)
    return {**merged, "metadata": meta}


def _applied(
    write: Write, live: Obj, configuration: Obj, known: Managers, options: WriteOptions
) -> tuple[Obj, Managers]:
    try:
        return updater.applied(write, live, configuration, known, force=options.force)
    except Conflicts as conflicts:
        if options.field_manager != _KUBECTL:
            raise
        allowed = _taken_over(write, live)
        left = {who: rest for who, fields in conflicts.found.items() if (rest := sets.difference(fields, allowed))}
        if left:
            raise Conflicts(left) from None
    return updater.applied(write, live, configuration, known, force=True)


def _last_applied(obj: Obj) -> str:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    found = annotations.get(LAST_APPLIED)
    return found if isinstance(found, str) else ""


def _taken_over(write: Write, live: Obj) -> sets.Set:
    """What the last client-side apply set and is still so: no server-side apply of kubectl's conflicts with it."""
    try:
        last = orjson.loads(_last_applied(live))
        if last["apiVersion"] != write.api_version:
            return {}
        place = typed.place_of(write.type)
        found, changes = typed.fields_of(place, last), typed.compare(place, last, live)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    for changed in (changes.modified, changes.added, changes.removed):
        found = sets.difference(found, changed)
    return found


def _annotated(annotations: Obj, configuration: Obj) -> Obj:
    """With the configuration as the last one that was applied, so that client-side apply can go on from here."""
    meta = dict(configuration.get("metadata") or {})
    if isinstance(meta.get("annotations"), dict):
        meta["annotations"] = {k: v for k, v in meta["annotations"].items() if k != LAST_APPLIED}
    last = text.to_json({**configuration, "metadata": meta}, orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE).decode()
    others = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    size = sum(len(str(k).encode()) + len(str(v).encode()) for k, v in (*others.items(), (LAST_APPLIED, last)))
    return others if size > _ANNOTATIONS_MOST_BYTES else {**others, LAST_APPLIED: last}


def keep_times(new: Obj, old: Obj) -> Obj:
    """Where nothing but the times of managedFields changed, the old ones stay (upstream's IgnoreManagedFieldsTimestamps)."""
    after, before = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not after or not before or len(after) != len(before) or after == before:
        return new
    if [_timeless(e) for e in after] != [_timeless(e) for e in before]:
        return new
    kept = {**new, "metadata": {**new["metadata"], "managedFields": before}}
    return kept if kept == old else new


def _timeless(entry: Obj) -> Obj:
    return {k: v for k, v in entry.items() if k != "time"}
