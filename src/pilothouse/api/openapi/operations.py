"""The operations on resources and on the documents of discovery, path by path, in the OpenAPI 3 form.

Source: upstream's endpoints/installer.go (which operations an address has, and what they are called) and its documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.api.openapi import parameters
from pilothouse.api.openapi.schemas import Schemas
from pilothouse.api.scheme import GVK, Resource, Subresource

JSON: Final = "application/json"
BODIES: Final = (JSON, "application/vnd.kubernetes.protobuf", "application/yaml")
_WATCHED: Final = (
    JSON, "application/json;stream=watch", "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch", "application/yaml",
)  # fmt: skip
PATCH_NAME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
_PATCHES: Final = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)  # fmt: skip
_CODES: Final = {200: "OK", 201: "Created", 202: "Accepted"}
_DEPRECATED: Final = "deprecated: use the 'watch' parameter with a list operation instead"
_STRING: Final[Obj] = {"type": "string"}
# The order in which a path's operations are written.
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_CONNECTED: Final = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}


def root_of(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def joined(text: str, upper: bool) -> str:
    """Upstream's ToValidOperationID: letters and digits, and each that follows another character in upper case."""
    out = []
    for i, c in enumerate(text):
        if c.isalpha() or c == "_" or (i and c.isdigit()):
            out.append(c.upper() if upper else c)
            upper = False
        else:
            upper = True
    return "".join(out)


class Paths:
    """The paths of one group and version. `found`: path → its item."""

    def __init__(self, api_version: str, schemas: Schemas, *, custom: bool = False) -> None:
        self.found: Obj = {}
        self.schemas = schemas
        self.root = root_of(api_version)
        group, _, version = api_version.rpartition("/")
        group = (group or "core").removesuffix(".k8s.io")
        self._tag = f"{joined(group, False)}_{version}"
        self._id = joined(group, True) + joined(version, True)
        if not custom:
            self._item_of_discovery()

    def _item_of_discovery(self) -> None:
        answer = self.schemas.of_name("meta/v1.APIResourceList")
        self.found[f"{self.root}/"] = {
            "get": discovery(self._tag, "get available resources", f"get{self._id}APIResources", answer)
        }

    def add(self, resource: Resource, returns_object: bool) -> None:
        """The paths of a built-in resource. `returns_object`: a DELETE answers with the object and not a Status."""
        _Resource(self, resource, returns_object).add()

    def operation(
        self, action: str, verb: str, id_: str, gvk: GVK, text: str, codes: Iterable[int], answer: Obj,
        query: Iterable[Obj] = (), body: Obj | None = None, *, produces: Iterable[str] = BODIES,
        consumes: Iterable[str] = ("*/*",),
    ) -> Obj:  # fmt: skip
        content = {media_type: {"schema": answer} for media_type in produces}
        out: Obj = {
            "tags": [self._tag],
            "description": text,
            "operationId": f"{verb}{self._id}{id_}",
            "parameters": list(query),
        }
        if body is not None:
            out["requestBody"] = {"content": {media_type: {"schema": body} for media_type in consumes}}
            if verb != "delete":
                out["requestBody"]["required"] = True
        responses = {str(code): {"description": _CODES[code], "content": content} for code in codes}
        out["responses"] = {**responses, "401": {"description": "Unauthorized"}}
        out["x-kubernetes-action"] = action
        out["x-kubernetes-group-version-kind"] = gvk._asdict()
        return out

    def put(self, path: str, given: list[Obj], operations: dict[str, Obj]) -> None:
        """The parameters that every operation has stand with the path."""
        own = [o.get("parameters", []) for o in operations.values()]
        shared = [p for p in own[0] if all(p in other for other in own[1:])] if own else []
        item: Obj = {}
        for method in _METHODS:
            operation = operations.get(method)
            if operation is None:
                continue
            left = sorted((p for p in operation.get("parameters", ()) if p not in shared), key=_place)
            item[method] = {
                k: left if k == "parameters" else v for k, v in operation.items() if k != "parameters" or left
            }
        together = sorted([*given, *shared], key=_place)
        if together:
            item["parameters"] = together
        self.found[path] = item


