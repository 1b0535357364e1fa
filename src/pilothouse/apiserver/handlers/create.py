"""POST of an object."""

from __future__ import annotations

from pilothouse.api.exchange import Response
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import bodies, checks, managed, names, writing
from pilothouse.apiserver.handlers.options import write_options
from pilothouse.apiserver.handlers.scope import Scope


async def handle(scope: Scope) -> Response:
    served = scope.served
    options = write_options(scope.request.query, "CreateOptions")
    obj = bodies.read(scope, served.gvk, served.type, options.validation)
    meta = obj["metadata"]
    if not scope.info.name:
        scope.info.name = meta.get("name", "")
    if served.gvk == ("", "v1", "Namespace"):
        scope.info.namespace = scope.info.name
    names.wipe_system_fields(meta)
    names.settle_namespace(scope, meta)
    served.kind.default(obj)
    obj = served.inward(obj)
    names.dedup_owners(scope, obj["metadata"], after_admission=False)
    await managed.update(scope, None, obj, options)
    checks.still_defined(scope)
    await scope.core.admission.mutate(scope.admission("CREATE", obj, None, options.obj(), options.dry_run))
    scope.served.kind.default(obj)
    names.dedup_owners(scope, obj["metadata"], after_admission=True)
    entry = await writing.create(scope, obj, options)
    return answers.of_entry(scope, entry, 201)
