"""Deletion of an object that the store cannot give back, which only somebody with a leave of its own may ask for
(`ignoreStoreReadErrorWithClusterBreakingPotential`, KEP-3926): without preconditions, finalizers and admission.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.exchange import Response
from pilothouse.api.objects import Obj
from pilothouse.apiserver import answers
from pilothouse.apiserver.contracts import Attributes
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.handlers.writing import MODIFIED

_VERB: Final = "unsafe-delete-ignore-read-errors"


async def delete(scope: Scope, *, dry_run: bool) -> Response:
    """Raises StatusError: 403 for whom may not, 404, and 409 for an object that can be read."""
    info, name = scope.info, scope.info.name
    ask = Attributes(
        scope.user, _VERB, info.path, True, info.group, info.version, info.resource, "", info.namespace, name
    )
    decision = await scope.core.authorizer.authorize(ask)
    if not decision.allowed:
        why = f'not permitted to do "{_VERB}", reason: {decision.reason}'
        raise errors.forbidden(*scope.qualified, name, why)
    revision = await scope.storage.unreadable(scope.key)
    if revision is None:
        raise scope.not_found()
    if not revision:
        why = "unsafe deletion is not allowed because the object is decodable from storage"
        told = f"invalid object, Code: 4, Key: {scope.key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
        raise errors.conflict(*scope.qualified, name, f"StorageError: {told}")
    if not dry_run and not await scope.storage.remove(scope.key, revision):
        raise errors.conflict(*scope.qualified, name, MODIFIED)
    details: Obj = {"name": name, "kind": scope.served.gvk.kind}
    done: Obj = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
        "code": 200,
    }
    return answers.of_object(scope, done)