def _place(parameter: Obj) -> tuple[str, str]:
    return parameter["name"], parameter["in"]


def discovery(tag: str, text: str, id_: str, answer: Obj, media_types: tuple[str, ...] = BODIES) -> Obj:
    content = {media_type: {"schema": answer} for media_type in media_types}
    return {
        "tags": [tag],
        "description": text,
        "operationId": id_,
        "responses": {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}},
    }


class _Resource:
    """Adds one resource's paths to the others."""

    def __init__(self, paths: Paths, resource: Resource, returns_object: bool) -> None:
        self._paths, self._resource, self._returns_object = paths, resource, returns_object
        self._schemas = paths.schemas
        self._one = self._schemas.of_kind(resource.gvk)
        self._scope = "Namespaced" if resource.namespaced else ""
        self._given = [parameters.path("namespace")] if resource.namespaced else []

    def add(self) -> None:
        resource = self._resource
        root, plural = self._paths.root, resource.gvr.resource
        place = f"namespaces/{{namespace}}/{plural}" if resource.namespaced else plural
        pretty = parameters.queries(["pretty"])
        name = parameters.name_of(resource.kind)
        self._paths.put(f"{root}/{place}", [*self._given, *pretty], self._collection())
        single = self._single(resource.verbs)
        if single:
            self._paths.put(f"{root}/{place}/{{name}}", [*self._given, name, *pretty], single)
        for sub in resource.subresources.values():
            self._subresource(f"{root}/{place}/{{name}}/{sub.name}", sub)
        everywhere = resource.namespaced and "list" in resource.verbs
        if everywhere:
            listing = self._list("ForAllNamespaces", scope="")
            self._paths.put(f"{root}/{plural}", pretty, {"get": listing})
        if "watch" in resource.verbs:
            if everywhere:
                self._paths.put(f"{root}/watch/{plural}", pretty, {"get": self._watch("ListForAllNamespaces", "")})
            self._paths.put(f"{root}/watch/{place}", [*self._given, *pretty], {"get": self._watch("List", self._scope)})
            if "get" in resource.verbs:
                given = [*self._given, name, *pretty]
                self._paths.put(f"{root}/watch/{place}/{{name}}", given, {"get": self._watch("", self._scope)})

    def _collection(self) -> dict[str, Obj]:
        verbs, kind, gvk = self._resource.verbs, self._resource.kind, self._resource.gvk
        out = {}
        if "list" in verbs:
            out["get"] = self._list("", self._scope)
        if "create" in verbs:
            out["post"] = self._paths.operation(
                "post", "create", f"{self._scope}{kind}", gvk, f"create {article(kind)} {kind}", (200, 201, 202), self._one,
                parameters.queries(parameters.WRITE), self._one,
            )  # fmt: skip
        if "deletecollection" in verbs:
            out["delete"] = self._paths.operation(
                "deletecollection", "delete", f"Collection{self._scope}{kind}", gvk, f"delete collection of {kind}", (200,),
                self._schemas.of_name("meta/v1.Status"), parameters.queries(parameters.DELETE_COLLECTION),
                self._schemas.of_name("meta/v1.DeleteOptions"),
            )  # fmt: skip
        return out

    def _list(self, suffix: str, scope: str) -> Obj:
        resource = self._resource
        many = self._schemas.of_kind(resource.gvk._replace(kind=resource.list_kind))
        how = "list or watch" if "watch" in resource.verbs else "list"
        return self._paths.operation(
            "list", "list", f"{scope}{resource.kind}{suffix}", resource.gvk, f"{how} objects of kind {resource.kind}", (200,),
            many, parameters.queries(parameters.LIST), produces=_WATCHED,
        )  # fmt: skip

    def _watch(self, suffix: str, scope: str) -> Obj:
        kind = self._resource.kind
        if suffix:
            action, text = "watchlist", f"watch individual changes to a list of {kind}. {_DEPRECATED}."
        else:
            action = "watch"
            text = (
                f"watch changes to an object of kind {kind}. {_DEPRECATED}, filtered to a single item with the "
                "'fieldSelector' parameter."
            )
        return self._paths.operation(
            action, "watch", f"{scope}{kind}{suffix}", self._resource.gvk, text, (200,),
            self._schemas.of_name("meta/v1.WatchEvent"), parameters.queries(parameters.LIST), produces=_WATCHED,
        )  # fmt: skip

    def _single(self, verbs: Iterable[str], sub: Subresource | None = None) -> dict[str, Obj]:
        kind, out = self._resource.kind, {}
        gvk = sub.kind if sub is not None else self._resource.gvk
        one = self._one if gvk == self._resource.gvk else self._schemas.of_kind(gvk)
        id_ = f"{self._scope}{kind}{joined(sub.name, True) if sub else ''}"
        of = f"{sub.name} of " if sub is not None else ""
        write = parameters.queries(parameters.WRITE)
        if "get" in verbs:
            out["get"] = self._paths.operation("get", "read", id_, gvk, f"read {of}the specified {kind}", (200,), one)
        if "update" in verbs:
            out["put"] = self._paths.operation(
                "put", "replace", id_, gvk, f"replace {of}the specified {kind}", (200, 201), one, write, one
            )
        if "create" in verbs and sub is not None:
            text = f"create {of}{article(kind)} {kind}"
            out["post"] = self._paths.operation("post", "create", id_, gvk, text, (200, 201, 202), one, write, one)
        if "delete" in verbs:
            answer = one if self._returns_object else self._schemas.of_name("meta/v1.Status")
            out["delete"] = self._paths.operation(
                "delete", "delete", id_, gvk, f"delete {of}{article(kind)} {kind}", (200, 202), answer,
                parameters.queries(parameters.DELETE), self._schemas.of_name("meta/v1.DeleteOptions"),
            )  # fmt: skip
        if "patch" in verbs:
            out["patch"] = self._paths.operation(
                "patch", "patch", id_, gvk, f"partially update {of}the specified {kind}", (200, 201), one,
                parameters.queries(parameters.PATCH, apply=True), self._schemas.of_name(PATCH_NAME), consumes=_PATCHES,
            )  # fmt: skip
        return out

    def _subresource(self, path: str, sub: Subresource) -> None:
        if sub.kind.kind.endswith("Options"):
            self._connect(path, sub)
            return
        given = [*self._given, parameters.name_of(sub.kind.kind), *parameters.queries(["pretty"])]
        if sub.name == "log" and not sub.kind.group:
            operation = self._paths.operation(
                "get", "read", f"{self._scope}{self._resource.kind}Log", sub.kind,
                f"read log of the specified {self._resource.kind}", (200,), _STRING,
                parameters.of_options(GVK("", "v1", "PodLogOptions")), produces=(*BODIES, "text/plain"),
            )  # fmt: skip
            self._paths.put(path, given, {"get": operation})
            return
        self._paths.put(path, given, self._single(sub.verbs, sub))

    def _connect(self, path: str, sub: Subresource) -> None:
        methods = [_CONNECTED[v] for v in sub.verbs if v in _CONNECTED]
        proxied = sub.name == "proxy"
        if proxied:
            methods += ["head", "options"]
        query = parameters.of_options(sub.kind)
        kind = self._resource.kind
        given = [*self._given, parameters.name_of(sub.kind.kind)]
        for suffix in ("", "WithPath") if proxied else ("",):
            operations = {}
            for method in methods:
                operations[method] = self._paths.operation(
                    "connect", "connect", f"{method.capitalize()}{self._scope}{kind}{joined(sub.name, True)}{suffix}",
                    sub.kind, f"connect {method.upper()} requests to {sub.name} of {kind}", (200,), _STRING, query,
                    produces=("*/*",),
                )  # fmt: skip
            if suffix:
                self._paths.put(f"{path}/{{path}}", [*given, parameters.path("path")], operations)
            else:
                self._paths.put(path, given, operations)


def article(kind: str) -> str:
    return "an" if kind[0] in "AEIOU" else "a"
