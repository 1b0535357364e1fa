"""Discovery: which groups, versions and resources there are, in the aggregated form and in the older ones.

Source: upstream's endpoints/discovery and its aggregated package (KEP-3352); the order of groups is that of the APIService
priorities which upstream registers.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from pilothouse.api.codec import text
from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, Subresource
from pilothouse.apiserver import answers, negotiation
from pilothouse.apiserver.core import Core
from pilothouse.apiserver.negotiation import Output
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
_AGGREGATED: Final = ("apidiscovery.k8s.io", "v2")


def group_order(group: str) -> tuple[int, str]:
    return (-_PRIORITIES.get(group, _CUSTOM_PRIORITY), group)


def _tag(document: Obj) -> str:
    """Upstream's: a hash of the list's JSON without its kind."""
    bare = {name: value for name, value in document.items() if name not in ("kind", "apiVersion")}
    return f'"{hashlib.sha512(text.to_json(bare)).hexdigest().upper()}"'


class Discovery:
    """The documents, made anew only after the registry changed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._made: dict[tuple[bool, str], tuple[int, bytes, str]] = {}

    def groups(self) -> list[str]:
        return sorted((g for g in self._core.registry.groups() if g), key=group_order)

    def handle(self, request: Request, local: bool) -> Response | None:
        """The answer for an address of discovery; None where it is not one."""
        parts = request.path.strip("/").split("/")
        if request.path.endswith("//"):
            return None
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
                return self._document(request, local, self.group(parts[1], alone=True), routed=False)
            if parts[2] in versions:
                routed = not any(one.stored.custom for one in versions[parts[2]].values())
                return self._document(request, local, self.resource_list(parts[1], parts[2]), routed=routed)
        return None

    def _root(self, request: Request, local: bool, *, legacy: bool) -> Response:
        media_type = negotiation.aggregated(request.headers.get("accept", ""), self._core.forms)
        if media_type:
            return self._aggregated(request, local, legacy, media_type)
        return self._document(request, local, self.versions() if legacy else self.group_list(), routed=legacy)

    def _aggregated(self, request: Request, local: bool, legacy: bool, media_type: str) -> Response:
        if local:
            return Response(200, {}, object=self.aggregated(legacy))
        body, tag = self._encoded(legacy, media_type)
        headers = {"ETag": tag, "Vary": "Accept", "Cache-Control": "public"}
        if tag == request.headers.get("if-none-match", ""):
            return Response(304, headers)
        headers["Content-Type"] = f"{media_type};g={_AGGREGATED[0]};v={_AGGREGATED[1]};as=APIGroupDiscoveryList"
        return Response(200, headers, body)

    def _encoded(self, legacy: bool, media_type: str) -> tuple[bytes, str]:
        """The aggregated document and its tag."""
        generation = self._core.registry.generation
        made = self._made.get((legacy, media_type))
        if made is None or made[0] != generation:
            document = self.aggregated(legacy)
            body, _ = answers.encode(document, Output(media_type))
            made = self._made[legacy, media_type] = (generation, body, _tag(document))
        return made[1:]

    def _document(self, request: Request, local: bool, obj: Obj, *, routed: bool = True) -> Response:
        """`routed`: the address is one of the router's, which looks at Accept before anything else does."""
        if local:
            return Response(200, {}, object=obj)
        accept = request.headers.get("accept", "")
        if routed:
            negotiation.route_accepts(accept, self._core.forms)
        output = negotiation.output(accept, self._core.forms, transforms=False)
        pretty = negotiation.wants_pretty(request.first("pretty"), request.headers.get("user-agent", ""))
        body, media_type = answers.encode(obj, output._replace(pretty=pretty or output.pretty))
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
        every = self._core.registry.groups()[group][version].values()
        for served in every:
            resources.extend(_legacy(served))
        if not any(served.stored.custom for served in every):
            resources.sort(key=lambda r: r["name"])
        head: Obj = {"kind": "APIResourceList"}
        if group:
            head["apiVersion"] = "v1"
        return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": resources}

    def aggregated(self, legacy: bool) -> Obj:
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
            "apiVersion": "/".join(_AGGREGATED),
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
    for sub in _subresources(served):
        row: Obj = {
            "name": f"{resource.gvr.resource}/{sub.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
        }
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


def _kind(of: GVK, served: ServedResource) -> Obj:
    """A response kind: group and version are empty where they are the address' own, but with custom resources."""
    if not served.stored.custom and (of.group, of.version) == (served.gvk.group, served.gvk.version):
        return {"group": "", "version": "", "kind": of.kind}
    return {"group": of.group, "version": of.version, "kind": of.kind}


def _subresources(served: ServedResource) -> list[Subresource]:
    found = served.resource.subresources
    return list(found.values()) if served.stored.custom else [found[name] for name in sorted(found)]


def _modern(served: ServedResource) -> Obj:
    resource = served.resource
    out: Obj = {
        "resource": resource.gvr.resource,
        "responseKind": _kind(resource.gvk, served),
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
            {"subresource": sub.name, "responseKind": _kind(sub.kind, served), "verbs": list(sub.verbs)}
            for sub in _subresources(served)
        ]
    return out
