"""managedFields of writes: what the handlers of create, update, patch and apply ask of api.fieldmanager.

Source: upstream's apimachinery/pkg/util/managedfields/fieldmanager.go. An object that nobody's fields are known of stays so
until somebody applies to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pilothouse.api import errors
from pilothouse.api.codec.decode import decode, zero
from pilothouse.api.fieldmanager import managers, sets
from pilothouse.api.fieldmanager.managers import Managers, Write
from pilothouse.api.fieldmanager.typed import Unidentified
from pilothouse.api.objects import Obj
from pilothouse.apiserver.handlers.options import WriteOptions, manager_or_user_agent
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry


def _write(scope: Scope, options: WriteOptions) -> Write:
    served = scope.served
    ignored = scope.served.kind.reset_fields
    if scope.strategy is not None:
        ignored = scope.strategy.reset_fields
    manager = manager_or_user_agent(options.field_manager, scope.user_agent)
    return Write(
        served.merge_type or served.type, manager, served.gvr.api_version,
        scope.info.subresource, scope.core.clock.timestamp(), managers.paths(frozenset(ignored)),
    )  # fmt: skip


def _known(entries: Any, *, stored: bool = True) -> Managers:
    try:
        return managers.read(entries, stored=stored)
    except (ValueError, AttributeError, TypeError):
        return {}


def update(scope: Scope, entry: Entry | None, obj: Obj, options: WriteOptions) -> None:
    """Changes obj, of the version in memory: what this write changes belongs to its manager."""
    meta = obj["metadata"]
    sent = meta.pop("managedFields", None)
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
        found = managers.updated(_write(scope, options), old, new, known)
    except Unidentified:  # upstream gives up on it, and lets the object through
        if entry is not None and entry.obj["metadata"].get("managedFields"):
            meta["managedFields"] = entry.obj["metadata"]["managedFields"]
        return
    if found:
        meta["managedFields"] = managers.write(found)


def _empty(scope: Scope, obj: Obj) -> Obj:
    type_ = scope.served.type
    if type_ is None or scope.served.stored.custom:
        return {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    found: Obj = zero(type_)
    return found


def moved(scope: Scope, entry: Entry, obj: Obj, options: WriteOptions) -> None:
    """The same for what was written through a subresource of another kind."""
    known = _known(entry.obj["metadata"].get("managedFields"))
    if not known:
        return
    write = _write(scope, options)
    before = known.get(write.identity("Update"))
    write = replace(write, now=before.time if before is not None else "")  # upstream writes down no time here
    obj["metadata"]["managedFields"] = managers.write(managers.updated(write, scope.present(entry), obj, known))


def apply(scope: Scope, entry: Entry | None, configuration: Obj, options: WriteOptions) -> Obj:
    """The object with the configuration applied, in the version of the request. Raises 409 for conflicts."""
    served, write = scope.served, _write(scope, options)
    live: Obj = _empty(scope, configuration) if entry is None else entry.of(served)
    known = _known(live.get("metadata", {}).get("managedFields"))
    if entry is None:
        live = {"kind": configuration["kind"], "apiVersion": configuration["apiVersion"]}
    elif not known:
        before = sets.difference(_all_of(write, live), managers.STRIPPED)
        if before:
            identity = managers.Identity("before-first-apply", "Update", write.api_version)
            known = {identity: managers.Managed(write.api_version, before, write.now)}
    try:
        merged, found = managers.applied(write, live, configuration, known, force=options.force)
    except Unidentified as error:
        raise errors.bad_request(f"failed to create typed live object: {error}") from None
    meta = dict(merged.get("metadata") or {})
    meta["managedFields"] = managers.write(found)
    return {**merged, "metadata": meta}


def _all_of(write: Write, live: Obj) -> sets.Set:
    from pilothouse.api.fieldmanager import typed

    meta = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
    return typed.fields_of(typed.place_of(write.type), {**live, "metadata": meta})


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
