"""The way of every write, from the object that a request wants to the one that the store has.

Source: upstream's registry/generic/registry/store.go and registry/rest (BeforeCreate, BeforeUpdate). The order, which clients
can tell by which error they get first: managed fields, mutating admission, allocation, strategy, validation, validating
admission, transaction. An attempt that lost a race is made again on the newer object.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pilothouse.api import errors, field
from pilothouse.api.errors import StatusError
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver.contracts import Attributes, Reservation
from pilothouse.apiserver.handlers import checks, managed, names
from pilothouse.apiserver.handlers.options import WriteOptions
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.storage import Lost

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
_GENERATED_NAME_ATTEMPTS = 8
_ATTEMPTS_MOST = 1000  # against a store that always changes underneath; the request's time ends long before

Make = Callable[[Entry | None], Awaitable[Obj]]


async def create(scope: Scope, obj: Obj, options: WriteOptions) -> Entry:
    """Creates obj, which has been through mutating admission; it is given away."""
    meta = obj["metadata"]
    if meta.get("generateName") and not meta.get("name"):
        error: StatusError | None = None
        spare = copy(obj)
        for attempt in range(_GENERATED_NAME_ATTEMPTS):
            try:
                return await _create(scope, copy(spare) if attempt else obj, options)
            except StatusError as e:
                if e.reason != "AlreadyExists":
                    raise
                error = e
        assert error is not None
        raise error
    return await _create(scope, obj, options)


async def _create(scope: Scope, obj: Obj, options: WriteOptions, *, update: bool = False) -> Entry:
    stored, kind = scope.served.stored, scope.served.kind
    meta = obj["metadata"]
    names.fill_system_fields(scope, meta)
    generated = bool(meta.get("generateName")) and not meta.get("name")
    if generated:
        meta["name"] = names.generate(scope, meta["generateName"])
    elif kind.names_itself and not meta.get("name"):
        meta["name"] = scope.core.clock.uuid()
    reservation = await _reserve(scope, obj, None, options.dry_run)
    try:
        names.settle_namespace(scope, meta)
        kind.prepare_create(obj)
        kind.author(obj, scope.user)
        kind.stamp(obj, None, scope.core.clock.timestamp())
        errs = await checks.judged(scope, obj, None, checks.create(scope, obj))
        if errs:
            raise checks.invalid(scope, meta.get("name", ""), errs)
        for text in kind.warnings(obj, None):
            scope.warn(text)
        obj = checks.canonical(scope, obj)
        meta = obj["metadata"]
        if update:
            await _authorize_create(scope)
        admission_options = options.obj("CreateOptions")
        await scope.core.admission.validate(
            scope.admission("CREATE", obj, None, admission_options, options.dry_run, meta["name"])
        )
        key = stored.key_of(obj)
        if options.dry_run:
            existing = await scope.storage.get(key)
            if existing is not None:
                raise Lost(existing)
            entry = Entry(stored, key, 0, obj)
        elif meta.get("resourceVersion", "") not in ("", "0"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        else:
            entry = await scope.storage.create(key, await scope.to_store(obj), _ttl_s(scope))
            await scope.prepare((entry,))
    except Lost as lost:
        await _settle(reservation, done=False)
        raise _exists(scope, meta["name"], generated, lost.current) from None
    except BaseException:
        await _settle(reservation, done=False)
        raise
    await _settle(reservation, done=not options.dry_run)
    return entry


def _exists(scope: Scope, name: str, generated: bool, current: Entry | None) -> StatusError:
    error = errors.already_exists(*scope.qualified, name)
    if generated:
        error.message += ", the server was not able to generate a unique name for the object"
        error.details = {**(error.details or {}), "retryAfterSeconds": 1}
    if current is not None and current.obj["metadata"].get("deletionTimestamp"):
        error.message = f"object is being deleted: {error.message}"
    return error


async def _authorize_create(scope: Scope) -> None:
    """A PUT or an apply that creates needs the leave to create as well."""
    from pilothouse.apiserver import authority

    info = scope.info
    attributes = Attributes(
        scope.user, "create", info.path, True, info.group, info.version, info.resource, info.subresource,
        info.namespace, info.name,
    )  # fmt: skip
    await authority.require(scope.core, attributes)


def _ttl_s(scope: Scope) -> int:
    return scope.core.config.event_ttl_s if scope.served.stored.resource == "events" else 0


async def _reserve(scope: Scope, new: Obj, old: Obj | None, dry_run: bool) -> Reservation | None:
    allocator = scope.core.allocators.get((scope.served.stored.group, scope.served.stored.resource))
    return await allocator.begin(new, old, dry_run) if allocator is not None else None


async def _settle(reservation: Reservation | None, *, done: bool) -> None:
    if reservation is not None:
        if done:
            await reservation.commit()
        else:
            await reservation.revert()


async def update(
    scope: Scope, make: Make, options: WriteOptions, *, uid: str = "", allow_create: bool = False
) -> tuple[Entry, bool]:
    """`make` gets the present object and returns the wanted one, in the version in memory, after mutating admission; it is
    called again where the object changed meanwhile. Returns the object, and whether it was created."""
    storage, key = scope.storage, scope.key
    allow_create = allow_create or scope.served.kind.create_on_update
    entry = storage.cache.get(key) if storage.cache.filled else None
    live = False
    for _ in range(_ATTEMPTS_MOST):
        if entry is None and not live:
            entry, live = await storage.live(key), True
        try:
            if entry is None:
                if not allow_create:
                    raise scope.not_found()
                return await _create_by_update(scope, make, options, uid), True
            return await _update(scope, entry, make, options, uid), False
        except Lost as lost:
            entry, live = lost.current, True
        except StatusError:
            if live:
                raise
            newest = await storage.live(key)
            live = True
            if newest is not None and entry is not None and newest.revision == entry.revision:
                raise
            entry = newest
    raise errors.timeout("Timeout: request did not complete within the allotted timeout")


async def _create_by_update(scope: Scope, make: Make, options: WriteOptions, uid: str) -> Entry:
    if uid:
        raise _uid_conflict(scope, uid, "")
    obj = await make(None)
    names.wipe_system_fields(obj["metadata"])
    return await _create(scope, obj, options, update=True)


def _uid_conflict(scope: Scope, wanted: str, found: str) -> StatusError:
    key = scope.key.removeprefix("/registry")
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition "
        f"failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )
    return errors.conflict(*scope.qualified, scope.info.name, why)


async def _update(scope: Scope, entry: Entry, make: Make, options: WriteOptions, uid: str) -> Entry:
    await scope.prepare((entry,))
    old = scope.present(entry)
    old_meta = old["metadata"]
    if uid and uid != old_meta.get("uid"):
        raise _uid_conflict(scope, uid, old_meta.get("uid", ""))
    new = await make(entry)
    meta = new["metadata"]
    revision = meta.get("resourceVersion", "")
    if revision in ("", "0"):
        if not scope.served.kind.unconditional_update:
            error = field.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(*scope.qualified, scope.info.name, [error])
    elif revision != old_meta["resourceVersion"]:
        raise errors.conflict(*scope.qualified, scope.info.name, MODIFIED)
    reservation = None
    if not scope.info.subresource:
        reservation = await _reserve(scope, new, old, options.dry_run)
    try:
        result, delete = await _judge(scope, entry, new, options)
        if delete:
            result = await _finish_deletion(scope, entry, result, options)
        elif not options.dry_run and result is not entry:
            result = await scope.storage.replace(entry, await scope.to_store(result.obj), _ttl_s(scope))
            await scope.prepare((result,))
    except BaseException:
        await _settle(reservation, done=False)
        raise
    await _settle(reservation, done=not options.dry_run)
    return result


async def _judge(scope: Scope, entry: Entry, new: Obj, options: WriteOptions) -> tuple[Entry, bool]:
    """Strategy, validation and validating admission. Returns what is to be stored (`entry` itself where nothing changed), and
    whether the update ends a deletion."""
    old, kind = scope.present(entry), scope.served.kind
    old_meta, meta = old["metadata"], new["metadata"]
    names.settle_namespace(scope, meta)
    _carry(meta, old_meta, "generation")
    if scope.strategy is not None and scope.strategy.prepare is not None:
        scope.strategy.prepare(new, old)
    else:
        kind.prepare_update(new, old)
    kind.stamp(new, old, scope.core.clock.timestamp())
    meta = new["metadata"]
    if not meta.get("uid"):
        meta["uid"] = old_meta["uid"]
    if old_meta.get("creationTimestamp"):
        meta["creationTimestamp"] = old_meta["creationTimestamp"]
    if old_meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = old_meta["deletionTimestamp"]
        if "deletionGracePeriodSeconds" in old_meta and "deletionGracePeriodSeconds" not in meta:
            meta["deletionGracePeriodSeconds"] = old_meta["deletionGracePeriodSeconds"]
    meta["resourceVersion"] = old_meta["resourceVersion"]
    errs: ErrorList = await checks.judged(scope, new, old, checks.update(scope, new, old))
    if errs:
        raise checks.invalid(scope, meta.get("name", ""), errs)
    own = scope.strategy.warnings if scope.strategy is not None else None
    for text in kind.warnings(new, old) if scope.strategy is None else own(new) if own is not None else ():
        scope.warn(text)
    new = managed.keep_times(checks.canonical(scope, new), old)
    await scope.core.admission.validate(
        scope.admission("UPDATE", new, old, options.obj("UpdateOptions"), options.dry_run)
    )
    meta = new["metadata"]
    if ends_deletion(meta, old_meta):
        return Entry(entry.stored, entry.key, entry.revision, new), True
    if new == old:
        return entry, False
    return Entry(entry.stored, entry.key, entry.revision, new), False


def _carry(meta: Obj, old_meta: Obj, name: str) -> None:
    if name in old_meta:
        meta[name] = old_meta[name]
    else:
        meta.pop(name, None)


def ends_deletion(meta: Obj, old_meta: Obj) -> bool:
    """The object waited for its finalizers only, and the update removes the last (upstream's ShouldDeleteDuringUpdate)."""
    return (
        bool(old_meta.get("deletionTimestamp"))
        and not meta.get("finalizers")
        and not old_meta.get("deletionGracePeriodSeconds")
    )


async def _finish_deletion(scope: Scope, entry: Entry, updated: Entry, options: WriteOptions) -> Entry:
    """Removes the object; its last writer sees it as they made it."""
    if not may_vanish(scope, updated.obj):
        # A namespace goes when its own finalizers are gone too: until then the update is one as any other.
        if options.dry_run or updated.obj == entry.obj:
            return updated
        return await scope.storage.replace(entry, updated.obj, _ttl_s(scope))
    if not options.dry_run:
        await scope.storage.delete(entry)
        await released(scope, entry.obj)
    return updated


def may_vanish(scope: Scope, obj: Obj) -> bool:
    stored = scope.served.stored
    if stored.resource == "namespaces" and not stored.group:
        return not (obj.get("spec") or {}).get("finalizers")
    return True


async def released(scope: Scope, obj: Obj) -> None:
    allocator = scope.core.allocators.get((scope.served.stored.group, scope.served.stored.resource))
    if allocator is not None:
        await allocator.release(obj)
