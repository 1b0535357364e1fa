"""Runs the endpoints of the table, and gives them what they may use of the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.api.objects import Obj, copy
from pilothouse.api.scheme import GVK
from pilothouse.api.types import type_of
from pilothouse.apiserver import answers, negotiation
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import AdmissionRequest, Authenticator, Authorizer, Endpoint, Objects
from pilothouse.apiserver.handlers import bodies, checks, delete
from pilothouse.apiserver.handlers.options import check_delete_options, delete_options_of_object, write_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.objects import StoredObjects
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.storage import Lost
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.clock import Clock
from pilothouse.store.interface import Store


async def handle(scope: Scope, endpoint: Endpoint, accept: str) -> Response:
    if not scope.local:
        # What is only posted (reviews, bindings, tokens …) has no table.
        scope.output = negotiation.output(
            accept, scope.core.forms, custom=scope.served.stored.custom, tables=scope.request.method != "POST"
        )
    result = await endpoint(Context(scope), scope.info, scope.request)
    if isinstance(result, Response):
        result.warnings = scope.warnings + [w for w in result.warnings if w not in scope.warnings]
        return result
    return answers.of_object(scope, result, 201 if scope.request.method == "POST" else 200)


class Context:
    """`contracts.EndpointContext` for one request."""

    def __init__(self, scope: Scope) -> None:
        core = scope.core
        self._scope = scope
        self.config: Config = core.config
        self.clock: Clock = core.clock
        self.store: Store = core.store
        self.objects: Objects = StoredObjects(core)
        self.authorizer: Authorizer = core.authorizer
        self.authenticator: Authenticator = core.authenticator

    async def decode(self, info: RequestInfo, request: Request, gvk: GVK) -> Obj:
        from pilothouse.api.kinds import kind_of

        type_ = type_of(gvk)
        assert type_ is not None, gvk
        scope = self._scope if request is self._scope.request else dataclasses.replace(self._scope, request=request)
        options = write_options(request.query, "CreateOptions")
        obj = bodies.read(scope, gvk, type_, options.validation)
        kind_of(gvk.group, gvk.kind).default(obj)
        return obj

    async def admit(self, request: AdmissionRequest) -> None:
        await self._scope.core.admission.mutate(request)
        await self._scope.core.admission.validate(request)

    async def change(
        self, group: str, resource: str, namespace: str, name: str, change: Callable[[Obj], Obj | None], *,
        dry_run: bool = False,
    ) -> Obj:  # fmt: skip
        scope = self._of(group, resource, namespace, name)
        storage, key = scope.storage, scope.key
        entry = await storage.get(key)
        while True:
            if entry is None:
                raise errors.not_found(group, resource, name)
            new = change(copy(entry.obj))
            if new is None:
                return entry.obj
            new = checks.canonical(scope, new)
            if new == entry.obj:
                return entry.obj
            if dry_run:
                return new
            try:
                return (await storage.replace(entry, new)).obj
            except Lost as lost:
                entry = lost.current

    async def delete(self, group: str, resource: str, namespace: str, name: str, options: Obj, user: UserInfo) -> Obj:
        scope = dataclasses.replace(self._of(group, resource, namespace, name), user=user)
        read = delete_options_of_object(options)
        check_delete_options(read)
        result, _ = await delete.delete(scope, read)
        return result.obj if isinstance(result, Entry) else result

    def warn(self, text: str) -> None:
        self._scope.warn(text)

    def _of(self, group: str, resource: str, namespace: str, name: str) -> Scope:
        """The scope of another object, for work on behalf of this request."""
        served = self._scope.core.registry.any_version(group, resource)
        if served is None:
            raise errors.path_not_found()
        gvr = served.gvr
        info = RequestInfo(
            True, self._scope.info.path, self._scope.info.verb, "apis" if group else "api", group, gvr.version, namespace,
            resource, "", name, (resource, name), path_name=True,
        )  # fmt: skip
        return dataclasses.replace(self._scope, served=served, info=info, strategy=None, sub_gvk=None)
