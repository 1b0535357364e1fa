"""GET of one object, and of what its subresources show."""

from __future__ import annotations

from pilothouse.api import errors
from pilothouse.api.exchange import Response
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import lists
from pilothouse.apiserver.handlers.options import parse_bool
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry


async def handle(scope: Scope) -> Response:
    query = scope.request.query
    revision = ""
    if query:
        export = next((v for k, v in query if k == "export"), None)
        if export is not None and parse_bool(export):
            raise errors.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
        revision = scope.request.first("resourceVersion")
    entry = await read(scope, revision)
    if entry is None:
        raise scope.not_found()
    await scope.prepare((entry,))
    strategy = scope.strategy
    if strategy is not None and strategy.read is not None:
        if strategy.check is not None:
            strategy.check(scope.present(entry))
        return answers.of_object(scope, strategy.read(scope.present(entry)))
    return answers.of_entry(scope, entry)


async def read(scope: Scope, revision: str) -> Entry | None:
    """An empty revision reads what is newest, 0 whatever the cache has, another what is at least as new."""
    storage = scope.storage
    if not revision:
        return await storage.get(scope.key)
    wanted = lists.parse_revision(revision)
    if wanted:
        await lists.wait_for(scope, wanted)
    await storage.cache.ready()
    return storage.cache.get(scope.key)
