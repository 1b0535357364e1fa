"""Which resources exist, by group, version and name: `facts/resources.json` as objects.

Source: upstream's discovery documents, extracted by the tables' own program (see facts/README in the project's shared material).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson


class GVK(NamedTuple):
    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class GVR(NamedTuple):
    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, `pods`: how error messages name a resource."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


@dataclass(frozen=True, slots=True)
class Subresource:
    name: str
    kind: GVK  # the kind that it reads and writes
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    gvr: GVR
    kind: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: dict[str, Subresource] = field(default_factory=dict)
    default: bool = True  # served without flags
    listed_as: str = ""  # the kind of lists, where it is not the kind with List after it

    @property
    def gvk(self) -> GVK:
        return GVK(self.gvr.group, self.gvr.version, self.kind)

    @property
    def list_kind(self) -> str:
        return self.listed_as or self.kind + "List"


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` → (`apps`, `v1`); `v1` → (``, `v1`)."""
    group, _, version = api_version.rpartition("/")
    return group, version


def load_facts(name: str) -> Any:
    """The table `facts/<name>.json`, parsed anew."""
    return orjson.loads(files("pilothouse.api").joinpath("facts", f"{name}.json").read_bytes())


@cache
def resources() -> dict[GVR, Resource]:
    """Every built-in resource of every version, those served only behind flags too."""
    found: dict[GVR, Resource] = {}
    for row in load_facts("resources"):
        gvr = GVR(row["group"], row["version"], row["resource"])
        subresources = {}
        for s in row["subresources"]:
            kind = GVK(
                s["group"] or (row["group"] if not s["version"] else ""), s["version"] or row["version"], s["kind"]
            )
            subresources[s["name"]] = Subresource(s["name"], kind, tuple(s["verbs"]))
        found[gvr] = Resource(
            gvr, row["kind"], row["singular"], row["namespaced"], tuple(row["verbs"]), tuple(row["shortNames"]),
            tuple(row["categories"]), subresources, row["default"],
        )  # fmt: skip
    return found


@cache
def by_kind() -> dict[GVK, Resource]:
    """The resource that stores objects of a kind."""
    return {r.gvk: r for r in resources().values()}
