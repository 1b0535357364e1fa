"""`Scope`: one request for a resource, with what its handler needs to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK
from pilothouse.apiserver.contracts import AdmissionRequest, SubresourceStrategy
from pilothouse.apiserver.core import Core
from pilothouse.apiserver.handlers import undecodable
from pilothouse.apiserver.negotiation import Output
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import ServedResource
from pilothouse.apiserver.registry.storage import Storage
from pilothouse.apiserver.requestinfo import RequestInfo


@dataclass(slots=True)
class Scope:
    core: Core
    info: RequestInfo
    request: Request
    user: UserInfo
    served: ServedResource
    local: bool  # within the process: objects in and out, no bytes
    output: Output
    strategy: SubresourceStrategy | None = None  # of the subresource
    sub_gvk: GVK | None = None  # what the subresource reads and writes, where it is another kind than its object
    warnings: list[str] = field(default_factory=list)
    converted: dict[tuple[str, bytes], Obj] = field(default_factory=dict)  # (version, object) → it, by a webhook
    empties: bool = False  # what was sent holds empty lists or maps that will not be written

    def present(self, entry: Entry) -> Obj:
        """The object in the version that writes work on: the one in memory; the request's own for custom resources."""
        return entry.of(self.served) if self.served.stored.custom else entry.obj

    async def prepare(self, entries: Iterable[Entry]) -> None:
        """Before `Entry.of` of many: what only a webhook can convert is converted in one call. Raises StatusError."""
        served = self.served
        if served.convert is None:
            return
        missing = [e for e in entries if not e.has(served)]
        if missing:
            try:
                converted = await served.convert([e.obj for e in missing])
            except StatusError as error:
                others = [e for e in missing if e.obj["apiVersion"] != served.gvr.api_version]
                group, resource = self.qualified
                raise undecodable.refusal(self.info.verb, group, resource, others, error.message) from error
            for entry, obj in zip(missing, converted, strict=True):
                entry.put(served, obj)

    async def to_store(self, obj: Obj) -> Obj:
        """An object of the version that writes work on, as it is stored. Raises StatusError."""
        return obj if self.served.to_store is None else await self.served.to_store(obj)

    @property
    def storage(self) -> Storage:
        return self.core.storage(self.served.stored)

    @property
    def namespace(self) -> str:
        """The namespace of the objects; empty for resources of none (whose info may name one: namespaces themselves)."""
        return self.info.namespace if self.served.resource.namespaced else ""

    @property
    def key(self) -> str:
        return self.served.stored.key(self.namespace, self.info.name)

    @property
    def user_agent(self) -> str:
        return self.request.headers.get("user-agent", "")

    @property
    def qualified(self) -> tuple[str, str]:
        """The group and resource as the request names them: for error messages."""
        return self.info.group, self.info.resource

    def not_found(self) -> StatusError:
        return errors.not_found(*self.qualified, self.info.name)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def admission(
        self, operation: str, obj: Obj | None, old: Obj | None, options: Obj, dry_run: bool, name: str | None = None
    ) -> AdmissionRequest:
        info = self.info
        return AdmissionRequest(
            operation,  # type: ignore[arg-type]
            self.served.gvr, self.served.gvk, info.subresource, info.namespace,
            info.name if name is None else name, obj, old, options, dry_run, self.user, self.warnings, self.sub_gvk,
        )  # fmt: skip
