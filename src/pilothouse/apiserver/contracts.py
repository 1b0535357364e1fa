"""What the stages of the request pipeline say to each other. Each stage knows these and not the other stages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from pilothouse.api.exchange import Request, Response, UserInfo
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.clock import Clock
from pilothouse.store.interface import Store


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do, as authorizers judge it (upstream's authorizer.Attributes)."""

    user: UserInfo
    verb: str  # get, list, watch, create, update, patch, delete, deletecollection, or the method in lower case
    path: str
    resource_request: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""  # of list, watch and deletecollection, as it was sent


@dataclass(frozen=True, slots=True)
class Decision:
    """allowed None: no opinion, the next authorizer is asked; False: denied for good."""

    allowed: bool | None
    reason: str = ""


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> UserInfo | None:
        """Who asks; None: not this authenticator's kind of credential. Raises StatusError (401) for a bad one."""
        ...


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> Decision: ...


class Objects(Protocol):
    """The API server's own view of the cluster, from its caches: for admission, authorization and authentication.
    What it returns is shared: read-only. The writes pass the whole pipeline as the API server's own user."""

    def get(self, group: str, resource: str, namespace: str, name: str) -> Obj | None: ...

    def list(self, group: str, resource: str, namespace: str = "") -> Iterable[Obj]:
        """All objects of the resource; of one namespace where it is given."""
        ...

    def changed_at(self, group: str, resource: str) -> int:
        """A number that changes whenever an object of the resource does: for what is derived from them."""
        ...

    async def fresh(self) -> None:
        """Returns once `get` and `list` show all that the store held at the call."""
        ...

    async def get_live(self, group: str, resource: str, namespace: str, name: str) -> Obj | None:
        """From the store itself, past the cache."""
        ...

    async def create(self, group: str, resource: str, obj: Obj) -> Obj: ...

    async def update(self, group: str, resource: str, obj: Obj, subresource: str = "") -> Obj: ...

    async def delete(self, group: str, resource: str, namespace: str, name: str, uid: str = "") -> None: ...


@dataclass(slots=True)
class AdmissionRequest:
    """One write on its way to the store. Mutating plugins change `obj` in place (it is this request's own copy)."""

    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    gvr: GVR
    gvk: GVK
    subresource: str
    namespace: str
    name: str  # empty where the server will generate it
    obj: Obj | None  # None on DELETE
    old: Obj | None  # None on CREATE and CONNECT
    options: Obj
    dry_run: bool
    user: UserInfo
    warnings: list[str] = field(default_factory=list)
    subresource_kind: GVK | None = None  # of obj, where it is not gvk (scale, binding, eviction, token)
    annotations: dict[str, str] = field(default_factory=dict)  # for the audit of the request
    reinvoked: bool = False  # the mutating plugins are asked for the second time
    reinvoke: bool = False  # a plugin changed obj so that the others are to be asked again
    asked: set[str] = field(default_factory=set)  # what is to be asked again if another changes obj


class AdmissionPlugin(Protocol):
    """One file a plugin, one line in the table. A refusal is a StatusError, by rule `forbidden(...)`."""

    name: str

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


class Admission(Protocol):
    """The chain of plugins in upstream's order, as the handlers call it."""

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


class Reservation(Protocol):
    """What an allocator set aside for a write that is under way."""

    async def commit(self) -> None:
        """The write is in the store."""
        ...

    async def revert(self) -> None:
        """The write failed, or was a dry run."""
        ...


class Allocator(Protocol):
    """Hands out what objects of one resource need (addresses, ports). `apiserver.allocators.build(config, objects, store,
    clock)` returns them as a dict from (group, resource)."""

    async def begin(self, new: Obj, old: Obj | None, dry_run: bool) -> Reservation | None:
        """Before the strategy and validation (upstream's BeginCreate and BeginUpdate): fills in new. Raises StatusError."""
        ...

    async def release(self, obj: Obj) -> None:
        """obj was removed from the store (upstream's AfterDelete)."""
        ...


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """What a judge may ask."""

    clock: Clock
    authorizer: Authorizer
    objects: Objects


Judge: TypeAlias = Callable[
    [JudgeContext, Attributes, Obj, Obj | None, ErrorList],
    Awaitable[ErrorList],
]
"""(context, the request, new, old or None, errors found so far) → all errors."""


class EndpointContext(Protocol):
    """What an endpoint with a behaviour of its own may use of the server."""

    config: Config
    clock: Clock
    store: Store
    objects: Objects
    authorizer: Authorizer
    authenticator: Authenticator

    async def decode(self, info: RequestInfo, request: Request, gvk: GVK) -> Obj:
        """The body as an object of that built-in kind, defaulted and the caller's own to change. Raises upstream's errors
        for a body that is not one, and adds the warnings of unknown fields."""
        ...

    async def admit(self, request: AdmissionRequest) -> None:
        """Mutating, then validating admission."""
        ...

    async def change(
        self, group: str, resource: str, namespace: str, name: str, change: Callable[[Obj], Obj | None], *,
        dry_run: bool = False,
    ) -> Obj:  # fmt: skip
        """Upstream's GuaranteedUpdate: `change` gets a copy of the present object and returns the new one (None: leave it),
        or raises StatusError; it is called again where another write came between. No admission, no validation."""
        ...

    async def delete(self, group: str, resource: str, namespace: str, name: str, options: Obj, user: UserInfo) -> Obj:
        """As a DELETE of the object with those DeleteOptions, admission included. The object, or a Status."""
        ...

    def warn(self, text: str) -> None:
        """Adds a Warning header to the answer."""
        ...


# One endpoint, a coroutine function of (context, info, request). `request.user` is who asks, and may do it. It answers with
# an object (201 to a POST, 200 otherwise; kind and apiVersion are in it), or with a Response of its own. Its place is one
# line of `apiserver.endpoints.ENDPOINTS`.
Endpoint: TypeAlias = Callable[[EndpointContext, RequestInfo, Request], Awaitable[Obj | Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubresourceStrategy:
    """A subresource that is read, updated and patched as its object is (status, scale, approval, resize …): what differs.
    Its place is one line of `apiserver.endpoints.STRATEGIES`. Works on objects of the version in memory."""

    prepare: Callable[[Obj, Obj], None] | None = None
    """(new, old): changes new: keeps all of old but what this subresource may change. None: as an update of the object."""

    validate: Callable[[Obj, Obj], ErrorList] | None = None
    """(new, old); None: as an update of the object."""

    read: Callable[[Obj], Obj] | None = None
    """(obj): what a GET shows, where that is of another kind (Scale). Raises StatusError."""

    check: Callable[[Obj], None] | None = None
    """(obj): raises StatusError where a GET of the subresource has nothing to show."""

    write: Callable[[Obj, Obj], None] | None = None
    """(obj, sent): puts what was sent, of the other kind, into obj. Raises StatusError (422) for what cannot be."""

    warnings: Callable[[Obj], list[str]] | None = None
    """(new): texts for the Warning header."""

    reset_fields: frozenset[str] = frozenset()
    """Dotted paths that this subresource ignores, so that field managers do not come to own them."""

    moved_fields: tuple[str, str] | None = None
    """(path in the other kind, path in the object) of what `write` moves: who manages the one manages the other."""


@dataclass(frozen=True, slots=True)
class Union:
    """Asks each authorizer in turn until one has an opinion."""

    authorizers: Sequence[Authorizer]

    async def authorize(self, attributes: Attributes) -> Decision:
        reasons = []
        for authorizer in self.authorizers:
            decision = await authorizer.authorize(attributes)
            if decision.allowed is not None:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(None, ", ".join(reasons))
