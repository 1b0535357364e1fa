"""The OpenAPI documents of custom resources, as upstream publishes them: in version 3 the schema as it is, in version 2 without
what kubectl cannot read.

Source: apiextensions-apiserver's controller/openapi (builder and v2 conversion) and its published documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from pilothouse.api.objects import Obj
from pilothouse.api.openapi import descriptions, parameters
from pilothouse.api.openapi.operations import JSON, PATCH_NAME, Paths, article, joined
from pilothouse.api.openapi.schemas import REFERENCE, Schemas
from pilothouse.api.scheme import GVK, Resource

_BODIES: Final = (JSON, "application/yaml")
_PATCHES: Final = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_CONVENTIONS: Final = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_EITHER: Final = ({"type": "integer"}, {"type": "string"})
_JUNCTORS: Final = ("allOf", "oneOf", "anyOf", "not")


class Custom(NamedTuple):
    """One custom resource in one version. `schema`: its openAPIV3Schema, None without one."""

    resource: Resource
    list_kind: str
    schema: Obj | None
    selectable_fields: tuple[str, ...] = ()


def document(api_version: str, found: Iterable[Custom], *, version_2: bool = False) -> Obj:
    """The OpenAPI 3 document of a group and version of custom resources; with `version_2` its schemas are those that the
    OpenAPI 2 document has, still in the form of 3."""
    schemas = Schemas()
    paths = Paths(api_version, schemas, custom=True)
    schemas.of_name("meta/v1.ObjectMeta")
    for custom in found:
        gvk = custom.resource.gvk
        listed = gvk._replace(kind=custom.list_kind)
        schemas.found[_name(gvk)] = _with_kind(_kind_schema(custom, version_2, schemas), gvk, custom)
        schemas.found[_name(listed)] = _with_kind(_list_schema(custom, schemas), listed, custom)
        _Operations(paths, custom.resource, schemas).add(_reference(gvk), _reference(listed))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"},
        "paths": dict(sorted(paths.found.items())),
        "components": {"schemas": dict(sorted(schemas.found.items()))},
    }


def _name(gvk: GVK) -> str:
    return ".".join([*reversed(gvk.group.split(".")), gvk.version, gvk.kind])


def _reference(gvk: GVK) -> Obj:
    return {"$ref": REFERENCE + _name(gvk)}


def _with_kind(schema: Obj, gvk: GVK, custom: Custom) -> Obj:
    schema["x-kubernetes-group-version-kind"] = [gvk._asdict()]
    if custom.selectable_fields:
        schema["x-kubernetes-selectable-fields"] = [{"fieldPath": path} for path in custom.selectable_fields]
    return schema


def _kind_schema(custom: Custom, version_2: bool, schemas: Schemas) -> Obj:
    schema = custom.schema
    # Said to have any fields at all, kubectl would refuse those that are not said.
    if schema is None or (version_2 and schema.get(_PRESERVE)):
        return {"type": "object"}
    found = _walk(schema, _for_version_2) if version_2 else _walk(schema, _unfold)
    found = _embedded(found, version_2, schemas)
    properties = {**found.get("properties", {}), **_head(), "metadata": _meta("ObjectMeta", schemas)}
    return _ordered({**found, "properties": dict(sorted(properties.items()))})


def _head() -> Obj:
    told = descriptions.of_type("meta/v1.APIGroup").fields
    return {name: {"description": told.get(name, ""), "type": "string"} for name in ("apiVersion", "kind")}


def _meta(type_: str, schemas: Schemas) -> Obj:
    what, where = ("list", "types-kinds") if type_ == "ListMeta" else ("object's", "metadata")
    return {
        "description": f"Standard {what} metadata. More info: {_CONVENTIONS}#{where}",
        "allOf": [schemas.of_name(f"meta/v1.{type_}")],
    }


def _list_schema(custom: Custom, schemas: Schemas) -> Obj:
    items = {
        "description": f"List of {custom.resource.gvr.resource}. More info: {_CONVENTIONS}",
        "type": "array",
        "items": _reference(custom.resource.gvk),
    }
    head = _head()
    return {
        "description": f"{custom.list_kind} is a list of {custom.resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": head["apiVersion"], "items": items, "kind": head["kind"],
            "metadata": _meta("ListMeta", schemas),
        },
    }  # fmt: skip


def _walk(schema: Obj, change: Callable[[Obj], Obj]) -> Obj:
    """A copy of a structural schema with every part of it changed, the parts above before those below."""
    out = change(dict(schema))
    if isinstance(out.get("properties"), dict):
        out["properties"] = {name: _walk(part, change) for name, part in sorted(out["properties"].items())}
    for name in ("items", "additionalProperties"):
        if isinstance(out.get(name), dict):
            out[name] = _walk(out[name], change)
    return out


def _unfold(schema: Obj) -> Obj:
    if schema.get(_INT_OR_STRING) and not _says_either(schema):
        schema["anyOf"] = list(_EITHER)
    return schema


def _says_either(schema: Obj) -> bool:
    wanted = list(_EITHER)
    return schema.get("anyOf") == wanted or any(part.get("anyOf") == wanted for part in schema.get("allOf") or ())


def _for_version_2(schema: Obj) -> Obj:
    """Without what OpenAPI 2 or kubectl's reader of it does not know."""
    for name in _JUNCTORS:
        schema.pop(name, None)
    properties = schema.get("properties")
    preserves = bool(schema.get(_PRESERVE))
    nullable = schema.pop("nullable", False)
    if nullable or preserves:
        schema.pop("items", None)
        properties = schema.pop("properties", None) and None
    if nullable or (preserves and schema.get("type") == "object"):
        schema.pop("type", None)
    if schema.get("type") == "array" and "items" not in schema:
        del schema["type"]
    required = [r for r in schema.get("required") or () if not ((properties or {}).get(r) or {}).get("nullable")]
    values = schema.get("additionalProperties")
    if isinstance(values, dict) and values.get("nullable"):
        required = []
    if required:
        schema["required"] = required
    else:
        schema.pop("required", None)
    return schema


