"""A CustomResourceDefinition as the resources that the registry serves.

Source: upstream's apiextensions-apiserver/pkg/apiserver/customresource_handler.go and registry/customresource.

Objects lie in the store in the version that was the storage version when they were written, and in memory too. Each served
version shows them through `Versions.shown`: as upstream reads them, with the schemas that hold now.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from pilothouse.api.objects import Obj, copy
from pilothouse.api.scheme import GVK, GVR, Resource, Subresource
from pilothouse.api.structural import objectmeta
from pilothouse.api.structural.schema import Schema
from pilothouse.api.types import Field, Shape, Type, type_named
from pilothouse.apiserver.contracts import SubresourceStrategy
from pilothouse.apiserver.customresources import columns, scaling, strategy
from pilothouse.apiserver.customresources.conversion import Converter
from pilothouse.apiserver.registry.resources import ServedResource, Stored, version_order

_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SCALE: Final = GVK("autoscaling", "v1", "Scale")


@cache
def _type() -> Type:
    """What all custom objects have in common; the rest stays as it is."""
    fields = [
        Field("kind", type_named("string"), omitempty=True),
        Field("apiVersion", type_named("string"), omitempty=True),
        Field("metadata", type_named("#meta/v1.ObjectMeta"), omitempty=True),
    ]
    return Type("CustomResource", Shape.STRUCT, build=lambda: fields, preserve_unknown=True)


class NotConverted(LookupError):
    """An object is of another version, and only a webhook can tell what it is in this one."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The schemas of a definition's versions, and the ways between them. By apiVersion."""

    schemas: dict[str, Schema]
    storage: str
    converter: Converter | None  # None: versions differ in nothing but their name

    def shown(self, obj: Obj, api_version: str) -> Obj:
        """A stored object in another version, or in its own as the schema now has it. Raises NotConverted."""
        own = obj["apiVersion"]
        out: Obj = copy(obj)
        self._settle(out, own)
        if own != api_version:
            if self.converter is not None:
                raise NotConverted
            self._renamed(out, api_version)
        return obj if out == obj else out

    async def converted(self, objs: list[Obj], api_version: str) -> list[Obj]:
        """The same by webhook. Raises StatusError."""
        assert self.converter is not None
        settled = []
        for obj in objs:
            out: Obj = copy(obj)
            self._settle(out, obj["apiVersion"])
            settled.append(out)
        found = await self.converter.convert(settled, api_version)
        for out in found:
            self._coerce(out, api_version)
        return found

    async def to_store(self, obj: Obj) -> Obj:
        """An object of a served version in the storage version. Raises StatusError."""
        if obj["apiVersion"] == self.storage:
            return obj
        if self.converter is None:
            out: Obj = copy(obj)
            self._renamed(out, self.storage)
            return out
        [out] = await self.converter.convert([obj], self.storage)
        self._coerce(out, self.storage)
        return out

    def _settle(self, obj: Obj, api_version: str) -> None:
        self._coerce(obj, api_version)
        schema = self.schemas.get(api_version)
        if schema is not None:
            schema.default(obj)

    def _renamed(self, obj: Obj, api_version: str) -> None:
        obj["apiVersion"] = api_version
        self._coerce(obj, api_version)

    def _coerce(self, obj: Obj, api_version: str) -> None:
        schema = self.schemas.get(api_version)
        if schema is not None:
            try:
                schema.read(obj)
            except objectmeta.Refused:
                pass  # what an older schema let in is shown as it is


class Defined(NamedTuple):
    served: list[ServedResource]
    storage: ServedResource  # in the storage version, which need not be served


def of_definition(definition: Obj, converter: Converter | None = None) -> Defined:
    spec = definition["spec"]
    names = {**spec["names"], **(definition.get("status") or {}).get("acceptedNames", {})}
    group, plural = spec["group"], names["plural"]
    storage = next(v for v in spec["versions"] if v.get("storage"))
    preserve = bool(spec.get("preserveUnknownFields"))
    schemas = {
        f"{group}/{v['name']}": Schema((v.get("schema") or {}).get("openAPIV3Schema") or {}, preserve=preserve)
        for v in spec["versions"]
    }
    versions = Versions(schemas, f"{group}/{storage['name']}", converter)
    home = GVK(group, storage["name"], names["kind"])
    kind = strategy.of_version(storage, schemas[home.api_version], _shower(versions, home.api_version))
    stored = Stored(
        group, plural, f"/registry/{group}/{plural}/", spec["scope"] == "Namespaced", home, _type(),
        lambda: kind, home.api_version, {}, custom=True,
    )  # fmt: skip
    terminating = bool(definition["metadata"].get("deletionTimestamp"))
    every = [_served(spec, names, version, stored, versions, terminating=terminating) for version in spec["versions"]]
    return Defined(
        [one for one, version in zip(every, spec["versions"], strict=True) if version.get("served")],
        next(one for one in every if one.gvk == home),
    )


def _served(
    spec: Obj, names: Obj, version: Obj, stored: Stored, versions: Versions, *, terminating: bool
) -> ServedResource:
    gvr = GVR(spec["group"], version["name"], names["plural"])
    gvk = GVK(spec["group"], version["name"], names["kind"])
    schema = versions.schemas[gvk.api_version]
    show = _shower(versions, gvk.api_version)
    kind = strategy.of_version(version, schema, show)
    subresources: dict[str, Subresource] = {}
    strategies: dict[str, SubresourceStrategy] = {}
    wanted = version.get("subresources") or {}
    if "status" in wanted:
        subresources["status"] = Subresource("status", gvk, ("get", "patch", "update"))
        strategies["status"] = strategy.status(kind)
    if wanted.get("scale"):
        subresources["scale"] = Subresource("scale", _SCALE, ("get", "patch", "update"))
        strategies["scale"] = scaling.strategy(wanted["scale"])
    resource = Resource(
        gvr, gvk.kind, names.get("singular") or gvk.kind.lower(), stored.namespaced, _VERBS,
        tuple(names.get("shortNames") or ()), tuple(names.get("categories") or ()), subresources,
        listed_as=names.get("listKind") or "",
    )  # fmt: skip
    head, row = columns.of_version(version)
    return ServedResource(
        resource, _type(), stored, lambda: kind, head, None, show, row, strategies,
        _warning(spec, version), (version.get("schema") or {}).get("openAPIV3Schema"),
        read=schema.read, merge_type=schema.type(), to_store=versions.to_store,
        convert=_converter(versions, gvk.api_version), terminating=terminating,
    )  # fmt: skip


def _shower(versions: Versions, api_version: str) -> Callable[[Obj], Obj]:
    return lambda obj: versions.shown(obj, api_version)


def _converter(versions: Versions, api_version: str) -> Callable[[list[Obj]], Awaitable[list[Obj]]] | None:
    if versions.converter is None:
        return None
    return lambda objs: versions.converted(objs, api_version)


def _warning(spec: Obj, version: Obj) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning") is not None:
        return str(version["deprecationWarning"])
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    text = f"{group}/{name} {kind} is deprecated"
    newer = [v["name"] for v in spec["versions"] if v.get("served") and not v.get("deprecated")]
    newer = sorted((n for n in newer if version_order(n) < version_order(name)), key=version_order)
    return f"{text}; use {group}/{newer[0]} {kind}" if newer else text
