"""`APIServer`: the whole pipeline from a request to its answer.

Upstream's order: request info, panic guard, authentication, impersonation, flow control, authorization, handler.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pilothouse.api import errors, gates
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.apiserver import (
    admission,
    allocators,
    answers,
    authentication,
    authority,
    authorization,
    endpoints,
    features,
    flowcontrol,
    negotiation,
    requestinfo,
    routing,
)
from pilothouse.apiserver.bootstrap import ensure
from pilothouse.apiserver.classification import FLOW_SCHEMA, PRIORITY_LEVEL, Classifier
from pilothouse.apiserver.compactor import Compactor
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Attributes
from pilothouse.apiserver.core import Backend, Core
from pilothouse.apiserver.customresources import CustomResources
from pilothouse.apiserver.endpoints import special, status
from pilothouse.apiserver.handlers import create, delete, deletecollection, get, lists, patch, update, watch
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.health import Health
from pilothouse.apiserver.judgements import Judgements
from pilothouse.apiserver.metrics import Metrics
from pilothouse.apiserver.nonresource import NonResource
from pilothouse.apiserver.objects import StoredObjects
from pilothouse.apiserver.registry.feed import Feed
from pilothouse.apiserver.registry.resources import Registry, built_in
from pilothouse.apiserver.registry.storage import Leases, store_failure
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.clock import Clock
from pilothouse.store.interface import Store, StoreError

log = logging.getLogger(__name__)

_HANDLERS: Final[dict[str, Callable[[Scope], Awaitable[Response]]]] = {
    "get": get.handle,
    "list": lists.handle,
    "watch": watch.handle,
    "create": create.handle,
    "update": update.handle,
    "patch": patch.handle,
    "delete": delete.handle,
    "deletecollection": deletecollection.handle,
}


class APIServer:
    """`await start()`, `await handle(request)`, `await stop()`. `objects` is the server's own view of the cluster."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: Config | None = None,
        overrides: Mapping[tuple[str, str], Store] | None = None,
    ) -> None:
        """`overrides`: by group and resource, the stores of those that do not lie in `store`."""
        self.config = config or Config()
        self.store, self.clock = store, clock
        self.registry = Registry()
        feed, leases = Feed(store, clock), Leases(store, clock)
        self.core = Core(store, clock, self.config, self.registry, feed, leases, self.handle)
        self.objects = StoredObjects(self.core)
        self.ready = False
        self._gates = features.enabled(self.config.feature_gates)
        self._limit = flowcontrol.Limit(self.config.max_requests_inflight, self.config.max_mutating_requests_inflight)
        self._classifier = Classifier(self.objects)
        self._metrics = Metrics(clock.now())
        others = list(dict.fromkeys((overrides or {}).values()))
        backends = {id(other): Backend(other, Feed(other, clock), Leases(other, clock)) for other in others}
        self.core.overrides = {name: backends[id(other)] for name, other in (overrides or {}).items()}
        self._stores = [store, *others]
        health = Health(self._stores, lambda: self.ready, self.core.stopping.is_set, clock)
        self._nonresource = NonResource(self.core, health, self._metrics, self._limit.used)

    async def start(self) -> None:
        """Returns once the server can answer. What a new cluster holds from the start is in place then."""
        try:
            with gates.opening(self._gates):
                await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        if gates.is_open("CBORServingAndStorage"):
            self.core.forms = negotiation.WITH_CBOR
        self.registry.add(*built_in(self.config.runtime_config, self.config.feature_gates))
        await asyncio.gather(*(feed.start() for feed in self.core.feeds()))
        for served in self.registry:
            if "list" in served.resource.verbs:
                self.core.storage(served.stored)
        await asyncio.gather(*(s.cache.ready() for s in self.core.storages()))
        await self._build_policy()
        await CustomResources(self.core, self.objects).start()
        Judgements(self.core, self.objects).start()
        if self.config.etcd_compaction_interval_s > 0:
            for store in self._stores:
                compactor = Compactor(store, self.clock, self.config.etcd_compaction_interval_s)
                self.core.tasks.spawn(compactor.run(), "compactor")
        self.ready = True

    async def _build_policy(self) -> None:
        core, config = self.core, self.config
        core.authorizer = authorization.build(config, self.objects)
        core.authenticator = authentication.build(config, self.objects, self.clock)
        core.allocators = allocators.build(config, self.objects, self.clock)
        core.admission = admission.build(config, self.objects, self.clock, self.registry)
        await ensure(self, config)
        await core.fresh()

    async def stop(self) -> None:
        """Ends the watches, then everything else. The store stays open: whoever opened it closes it."""
        self.ready = False
        self.core.stopping.set()
        for storage in self.core.storages():
            storage.cache.detach()
        await self.core.tasks.stop()
        for feed in self.core.feeds():
            await feed.stop()

    def store_of(self, group: str, resource: str) -> Store:
        return self.core.backend(group, resource).store

    async def handle(self, request: Request) -> Response:
        """Answers any request; raises nothing but cancellation. A `request.user` on entry is a trusted transport's."""
        with gates.opening(self._gates):
            return await self._handled(request)

    async def _handled(self, request: Request) -> Response:
        local = request.user is not None
        started_s = self.clock.monotonic()
        info: RequestInfo | None = None
        try:
            info = requestinfo.parse(request)
            response = await self._answer(request, info, local)
        except StatusError as error:
            response = answers.error_response(error, request, local, self.core.forms)
            response.warnings = getattr(error, "warnings", [])
        except routing.PageNotFound:
            response = routing.page_not_found()
        except requestinfo.BadPath as error:
            response = answers.error_response(errors.bad_request(str(error)), request, local, self.core.forms)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            why = "This request caused apiserver to panic. Look in the logs for details."
            failure = StatusError(500, "InternalError", why)
            response = answers.error_response(failure, request, local, self.core.forms)
        if request.flow is not None:
            schema, level = request.flow
            response.headers = {**response.headers, FLOW_SCHEMA: schema, PRIORITY_LEVEL: level}
        if info is not None:
            self._metrics.request(info, response, self.clock.monotonic() - started_s)
        return response

    async def _answer(self, request: Request, info: RequestInfo, local: bool) -> Response:
        core = self.core
        long = flowcontrol.is_long_running(info.verb, info.subresource, info.path)
        limit_s = self.config.request_timeout_s
        if request.query and not long:
            limit_s = flowcontrol.time_limit(request, limit_s)
        user = request.user
        if user is None:
            user = await core.authenticator.authenticate(request)
            if user is None:
                raise errors.unauthorized()
        attributes = _attributes(user, info, request)
        acted_as = await authentication.impersonate(request, user, attributes, core.authorizer)
        if acted_as is not None:
            user, attributes = acted_as, dataclasses.replace(attributes, user=acted_as)
        request.user = user
        if not local and (not long or info.verb == "watch"):
            request.flow = self._classifier.flow(attributes)
        if long:
            return await self._authorized(request, info, attributes, local)
        slots = self._limit.slot(info.verb)
        if slots.full and not local:
            return flowcontrol.too_many()
        with slots:
            try:
                async with self.clock.timeout(limit_s):
                    return await self._authorized(request, info, attributes, local)
            except TimeoutError:
                within = "the allotted timeout"
                if info.resource_request and not flowcontrol.is_reading(info.verb):
                    within = "requested timeout - context deadline exceeded"
                raise errors.timeout(f"Timeout: request did not complete within {within}") from None

    async def _authorized(self, request: Request, info: RequestInfo, attributes: Attributes, local: bool) -> Response:
        await authority.require(self.core, attributes)
        if info.path.startswith("//"):
            raise routing.PageNotFound
        if not info.resource_request:
            return await self._nonresource.handle(request, local)
        try:
            return await self._resource(request, info, local)
        except StoreError as error:
            log.warning("%s %s: the store failed: %s", request.method, request.path, error)
            raise store_failure(error) from error

    async def _resource(self, request: Request, info: RequestInfo, local: bool) -> Response:
        served = routing.resource(self.registry, info, request.method)
        assert request.user is not None
        stored = served.stored
        accept = request.headers.get("accept", "")
        if not local and not stored.custom:
            negotiation.route_accepts(accept, self.core.forms, listing=info.verb in ("list", "watch"))
        group, resource, subresource = stored.group, stored.resource, info.subresource
        place = None if stored.custom else endpoints.endpoint(info.group, resource, subresource)
        scope = Scope(self.core, info, request, request.user, served, local, negotiation.Output())
        if served.warning:
            scope.warnings.append(served.warning)
        try:
            if place is not None:
                return await special.handle(scope, place, accept)
            if subresource:
                found = served.resource.subresources[subresource]
                if found.kind != served.gvk:
                    scope.sub_gvk = found.kind
                scope.strategy = status.strategy(served, group, resource, subresource)
            output = negotiation.output(accept, self.core.forms, custom=stored.custom)
            if not local and negotiation.wants_pretty(request.first("pretty"), scope.user_agent):
                output = output._replace(pretty=True)
            scope.output = output
            return await _HANDLERS[info.verb](scope)
        except StatusError as error:
            error.warnings = scope.warnings
            raise


def _attributes(user: UserInfo, info: RequestInfo, request: Request) -> Attributes:
    return Attributes(
        user, info.verb, info.path, info.resource_request, info.group, info.version, info.resource, info.subresource,
        info.namespace, info.name, request.first("fieldSelector"),
    )  # fmt: skip