def _embedded(schema: Obj, version_2: bool, schemas: Schemas) -> Obj:
    """A copy in which embedded objects have what every object has."""
    out = dict(schema)
    if isinstance(out.get("properties"), dict):
        out["properties"] = {n: _embedded(part, version_2, schemas) for n, part in out["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(out.get(name), dict):
            out[name] = _embedded(out[name], version_2, schemas)
    if not out.get(_EMBEDDED) or (version_2 and out.get(_PRESERVE)):
        return out
    added: Obj = {
        "apiVersion": {
            "description": f"apiVersion is the group and version of this object. More info: {_CONVENTIONS}#resources",
            "type": "string",
        },
        "kind": {
            "description": f"kind is the type of this object. More info: {_CONVENTIONS}#types-kinds",
            "type": "string",
        },
        "metadata": _meta("ObjectMeta", schemas),
    }
    out["properties"] = dict(sorted({**out.get("properties", {}), **added}.items()))
    required = list(out.get("required") or ())
    out["required"] = required + [name for name in ("kind", "apiVersion") if name not in required]
    return _ordered(out)


def _ordered(schema: Obj) -> Obj:
    first: Obj = {name: schema[name] for name in ("description", "type", "required", "properties") if name in schema}
    return {**first, **schema}


class _Operations:
    """Adds one custom resource's paths: fewer than a built-in one has, and said in other words."""

    def __init__(self, paths: Paths, resource: Resource, schemas: Schemas) -> None:
        self._paths, self._resource, self._schemas = paths, resource, schemas
        self._scope = "Namespaced" if resource.namespaced else ""
        self._given = parameters.queries(["pretty"])
        if resource.namespaced:
            self._given.append(parameters.path("namespace"))

    def add(self, one: Obj, many: Obj) -> None:
        resource, paths = self._resource, self._paths
        kind, plural = resource.kind, resource.gvr.resource
        listing = parameters.queries(parameters.LIST)
        text = f"list objects of kind {kind}"
        place = f"{paths.root}/{plural}"
        if resource.namespaced:
            everywhere = self._operation("list", "list", f"{kind}ForAllNamespaces", text, (200,), many, listing)
            paths.put(place, parameters.queries(["pretty"]), {"get": everywhere})
            place = f"{paths.root}/namespaces/{{namespace}}/{plural}"
        status = self._schemas.of_name("meta/v1.Status")
        id_ = f"{self._scope}{kind}"
        write = parameters.queries(parameters.WRITE)
        paths.put(place, self._given, {
            "get": self._operation("list", "list", id_, text, (200,), many, listing),
            "post": self._operation("post", "create", id_, f"create {article(kind)} {kind}", (200, 201, 202), one, write, one),
            "delete": self._operation(
                "deletecollection", "delete", f"Collection{id_}", f"delete collection of {kind}", (200,), status, listing
            ),
        })  # fmt: skip
        named = [*self._given, parameters.name_of(kind)]
        delete = self._operation(
            "delete", "delete", id_, f"delete {article(kind)} {kind}", (200, 202), status,
            parameters.queries(parameters.DELETE), self._schemas.of_name("meta/v1.DeleteOptions"),
        )  # fmt: skip
        paths.put(f"{place}/{{name}}", named, {**self._written("", one), "delete": delete})
        for sub in resource.subresources.values():
            shown = one if sub.kind == resource.gvk else self._schemas.of_kind(sub.kind)
            paths.put(f"{place}/{{name}}/{sub.name}", named, self._written(sub.name, shown))

    def _written(self, sub: str, one: Obj) -> dict[str, Obj]:
        kind = self._resource.kind
        id_ = f"{self._scope}{kind}{joined(sub, True)}"
        of = f"{sub} of " if sub else ""
        write = parameters.queries(parameters.WRITE)
        return {
            "get": self._operation(
                "get", "read", id_, f"read {of}the specified {kind}", (200,), one, parameters.queries(["resourceVersion"])
            ),
            "put": self._operation("put", "replace", id_, f"replace {of}the specified {kind}", (200, 201), one, write, one),
            "patch": self._operation(
                "patch", "patch", id_, f"partially update {of}the specified {kind}", (200,), one,
                parameters.queries(parameters.PATCH, apply=True), self._schemas.of_name(PATCH_NAME),
            ),
        }  # fmt: skip

    def _operation(
        self,
        action: str,
        verb: str,
        id_: str,
        text: str,
        codes: Iterable[int],
        answer: Obj,
        query: Any,
        body: Obj | None = None,
    ) -> Obj:
        consumes = _PATCHES if action == "patch" else _BODIES
        return self._paths.operation(
            action, verb, id_, self._resource.gvk, text, codes, answer, query, body, produces=_BODIES, consumes=consumes
        )
