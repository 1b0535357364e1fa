"""`Registry`: the resources that are served, built-in and custom alike. It changes at run time: a CustomResourceDefinition
adds and removes served resources, and everything else (routing, discovery, OpenAPI) reads the registry.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

from pilothouse.api import kinds, scheme
from pilothouse.api.kinds.common import older
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR, Resource
from pilothouse.api.types import Type, type_of
from pilothouse.apiserver.contracts import SubresourceStrategy
from pilothouse.apiserver.features import enabled
from pilothouse.apiserver.runtimeconfig import is_served


class Column(NamedTuple):
    """One column of a resource's table."""

    name: str
    type: str
    format: str
    priority: int
    description: str = ""  # `=core/v1.PodSpec.nodeName`: what is said of that field


# Where a resource's objects lie in the store, when not under its plural (upstream's SpecialDefaultResourcePrefixes, and the
# two registries of other programs linked into kube-apiserver, which prefix with the group).
_PREFIXES: dict[tuple[str, str], str] = {
    ("", "replicationcontrollers"): "controllers",
    ("", "endpoints"): "services/endpoints",
    ("", "nodes"): "minions",
    ("", "services"): "services/specs",
    ("networking.k8s.io", "ingresses"): "ingress",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/customresourcedefinitions",
    ("apiregistration.k8s.io", "apiservices"): "apiregistration.k8s.io/apiservices",
}
# The version that an object has in the store, where it is not the newest (upstream's ResourceEncodingOverrides).
_STORED_VERSIONS: dict[tuple[str, str], str] = {
    ("coordination.k8s.io", "leasecandidates"): "v1beta1",
    ("certificates.k8s.io", "clustertrustbundles"): "v1beta1",
    ("certificates.k8s.io", "podcertificaterequests"): "v1beta1",
    ("resource.k8s.io", "devicetaintrules"): "v1beta2",
    ("storagemigration.k8s.io", "storageversionmigrations"): "v1beta1",
    ("scheduling.k8s.io", "workloads"): "v1beta1",
    ("scheduling.k8s.io", "podgroups"): "v1beta1",
}
# The version of the objects in memory, where it is not the newest: the one that has the fields of all.
_VERSIONS_IN_MEMORY: dict[tuple[str, str], str] = {("certificates.k8s.io", "podcertificaterequests"): "v1beta1"}
# Resources that are another one's objects under a second name (upstream's cohabitating resources).
_COHABITANTS: dict[tuple[str, str], tuple[str, str]] = {("events.k8s.io", "events"): ("", "events")}

