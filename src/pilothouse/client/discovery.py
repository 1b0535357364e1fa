"""What a server serves, by its discovery documents: for those who work on every resource, custom ones too.

Source: client-go's discovery client: the aggregated document (KEP-3352) where the server has it, else one for each version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR
from pilothouse.client.client import Client

_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """One resource in one version."""

    gvr: GVR
    gvk: GVK
    namespaced: bool
    verbs: frozenset[str]
    preferred: bool  # of its group's versions the first that has it


@dataclass(frozen=True, slots=True)
class Discovered:
    resources: list[Served]
    failed: frozenset[tuple[str, str]]  # (group, version) whose document could not be had

    def preferred(self, *verbs: str) -> list[Served]:
        """Each resource once, in its preferred version, of those that have all of `verbs`."""
        return [r for r in self.resources if r.preferred and r.verbs.issuperset(verbs)]

    def of_kind(self, gvk: GVK) -> Served | None:
        return next((r for r in self.resources if r.gvk == gvk), None)


async def discover(client: Client) -> Discovered:
    """Every resource that the server serves."""
    groups: list[tuple[str, list[tuple[str, list[Obj]]]]] = []
    failed: set[tuple[str, str]] = set()
    for root in ("/api", "/apis"):
        document = await client.get_raw(root, _AGGREGATED)
        if not isinstance(document, dict):
            raise StatusError(503, "ServiceUnavailable", f"{root} is no discovery document")
        if document.get("kind") == "APIGroupDiscoveryList":
            for item in document.get("items") or ():
                group = (item.get("metadata") or {}).get("name") or ""
                versions = []
                for version in item.get("versions") or ():
                    if version.get("freshness") == "Stale":
                        failed.add((group, version["version"]))
                    versions.append((version["version"], version.get("resources") or []))
                groups.append((group, versions))
        elif root == "/api":
            groups.append(("", await _legacy(client, "", document.get("versions") or (), failed)))
        else:
            for item in document.get("groups") or ():
                names = [v["version"] for v in item.get("versions") or ()]
                first = (item.get("preferredVersion") or {}).get("version")
                names.sort(key=lambda name, first=first: name != first)  # type: ignore[misc]
                groups.append((item["name"], await _legacy(client, item["name"], names, failed)))
    found: list[Served] = []
    for group, by_version in groups:
        taken: set[str] = set()
        for version, rows in by_version:
            for row in rows:
                served = _served(group, version, row)
                if served is not None:
                    found.append(
                        Served(
                            served.gvr, served.gvk, served.namespaced, served.verbs, served.gvr.resource not in taken
                        )
                    )
            taken.update(s.gvr.resource for s in found if s.gvr.group == group)
    return Discovered(found, frozenset(failed))


async def _legacy(
    client: Client, group: str, versions: Any, failed: set[tuple[str, str]]
) -> list[tuple[str, list[Obj]]]:
    found = []
    for version in versions:
        try:
            document = await client.get_raw(f"/apis/{group}/{version}" if group else f"/api/{version}")
        except StatusError:
            failed.add((group, version))
            continue
        found.append((version, [r for r in document.get("resources") or () if "/" not in r["name"]]))
    return found


def _served(group: str, version: str, row: Obj) -> Served | None:
    kind = row.get("responseKind") or {}  # the aggregated form; the other has `kind` as text
    if row.get("resource"):
        gvk = GVK(kind.get("group") or group, kind.get("version") or version, kind.get("kind", ""))
        name, namespaced = row["resource"], row.get("scope") == "Namespaced"
    elif row.get("name"):
        gvk = GVK(row.get("group") or group, row.get("version") or version, row.get("kind", ""))
        name, namespaced = row["name"], bool(row.get("namespaced"))
    else:
        return None
    return Served(GVR(group, version, name), gvk, namespaced, frozenset(row.get("verbs") or ()), False)
