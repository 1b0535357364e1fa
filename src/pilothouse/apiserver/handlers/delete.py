"""DELETE of one object: at once, gracefully (pods), or once its finalizers are gone.

Source: upstream's registry/generic/registry/store.go (Delete) and registry/rest/delete.go, and the namespaces' own registry.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.api.kinds.apiextensions import conditions
from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import bodies, unreadable, writing
from pilothouse.apiserver.handlers.options import DeleteOptions, check_delete_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import ServedResource
from pilothouse.apiserver.registry.storage import Lost
from pilothouse.clock import format_time, parse_time

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"

# The resources whose deletion answers with the object; the others answer with a Status (upstream's ReturnDeletedObject).
_RETURN_OBJECT = frozenset(
    {
        ("", "namespaces"), ("", "persistentvolumeclaims"), ("", "persistentvolumes"), ("", "pods"),
        ("", "podtemplates"), ("", "resourcequotas"), ("", "serviceaccounts"), ("", "services"),
        ("resource.k8s.io", "deviceclasses"), ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourceclaims"), ("resource.k8s.io", "resourceclaimtemplates"),
        ("resource.k8s.io", "resourcepoolstatusrequests"), ("resource.k8s.io", "resourceslices"),
        ("storage.k8s.io", "csidrivers"), ("storage.k8s.io", "csinodes"), ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"), ("storage.k8s.io", "volumeattributesclasses"),
    }
)  # fmt: skip
# Versions of these that answer with a Status all the same.
_RETURN_STATUS = frozenset({("resource.k8s.io", "v1", "devicetaintrules")})
# Events have no dependents: upstream's strategy of them says so.
_NO_DEPENDENTS = frozenset({("", "events")})
# What is deleted without a word about its dependents leaves them behind here, as in the first versions of these kinds.
_ORPHAN_BY_DEFAULT = frozenset({("", "replicationcontrollers"), ("batch", "jobs")})
_JOBS_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


def returns_object(served: ServedResource) -> bool:
    """Whether the answer of a completed deletion is the object, and not a Status."""
    return (served.gvr.group, served.gvr.resource) in _RETURN_OBJECT and served.gvr not in _RETURN_STATUS


async def handle(scope: Scope) -> Response:
    options = bodies.delete_options(scope)
    check_delete_options(options)
    if options.ignore_read_error:
        return await unreadable.delete(scope, dry_run=bool(options.dry_run))
    result, deleted = await delete(scope, options)
    status = 202 if not deleted and options.orphan is False else 200
    if isinstance(result, Entry):
        return answers.of_entry(scope, result, status)
    return answers.of_object(scope, result, status)


async def delete(scope: Scope, options: DeleteOptions) -> tuple[Entry | Obj, bool]:
    """Deletes the object that the scope names. Returns what is left of it or a Status, and whether it is gone."""
    name = (scope.served.stored.group, scope.served.stored.resource)
    if name == ("batch", "jobs") and options.orphan is None and options.propagation is None:
        scope.warn(_JOBS_WARNING)
    entry = await _retried(scope, _SPECIAL.get(name, _attempt), options)
    if isinstance(entry, _Left):
        await scope.prepare((entry.entry,))
        return entry.entry, False
    gone = isinstance(entry, _Gone)
    return (entry.entry if returns_object(scope.served) else _status(scope, entry.entry)), gone


class _Result:
    def __init__(self, entry: Entry) -> None:
        self.entry = entry


class _Gone(_Result):
    """It is gone."""


class _Pending(_Result):
    """Its deletion is under way already, and this request changed nothing."""


class _Left(_Result):
    """It is marked, and stays until its finalizers or its grace period have gone."""


def _status(scope: Scope, entry: Entry) -> Obj:
    group, resource = scope.qualified
    meta = entry.obj["metadata"]
    details: Obj = {"name": meta.get("name", "")}
    if group:
        details["group"] = group
    details["kind"] = resource
    details["uid"] = meta.get("uid", "")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


async def _retried(
    scope: Scope, attempt: Callable[[Scope, Entry, DeleteOptions], Awaitable[_Result]], options: DeleteOptions
) -> _Result:
    """An attempt that failed on a cached object is made again on the present one, and so is one that lost a race."""
    storage, key = scope.storage, scope.key
    entry = storage.cache.get(key) if storage.cache.filled else None
    live = False
    while True:
        if entry is None and not live:
            entry, live = await storage.live(key), True
        if entry is None:
            raise scope.not_found()
        try:
            return await attempt(scope, entry, options)
        except Lost as lost:
            entry, live = lost.current, True
        except StatusError:
            if live:
                raise
            newest, live = await storage.live(key), True
            if newest is not None and newest.revision == entry.revision:
                raise
            entry = newest


def _check_preconditions(scope: Scope, entry: Entry, options: DeleteOptions) -> None:
    meta, gvk = entry.obj["metadata"], scope.served.stored.gvk
    if options.uid is not None and options.uid != meta.get("uid"):
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta.get('uid', '')}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(gvk.group, gvk.kind, scope.info.name, why)
    if options.resource_version is not None and options.resource_version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in "
            f"record ({meta['resourceVersion']}). The object might have been modified"
        )
        raise errors.conflict(gvk.group, gvk.kind, scope.info.name, why)


async def _admit(scope: Scope, entry: Entry, options: DeleteOptions) -> None:
    await scope.prepare((entry,))
    request = scope.admission("DELETE", None, scope.present(entry), options.obj(), bool(options.dry_run))
    await scope.core.admission.mutate(request)
    await scope.core.admission.validate(request)


async def _attempt(scope: Scope, entry: Entry, options: DeleteOptions) -> _Result:
    _check_preconditions(scope, entry, options)
    obj: Obj = copy(entry.obj)
    meta = obj["metadata"]
    grace = _grace(scope, obj, options)
    if grace is _PENDING:
        return _Pending(entry)
    finalizers = _finalizers(scope, meta.get("finalizers") or [], options)
    await _admit(scope, entry, options)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    now_s = scope.core.clock.now()
    if grace is None:
        if finalizers:
            _mark_deleting(meta, now_s)
            return _Left(await _replace(scope, entry, obj, options))
        if not options.dry_run:
            await _remove(scope, entry)
        return _Gone(entry)
    if finalizers or grace > 0:
        return _Left(await _replace(scope, entry, obj, options))
    # A grace period of nothing: the watchers see the object marked, and then gone.
    if options.dry_run:
        return _Gone(Entry(entry.stored, entry.key, entry.revision, obj))
    marked = await scope.storage.replace(entry, _ordered(scope, obj))
    return _Gone(await _remove(scope, marked))


async def _replace(scope: Scope, entry: Entry, obj: Obj, options: DeleteOptions) -> Entry:
    if obj == entry.obj:
        return entry
    if options.dry_run:
        return Entry(entry.stored, entry.key, entry.revision, _ordered(scope, obj))
    return await scope.storage.replace(entry, _ordered(scope, obj))


def _ordered(scope: Scope, obj: Obj) -> Obj:
    from pilothouse.apiserver.handlers import checks

    return checks.canonical(scope, obj)


async def _remove(scope: Scope, entry: Entry) -> Entry:
    gone = await scope.storage.delete(entry)
    await writing.released(scope, gone.obj)
    return gone


_PENDING = -1


def _grace(scope: Scope, obj: Obj, options: DeleteOptions) -> int | None:
    """Marks obj for a graceful deletion and returns its seconds; None where there is none, _PENDING where one is under way
    already that this request does not shorten (upstream's BeforeDelete)."""
    meta = obj["metadata"]
    wanted = options.grace_period_s
    if wanted is not None and wanted < 0:
        wanted = options.grace_period_s = 1
    period_of = scope.served.kind.grace_period_s
    if period_of is None:
        return None
    now_s = scope.core.clock.now()
    marked = meta.get("deletionTimestamp")
    if marked:
        left = meta.get("deletionGracePeriodSeconds") or 0
        left = 1 if left < 0 else left
        if left == 0:
            return None
        if wanted is None:
            options.grace_period_s = left
            return _PENDING
        if wanted >= left:
            return _PENDING
        due_s = parse_time(marked) - left + wanted
        if due_s < now_s:
            due_s = now_s
            wanted = 1 if wanted else 0
        meta["deletionTimestamp"] = format_time(due_s)
        meta["deletionGracePeriodSeconds"] = wanted
        return wanted
    period = period_of(obj, wanted)
    options.grace_period_s = period
    meta["deletionTimestamp"] = format_time(now_s + period)
    meta["deletionGracePeriodSeconds"] = period
    if meta.get("generation", 0) > 0:
        meta["generation"] += 1
    return period


def _mark_deleting(meta: Obj, now_s: float) -> None:
    marked = meta.get("deletionTimestamp")
    if not marked and meta.get("generation", 0) > 0:
        meta["generation"] += 1
    if not marked or parse_time(marked) > now_s:
        meta["deletionTimestamp"] = format_time(now_s)
    meta["deletionGracePeriodSeconds"] = 0


def _finalizers(scope: Scope, present: list[str], options: DeleteOptions) -> list[str]:
    """The object's finalizers with those of the garbage collector added or removed, as the options ask."""
    name = (scope.served.stored.group, scope.served.stored.resource)
    if name in _NO_DEPENDENTS:
        orphan = foreground = False
    elif options.orphan is not None:
        orphan, foreground = options.orphan, False
    elif options.propagation is not None:
        orphan, foreground = options.propagation == "Orphan", options.propagation == "Foreground"
    else:
        default = ORPHAN if name in _ORPHAN_BY_DEFAULT else ""
        first = next((f for f in present if f in (ORPHAN, FOREGROUND)), default)
        orphan, foreground = first == ORPHAN, first == FOREGROUND
    out = [f for f in present if f not in (ORPHAN, FOREGROUND)]
    if orphan:
        out.append(ORPHAN)
    if foreground:
        out.append(FOREGROUND)
    return present if set(out) == set(present) else out


async def _attempt_namespace(scope: Scope, entry: Entry, options: DeleteOptions) -> _Result:
    """A namespace is first told to terminate; it goes when its contents and both its kinds of finalizers are gone."""
    meta = entry.obj["metadata"]
    for name, wanted, found in (
        ("UID", options.uid, meta.get("uid", "")),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    ):
        if wanted is not None and wanted != found:
            why = f"Precondition failed: {name} in precondition: {wanted}, {name} in object meta: {found}"
            raise errors.conflict("", "namespaces", scope.info.name, why)
    if meta.get("deletionTimestamp"):
        if (entry.obj.get("spec") or {}).get("finalizers"):
            return _Left(entry)
        return await _attempt(scope, entry, options)
    await _admit(scope, entry, options)
    obj: Obj = copy(entry.obj)
    meta = obj["metadata"]
    meta["deletionTimestamp"] = scope.core.clock.timestamp()
    obj.setdefault("status", {})["phase"] = "Terminating"
    finalizers = meta.get("finalizers") or []
    orphan, foreground = ORPHAN in finalizers, FOREGROUND in finalizers
    if options.orphan is not None:
        orphan, foreground = options.orphan, not options.orphan
    elif options.propagation is not None:
        orphan, foreground = options.propagation == "Orphan", options.propagation == "Foreground"
    wanted_finalizers = [f for f in finalizers if f not in (ORPHAN, FOREGROUND)]
    wanted_finalizers += [ORPHAN] * orphan + [FOREGROUND] * foreground
    if set(wanted_finalizers) != set(finalizers):
        meta["finalizers"] = wanted_finalizers
    return _Left(await _replace(scope, entry, obj, options))


async def _attempt_definition(scope: Scope, entry: Entry, options: DeleteOptions) -> _Result:
    """The definition of a custom resource is first marked; it goes when its objects have gone."""
    meta = entry.obj["metadata"]
    for name, wanted, found in (
        ("UID", options.uid, meta.get("uid", "")),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    ):
        if wanted is not None and wanted != found:
            why = f"precondition failed: {name} in precondition: {wanted}, {name} in object meta: {found}"
            raise errors.conflict(*scope.qualified, scope.info.name, why)
    if meta.get("deletionTimestamp"):
        return await _attempt(scope, entry, options)
    await _admit(scope, entry, options)
    marked = conditions.marked_for_deletion(entry.obj, scope.core.clock.timestamp())
    return _Left(await _replace(scope, entry, marked, options))


_SPECIAL: dict[tuple[str, str], Callable[[Scope, Entry, DeleteOptions], Awaitable[_Result]]] = {
    ("", "namespaces"): _attempt_namespace,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _attempt_definition,
}
