"""What the stages of the request pipeline say to each other. Each stage knows these and not the other stages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR


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


class AdmissionPlugin(Protocol):
    """One file a plugin, one line in the table. A refusal is a StatusError, by rule `forbidden(...)`."""

    name: str

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


class Admission(Protocol):
    """The chain of plugins in upstream's order, as the handlers call it."""

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None: ...


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
