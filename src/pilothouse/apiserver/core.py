"""`Core`: what every stage and handler stands on: the store, the registry and the caches over it, and the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import (
    Admission,
    AdmissionRequest,
    Allocator,
    Attributes,
    Authenticator,
    Authorizer,
    Decision,
)
from pilothouse.apiserver.negotiation import USUAL, Forms
from pilothouse.apiserver.registry.feed import Feed
from pilothouse.apiserver.registry.resources import Registry, Stored
from pilothouse.apiserver.registry.storage import Leases, Storage
from pilothouse.apiserver.tasks import Tasks
from pilothouse.clock import Clock
from pilothouse.store.interface import Store


class Open:
    """Policy of a server under construction: whoever a trusted transport names, anything, unchanged."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        return request.user

    async def authorize(self, attributes: Attributes) -> Decision:
        return Decision(True)

    async def mutate(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Backend:
    """A store of its own for some resources (upstream's --etcd-servers-overrides), and what goes with it."""

    store: Store
    feed: Feed
    leases: Leases


@dataclass(slots=True)
class Core:
    store: Store
    clock: Clock
    config: Config
    registry: Registry
    feed: Feed
    leases: Leases
    handle: Callable[[Request], Awaitable[Response]]  # the whole pipeline
    forms: Forms = USUAL
    tasks: Tasks = field(default_factory=Tasks)
    authenticator: Authenticator = field(default_factory=Open)
    authorizer: Authorizer = field(default_factory=Open)
    admission: Admission = field(default_factory=Open)
    allocators: Mapping[tuple[str, str], Allocator] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], Backend] = field(default_factory=dict)  # by group and resource
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _storages: dict[tuple[str, str], Storage] = field(default_factory=dict)

    def storage(self, stored: Stored) -> Storage:
        """The storage of a resource, made on first use; anew where a custom resource was defined anew."""
        name = (stored.group, stored.resource)
        found = self._storages.get(name)
        if found is None or found.stored is not stored:
            if found is not None:
                same = found.stored.gvk == stored.gvk or (found.stored.custom and stored.custom)
                if same and found.stored.prefix == stored.prefix:
                    found.adopt(stored)
                    return found
                found.cache.detach()
            backend = self.backend(*name)
            found = self._storages[name] = Storage(stored, backend.store, backend.feed, self.clock, backend.leases)
        return found

    def backend(self, group: str, resource: str) -> Backend:
        return self.overrides.get((group, resource)) or Backend(self.store, self.feed, self.leases)

    def feeds(self) -> list[Feed]:
        return [self.feed, *dict.fromkeys(backend.feed for backend in self.overrides.values())]

    async def fresh(self) -> None:
        """Returns when every cache holds all that the stores held at the call."""
        await asyncio.gather(*(feed.fresh() for feed in self.feeds()))

    def storages(self) -> Iterable[Storage]:
        return self._storages.values()

    def drop_storage(self, group: str, resource: str) -> None:
        """The resource is served no more."""
        found = self._storages.pop((group, resource), None)
        if found is not None:
            found.cache.detach()


def api_server_user() -> UserInfo:
    """Who the API server itself is, when it writes (upstream's loopback client)."""
    return UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))
