"""Discovery: which groups, versions and resources there are, in the aggregated form and in the older ones.

Source: upstream's endpoints/discovery and its aggregated package (KEP-3352); the order of groups is that of the APIService
priorities which upstream registers.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import orjson

from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK
from pilothouse.apiserver import answers, negotiation
from pilothouse.apiserver.core import Core
from pilothouse.apiserver.negotiation import ALL, JSON, PROTOBUF, YAML, Output
from pilothouse.apiserver.registry.resources import ServedResource, version_order

_PRIORITIES: Final = {
    "apiregistration.k8s.io": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600, "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200, "policy": 17100, "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800,
    "admissionregistration.k8s.io": 16700, "apiextensions.k8s.io": 16700, "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200, "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100, "internal.apiserver.k8s.io": 16000, "storagemigration.k8s.io": 15800,
    "lifecycle.k8s.io": 15700,
}  # fmt: skip
_CUSTOM_PRIORITY: Final = 1000
_AGGREGATED: Final = ("v2", "v2beta1")


def group_order(group: str) -> tuple[int, str]:
    return (-_PRIORITIES.get(group, _CUSTOM_PRIORITY), group)


class Discovery:
    """The documents, made anew only after the registry changed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._made: dict[tuple[str, ...], tuple[int, bytes, str]] = {}

    def groups(self) -> list[str]:
        return sorted((g for g in self._core.registry.groups() if g), key=group_order)

    def handle(self, request: Request, local: bool) -> Response | None:
        """The answer for an address of discovery; None where it is not one."""
        parts = request.path.strip("/").split("/")
        if parts[0] == "api" and len(parts) <= 2:
            if len(parts) == 1:
                return self._root(request, local, legacy=True)
            known = "" in self._core.registry.groups() and parts[1] in self._core.registry.groups()[""]
            return self._document(request, local, self.resource_list("", parts[1])) if known else None
        if parts[0] == "apis" and len(parts) <= 3:
            if len(parts) == 1:
                return self._root(request, local, legacy=False)
            versions = self._core.registry.groups().get(parts[1])
            if versions is None or not parts[1]:
                return None
            if len(parts) == 2:
                return self._document(request, local, self.group(parts[1], alone=True))
            if parts[2] in versions:
                return self._document(request, local, self.resource_list(parts[1], parts[2]))
        return None

    def _root(self, request: Request, local: bool, *, legacy: bool) -> Response:
        accept = request.headers.get("accept", "")
        if "apidiscovery.k8s.io" in accept:
            for clause in negotiation.clauses(accept):
                params = clause.params
                wanted = params.get("as") == "APIGroupDiscoveryList" and params.get("g") == "apidiscovery.k8s.io"
                if wanted and params.get("v") in _AGGREGATED and clause.media_type in (JSON, "*/*", "application/*"):
                    return self._aggregated(request, local, legacy, params["v"])
                if not wanted and "as" not in params and clause.media_type in (*ALL, "*/*", "application/*"):
                    break
        return self._document(request, local, self.versions() if legacy else self.group_list())

    def _aggregated(self, request: Request, local: bool, legacy: bool, version: str) -> Response:
        obj: Obj | None = None
        if local:
            return Response(200, {}, object=self.aggregated(legacy, version))
        name = ("aggregated", str(legacy), version)
        made = self._made.get(name)
        if made is None or made[0] != self._core.registry.generation:
            obj = self.aggregated(legacy, version)
            body = orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE)
            made = self._made[name] = (
                self._core.registry.generation, body, f'"{hashlib.sha512(body).hexdigest().upper()}"',
            )  # fmt: skip
        media_type = f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        headers = {"ETag": made[2], "Vary": "Accept", "Cache-Control": "public"}
        if made[2] in request.headers.get("if-none-match", ""):
            return Response(304, headers)
        headers["Content-Type"] = media_type
        body = made[1]
        return Response(200, headers, body)

    def _document(self, request: Request, local: bool, obj: Obj) -> Response:
        if local:
            return Response(200, {}, object=obj)
        accept = request.headers.get("accept", "")
        negotiation.route_accepts(accept)
        media_type = JSON
        for clause in negotiation.clauses(accept):
            if clause.media_type in (YAML, PROTOBUF):
                media_type = clause.media_type
                break
            if clause.media_type in (JSON, "*/*"):
                break
        pretty = negotiation.wants_pretty(request.first("pretty"), request.headers.get("user-agent", ""))
        body, media_type = answers.encode(obj, Output(media_type, pretty=pretty))
        return Response(200, {"Content-Type": media_type}, body)

    def versions(self) -> Obj:
        config = self._core.config
        address = f"{config.advertise_address}:{config.advertise_port}"
        return {
            "kind": "APIVersions",
            "versions": list(self._core.registry.groups().get("", {})),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }

    def group_list(self) -> Obj:
        groups = [self.group(name) for name in self.groups()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str, *, alone: bool = False) -> Obj:
        versions = [
            {"groupVersion": f"{name}/{version}", "version": version}
            for version in sorted(self._core.registry.groups()[name], key=version_order)
        ]
        head: Obj = {"kind": "APIGroup", "apiVersion": "v1"} if alone else {}
        return {**head, "name": name, "versions": versions, "preferredVersion": versions[0]}

    def resource_list(self, group: str, version: str) -> Obj:
        resources: list[Obj] = []
        for served in self._core.registry.groups()[group][version].values():
            resources.extend(_legacy(served))
        resources.sort(key=lambda r: r["name"])
        head: Obj = {"kind": "APIResourceList"}
        if group:
            head["apiVersion"] = "v1"
        return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": resources}

    def aggregated(self, legacy: bool, version: str) -> Obj:
        groups = [""] if legacy else self.groups()
        items = []
        for name in groups:
            versions = []
            served_versions = self._core.registry.groups().get(name, {})
            for served_version in sorted(served_versions, key=version_order):
                found = sorted(served_versions[served_version].values(), key=lambda s: s.gvr.resource)
                versions.append(
                    {"version": served_version, "resources": [_modern(s) for s in found], "freshness": "Current"}
                )
            items.append({"metadata": {"name": name} if name else {}, "versions": versions})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }


