"""PUT of an object or of a subresource that is written as its object is."""

from __future__ import annotations

from pilothouse.api.exchange import Response
from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import bodies, names, writing
from pilothouse.apiserver.handlers.options import write_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry


async def handle(scope: Scope) -> Response:
    served = scope.served
    options = write_options(scope.request.query, "UpdateOptions")
    sent = bodies.read(scope, served.gvk, served.type, options.validation)
    meta = sent["metadata"]
    names.settle_namespace(scope, meta)
    names.check_name(scope, meta)
    served.kind.default(sent)
    names.dedup_owners(scope, meta, after_admission=False)
    sent = served.inward(sent)

    async def make(entry: Entry | None) -> Obj:
        obj: Obj = copy(sent)
        old = None if entry is None else entry.obj
        operation, given = ("CREATE", options.obj("CreateOptions")) if old is None else ("UPDATE", options.obj())
        await scope.core.admission.mutate(scope.admission(operation, obj, old, given, options.dry_run))
        names.dedup_owners(scope, obj["metadata"], after_admission=True)
        served.stored.kind.default(obj)
        return obj

    entry, created = await writing.update(scope, make, options, uid=meta.get("uid", ""))
    return answers.of_entry(scope, entry, 201 if created else 200)
