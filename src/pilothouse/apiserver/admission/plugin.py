"""What every admission plugin is, and the words of a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.apiserver.authorization import Authorization
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import AdmissionRequest, Objects
from pilothouse.apiserver.registry.resources import Registry
from pilothouse.clock import Clock

GroupResource: TypeAlias = tuple[str, str]
PODS: Final[GroupResource] = ("", "pods")
CREATE: Final = frozenset({"CREATE"})
CREATE_UPDATE: Final = frozenset({"CREATE", "UPDATE"})
MAIN: Final = frozenset({""})


@dataclass(frozen=True, slots=True)
class Cluster:
    """What plugins may look at."""

    config: Config
    objects: Objects
    clock: Clock
    authorizer: Authorization
    registry: Registry


class Plugin:
    """One mechanism. The chain asks it only about the resources, subresources and operations that it names; None: all."""

    name: ClassVar[str]
    resources: ClassVar[frozenset[GroupResource] | None] = None
    subresources: ClassVar[frozenset[str] | None] = MAIN
    operations: ClassVar[frozenset[str] | None] = CREATE_UPDATE

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.objects = cluster.objects

    async def mutate(self, request: AdmissionRequest) -> None:
        return None

    async def validate(self, request: AdmissionRequest) -> None:
        return None

    def concerns(self, resource: GroupResource, subresource: str, operation: str) -> bool:
        return (
            (self.resources is None or resource in self.resources)
            and (self.subresources is None or subresource in self.subresources)
            and (self.operations is None or operation in self.operations)
        )


def name_of(request: AdmissionRequest) -> str:
    """The object's name as refusals give it, before it has one."""
    if request.name:
        return request.name
    meta = (request.obj or {}).get("metadata") or {}
    return meta.get("name") or meta.get("generateName") or "Unknown"


def forbidden(request: AdmissionRequest, why: str) -> StatusError:
    return errors.forbidden(request.gvr.group, request.gvr.resource, name_of(request), why)