# (group, version) → (deprecated since 1.x, gone in 1.x, the version to use instead, the kinds that are not).
_DEPRECATED: dict[tuple[str, str], tuple[int, int, str, tuple[str, ...]]] = {
    ("admissionregistration.k8s.io", "v1alpha1"): (35, 38, "", ()),
    ("admissionregistration.k8s.io", "v1beta1"): (37, 40, "v1", ()),
    ("certificates.k8s.io", "v1beta1"): (37, 40, "v1", ()),
    ("coordination.k8s.io", "v1alpha2"): (35, 38, "", ()),
    ("coordination.k8s.io", "v1beta1"): (36, 39, "", ()),
    ("resource.k8s.io", "v1alpha3"): (36, 39, "", ("ResourcePoolStatusRequest",)),
    ("resource.k8s.io", "v1beta1"): (35, 38, "", ()),
    ("resource.k8s.io", "v1beta2"): (36, 39, "", ("DeviceTaintRule",)),
    ("storagemigration.k8s.io", "v1beta1"): (37, 40, "v1", ()),
}
_DEPRECATED_KINDS: dict[tuple[str, str], str] = {
    ("v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
    ("v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts versions newest first, as upstream does: v2, v1, v1beta2, v1alpha1, then the others by name."""
    match = _VERSION.fullmatch(version)
    if not match:
        return (3, 0, 0, version)
    rank = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (rank, -int(match[1]), -int(match[3] or 0), version)


@dataclass(slots=True, eq=False)
class Stored:
    """The objects of one resource as they lie in the store; every version of it, and every cohabitant, shares them."""

    group: str
    resource: str
    prefix: str  # ends with a slash
    namespaced: bool
    gvk: GVK  # of the objects in memory
    type: Type
    load_kind: Callable[[], Kind]  # cheap once it was called; most kinds' rules are not needed for a long time
    api_version: str  # of the values in the store
    older: Mapping[
        str, Callable[[Obj], Obj]
    ]  # apiVersion of a value that is not served any more → converts it to `gvk`
    custom: bool = False

    @property
    def kind(self) -> Kind:
        return self.load_kind()

    def decoder(self, api_version: str) -> Callable[[Obj], Obj] | None:
        """Converts a value of another apiVersion to `gvk`; None: they differ by that alone."""
        if api_version in self.older:
            return self.older[api_version]
        group, version = scheme.split_api_version(api_version)
        return self.kind.decode.get(version) if group == self.group else None

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else self.prefix + name

    def key_of(self, obj: Obj) -> str:
        meta = obj["metadata"]
        return self.key(meta.get("namespace", ""), meta["name"])


@dataclass(slots=True, eq=False)
class ServedResource:
    """One resource in one version, as requests name it."""

    resource: Resource
    type: Type
    stored: Stored
    load_kind: Callable[[], Kind]  # see `kind`
    columns: tuple[Column, ...]
    decode: Callable[[Obj], Obj] | None = (
        None  # this version → the one in memory; may keep its argument. None: they are the same
    )
    encode: Callable[[Obj], Obj] | None = None  # back; must not change its argument
    row: Callable[[Obj, float], list[Any]] | None = None  # (obj, now_s): its cells, for custom resources
    strategies: Mapping[str, SubresourceStrategy] = field(default_factory=dict)  # of custom resources' subresources
    warning: str = ""  # of a deprecated version
    schema: Obj | None = None  # of a custom resource, as it is published
    # The rest is of custom resources, whose objects lie in memory in the version in which they were written:
    read: Callable[[Obj], list[str]] | None = None  # changes an object that was sent; the paths of what it took out
    merge_type: Type | None = None  # how field management takes objects apart
    to_store: Callable[[Obj], Awaitable[Obj]] | None = None  # this version → the storage version
    convert: Callable[[list[Obj]], Awaitable[list[Obj]]] | None = (
        None  # any version → this one, where a webhook does that
    )
    terminating: bool = False  # the definition is being deleted: nothing new is created

    @property
    def kind(self) -> Kind:
        """`default` works on this version; so does all of it for custom resources, else on the one in memory."""
        return self.load_kind()

    @property
    def gvr(self) -> GVR:
        return self.resource.gvr

    @property
    def gvk(self) -> GVK:
        return self.resource.gvk

    def outward(self, obj: Obj) -> Obj:
        """An object in memory as this version shows it."""
        return obj if self.encode is None else self.encode(obj)

    def inward(self, obj: Obj) -> Obj:
        return obj if self.decode is None else self.decode(obj)


class Registry:
    """Served resources by group, version and name. `generation` rises with every change: what is derived is cached by it."""

    def __init__(self) -> None:
        self._served: dict[GVR, ServedResource] = {}
        self._groups: dict[str, dict[str, dict[str, ServedResource]]] = {}
        self._stored: dict[tuple[str, str], Stored] = {}
        self._listeners: list[Callable[[], None]] = []
        self.generation = 0

    def get(self, group: str, version: str, resource: str) -> ServedResource | None:
        versions = self._groups.get(group)
        if versions is None:
            return None
        resources = versions.get(version)
        return None if resources is None else resources.get(resource)

    def has_built_in_group(self, group: str) -> bool:
        """Whether the router knows the group: it answers for all addresses below it, known and unknown."""
        versions = self._groups.get(group, {})
        return any(not one.stored.custom for resources in versions.values() for one in resources.values())

    def groups(self) -> Mapping[str, Mapping[str, Mapping[str, ServedResource]]]:
        """group → version → resource → served; versions newest first."""
        return self._groups

    def __iter__(self) -> Iterator[ServedResource]:
        return iter(list(self._served.values()))

    def any_version(self, group: str, resource: str) -> ServedResource | None:
        """The resource in the newest version that serves it."""
        for resources in self._groups.get(group, {}).values():
            if resource in resources:
                return resources[resource]
        return None

    def stored(self, group: str, resource: str) -> Stored | None:
        found = self.any_version(group, resource)
        return found.stored if found else None

    def kind_served(self, gvk: GVK) -> ServedResource | None:
        for served in self._groups.get(gvk.group, {}).get(gvk.version, {}).values():
            if served.resource.kind == gvk.kind:
                return served
        return None

    def add(self, *served: ServedResource) -> None:
        """Adds resources, replacing those of the same names."""
        for one in served:
            self._served[one.gvr] = one
        self._changed()

    def remove(self, *gvrs: GVR) -> None:
        for gvr in gvrs:
            self._served.pop(gvr, None)
        self._changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def _changed(self) -> None:
        groups: dict[str, dict[str, dict[str, ServedResource]]] = {}
        for gvr in sorted(self._served, key=lambda g: (g.group, version_order(g.version), g.resource)):
            groups.setdefault(gvr.group, {}).setdefault(gvr.version, {})[gvr.resource] = self._served[gvr]
        self._groups = groups
        self.generation += 1
        for listener in self._listeners:
            listener()


@cache
def _columns() -> dict[str, tuple[Column, ...]]:
    return {
        name: tuple(Column(row[0], row[1], row[2], row[3], row[4] if len(row) > 4 else "") for row in rows)
        for name, rows in scheme.load_facts("columns").items()
    }


def columns_of(gvr: GVR) -> tuple[Column, ...]:
    """The columns of a built-in resource's table."""
    found = _columns().get(f"{gvr.api_version}/{gvr.resource}")
    return found if found is not None else DEFAULT_COLUMNS


DEFAULT_COLUMNS = (
    Column("Name", "string", "name", 0, "=meta/v1.ObjectMeta.name"),
    Column("Created At", "date", "", 0, "=meta/v1.ObjectMeta.creationTimestamp"),
)


def _with_api_version(api_version: str) -> Callable[[Obj], Obj]:
    def convert(obj: Obj) -> Obj:
        return {**obj, "apiVersion": api_version}

    return convert


def built_in(
    runtime_config: Mapping[str, bool], features: Mapping[str, bool] | None = None
) -> Iterator[ServedResource]:
    """The built-in resources that are served with these settings. Raises BadFlag."""
    open_gates = enabled(features or {})
    every = scheme.resources()
    newest: dict[tuple[str, str], Resource] = {}
    for resource in sorted(every.values(), key=lambda r: version_order(r.gvr.version)):
        name = (resource.gvr.group, resource.gvr.resource)
        if _VERSIONS_IN_MEMORY.get(name, resource.gvr.version) == resource.gvr.version:
            newest.setdefault(name, resource)
    stored: dict[tuple[str, str], Stored] = {}
    for resource in every.values():
        if not is_served(resource, runtime_config, open_gates):
            continue
        gvr = resource.gvr
        type_ = type_of(resource.gvk)
        if type_ is None:
            continue
        home = _COHABITANTS.get((gvr.group, gvr.resource), (gvr.group, gvr.resource))
        if home not in stored:
            stored[home] = _stored(newest[home])
        kept = stored[home]
        load = partial(kinds.kind_of, gvr.group, resource.kind)
        decode = encode = None
        if resource.gvk != kept.gvk:
            kind = load()
            decode = kind.decode.get(gvr.version) or _with_api_version(kept.gvk.api_version)
            encode = kind.encode.get(gvr.version) or _with_api_version(gvr.api_version)
        warning = _deprecation(resource)
        yield ServedResource(resource, type_, kept, load, columns_of(gvr), decode, encode, warning=warning)


def _deprecation(resource: Resource) -> str:
    """What requests for the resource are warned of."""
    gvr, kind = resource.gvr, resource.kind
    since, gone, instead, but = _DEPRECATED.get((gvr.group, gvr.version), (0, 0, "", ()))
    if not since or kind in but:
        return _DEPRECATED_KINDS.get((gvr.api_version, kind), "")
    told = f"{gvr.api_version} {kind} is deprecated in v1.{since}+, unavailable in v1.{gone}+"
    return f"{told}; use {gvr.group}/{instead} {kind}" if instead else told


def _stored(resource: Resource) -> Stored:
    gvr, gvk = resource.gvr, resource.gvk
    type_ = type_of(gvk)
    assert type_ is not None, f"{gvk} has no type"
    name = (gvr.group, gvr.resource)
    version = _STORED_VERSIONS.get(name, gvr.version)
    prefix = _PREFIXES.get(name, gvr.resource)
    return Stored(
        gvr.group, gvr.resource, f"/registry/{prefix}/", resource.namespaced, gvk, type_,
        partial(kinds.kind_of, gvr.group, resource.kind), GVK(gvr.group, version, resource.kind).api_version,
        older.DECODERS.get((gvr.group, resource.kind), {}),
    )  # fmt: skip
