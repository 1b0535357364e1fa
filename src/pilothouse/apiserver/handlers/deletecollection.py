"""DELETE of a collection: each of its objects as if by itself, not all or nothing."""

from __future__ import annotations

import dataclasses

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.apiserver import answers
from pilothouse.apiserver.handlers import bodies, delete, lists, selection
from pilothouse.apiserver.handlers.options import check_delete_options, list_options
from pilothouse.apiserver.handlers.scope import Scope


async def handle(scope: Scope) -> Response:
    listing = list_options(scope.request.query)
    chosen = selection.select(scope, listing)
    options = bodies.delete_options(scope)
    check_delete_options(options, many=True)
    entries, meta = await lists.find(scope, listing, chosen)
    await scope.prepare(entries)
    for entry in entries:
        found = entry.obj["metadata"]
        info = dataclasses.replace(scope.info, name=found["name"], namespace=found.get("namespace", ""))
        one = dataclasses.replace(scope, info=info)
        try:
            await delete.delete(one, dataclasses.replace(options))
        except StatusError as error:
            if error.code != 404:
                raise
    return await answers.of_list(scope, entries, meta)
