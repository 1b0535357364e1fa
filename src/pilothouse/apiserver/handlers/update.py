"""PUT of an object or of a subresource that is written as its object is."""

from __future__ import annotations

from pilothouse.api.exchange import Response
from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj, copy
from pilothouse.api.types import type_of
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import bodies, checks, managed, names, writing
from pilothouse.apiserver.handlers.options import WriteOptions, write_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry


async def handle(scope: Scope) -> Response:
    served = scope.served
    options = write_options(scope.request.query, "UpdateOptions")
    if scope.strategy is not None and scope.strategy.write is not None:
        return await _other_kind(scope, options)
    sent = bodies.read(scope, served.gvk, served.type, options.validation)
    meta = sent["metadata"]
    names.settle_namespace(scope, meta)
    names.check_name(scope, meta)
    served.kind.default(sent)
    names.dedup_owners(scope, meta, after_admission=False)
    sent = served.inward(sent)

    async def make(entry: Entry | None) -> Obj:
        obj: Obj = copy(sent)
        await managed.update(scope, entry, obj, options)
        return await admitted(scope, obj, entry, options)

    entry, created = await writing.update(scope, make, options, uid=meta.get("uid", ""))
    return answers.of_entry(scope, entry, 201 if created else 200)


async def admitted(scope: Scope, obj: Obj, entry: Entry | None, options: WriteOptions) -> Obj:
    """obj after mutating admission."""
    old = None if entry is None else scope.present(entry)
    operation, given = (
        ("CREATE", options.obj("CreateOptions")) if old is None else ("UPDATE", options.obj("UpdateOptions"))
    )
    if old is None:
        checks.still_defined(scope)
    await scope.core.admission.mutate(scope.admission(operation, obj, old, given, options.dry_run))
    names.dedup_owners(scope, obj["metadata"], after_admission=True)
    scope.served.kind.default(obj)
    return obj


async def _other_kind(scope: Scope, options: WriteOptions) -> Response:
    """A subresource of a kind of its own (scale): what is sent goes into its object, and the answer is taken out again."""
    strategy, gvk = scope.strategy, scope.sub_gvk
    assert strategy is not None
    assert strategy.write is not None
    assert strategy.read is not None
    assert gvk is not None
    type_ = type_of(gvk)
    assert type_ is not None
    sent = bodies.read(scope, gvk, type_, options.validation)
    names.settle_namespace(scope, sent["metadata"])
    names.check_name(scope, sent["metadata"])
    kind_of(gvk.group, gvk.kind).default(sent)

    async def make(entry: Entry | None) -> Obj:
        assert entry is not None
        return await put_back(scope, entry, copy(sent), options)

    entry, _ = await writing.update(scope, make, options)
    return answers.of_object(scope, strategy.read(scope.present(entry)))


async def put_back(scope: Scope, entry: Entry, sub: Obj, options: WriteOptions) -> Obj:
    """The entry's object with what `sub` says, after admission of it."""
    strategy = scope.strategy
    assert strategy is not None
    assert strategy.write is not None
    assert strategy.read is not None
    present = scope.present(entry)
    old = strategy.read(present)
    await scope.core.admission.mutate(
        scope.admission("UPDATE", sub, old, options.obj("UpdateOptions"), options.dry_run)
    )
    obj: Obj = copy(present)
    strategy.write(obj, sub)
    managed.put_back(scope, entry, obj, (old, sub), options)
    return obj