def _legacy(served: ServedResource) -> list[Obj]:
    resource = served.resource
    main: Obj = {
        "name": resource.gvr.resource,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        main["shortNames"] = list(resource.short_names)
    if resource.categories:
        main["categories"] = list(resource.categories)
    if "list" in resource.verbs and "create" in resource.verbs:
        main["storageVersionHash"] = storage_version_hash(served)
    out = [main]
    for name, sub in sorted(resource.subresources.items()):
        row: Obj = {"name": f"{resource.gvr.resource}/{name}", "singularName": "", "namespaced": resource.namespaced}
        if (sub.kind.group, sub.kind.version) != (resource.gvr.group, resource.gvr.version):
            row["group"], row["version"] = sub.kind.group, sub.kind.version
        row["kind"] = sub.kind.kind
        row["verbs"] = list(sub.verbs)
        out.append(row)
    return out


def storage_version_hash(served: ServedResource) -> str:
    """What tells clients that a resource is stored anew: upstream's hash of the stored group, version and kind."""
    stored = served.stored
    version = stored.api_version.rpartition("/")[2]
    if stored.gvk.kind == "CustomResourceDefinition":
        version = "v1beta1"  # upstream's values are of this version; both can read both
    name = f"{stored.group}/{version}/{stored.gvk.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


def _kind(of: GVK, at: GVK) -> Obj:
    """A response kind: group and version are empty where they are the address' own."""
    if (of.group, of.version) == (at.group, at.version):
        return {"group": "", "version": "", "kind": of.kind}
    return {"group": of.group, "version": of.version, "kind": of.kind}


def _modern(served: ServedResource) -> Obj:
    resource = served.resource
    out: Obj = {
        "resource": resource.gvr.resource,
        "responseKind": _kind(resource.gvk, resource.gvk),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        out["shortNames"] = list(resource.short_names)
    if resource.categories:
        out["categories"] = list(resource.categories)
    if resource.subresources:
        out["subresources"] = [
            {"subresource": name, "responseKind": _kind(sub.kind, resource.gvk), "verbs": list(sub.verbs)}
            for name, sub in sorted(resource.subresources.items())
        ]
    return out
