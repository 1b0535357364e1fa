"""The OpenAPI 3 document of one group and version: the kinds' schemas, and the operations on their resources.

Source: upstream's published documents and kube-openapi's builder3. Schemas are made from the types' tables, descriptions come
from `descriptions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pilothouse.api.objects import Obj
from pilothouse.api.openapi import descriptions
from pilothouse.api.scheme import GVK, Resource, Subresource, load_facts
from pilothouse.api.types import Field, Shape, Type, type_named, type_of

_PREFIXES: Final = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_SCALARS: Final[dict[str, Obj]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float64": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "duration": {"type": "string"},
}
_NAMED: Final[dict[str, tuple[str, Obj]]] = {
    "quantity": ("io.k8s.apimachinery.pkg.api.resource.Quantity", {"type": "string"}),
    "time": ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", {"type": "string", "format": "date-time"}),
    "microtime": ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", {"type": "string", "format": "date-time"}),
    "intOrString": ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", {"type": "string", "format": "int-or-string"}),
    "rawExtension": ("io.k8s.apimachinery.pkg.runtime.RawExtension", {"type": "object"}),
    "fieldsV1": ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", {"type": "object"}),
    "json": ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", {}),
}
_ZEROS: Final[dict[str, Any]] = {"string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0}
_JSON: Final = "application/json"
_BODIES: Final = (_JSON, "application/yaml", "application/vnd.kubernetes.protobuf")
_PATCHES: Final = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
_QUERY: Final[dict[str, str]] = {
    "pretty": "string", "dryRun": "string", "fieldManager": "string", "fieldValidation": "string", "force": "boolean",
    "allowWatchBookmarks": "boolean", "continue": "string", "fieldSelector": "string", "labelSelector": "string",
    "limit": "integer", "resourceVersion": "string", "resourceVersionMatch": "string", "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer", "watch": "boolean", "gracePeriodSeconds": "integer", "orphanDependents": "boolean",
    "propagationPolicy": "string",
}  # fmt: skip
_LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch",
    "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")


def component_name(type_name: str) -> str:
    """`core/v1.Container` → `io.k8s.api.core.v1.Container`."""
    package, _, kind = type_name.rpartition(".")
    group, _, version = package.partition("/")
    prefix = _PREFIXES.get(group, f"io.k8s.api.{group}")
    return f"{prefix}.{version}.{kind}"


class Builder:
    """Collects the schemas that a document needs."""

    def __init__(self, gvks: dict[str, list[GVK]]) -> None:
        self._gvks = gvks
        self.schemas: Obj = {}

    def reference(self, type_: Type) -> str:
        """Where the schema of a struct stands; puts it there."""
        name = component_name(type_.name)
        if name not in self.schemas:
            self.schemas[name] = {}
            self.schemas[name] = self._struct(type_)
        return f"#/components/schemas/{name}"

    def _struct(self, type_: Type) -> Obj:
        told = descriptions.of_type(type_.name)
        out: Obj = {}
        if told.text:
            out["description"] = told.text
        out["type"] = "object"
        required = [f.name for f in type_.fields.values() if _is_required(f)]
        if required:
            out["required"] = sorted(required)
        out["properties"] = {
            name: self._field(field, told.fields.get(name, "")) for name, field in sorted(type_.fields.items())
        }
        if type_.map_type:
            out["x-kubernetes-map-type"] = type_.map_type
        gvks = self._gvks.get(type_.name)
        if gvks:
            out["x-kubernetes-group-version-kind"] = [g._asdict() for g in gvks]
        return out

    def _field(self, field: Field, text: str) -> Obj:
        out: Obj = {}
        if text:
            out["description"] = text
        schema = self._schema(field.type)
        default = field.default
        if default is None and not field.pointer and not field.omitempty:
            default = (
                {}
                if field.type.shape is Shape.STRUCT or field.type.name in ("time", "quantity")
                else _ZEROS.get(field.type.name)
            )
        if "$ref" in schema:
            if text or default is not None:
                out["allOf"] = [schema]
            else:
                return schema
        else:
            out.update(schema)
        if default is not None:
            out["default"] = default
        if field.enum:
            out["enum"] = list(field.enum)
        if field.list_type:
            out["x-kubernetes-list-type"] = field.list_type
        if field.list_map_keys:
            out["x-kubernetes-list-map-keys"] = list(field.list_map_keys)
        if field.map_type:
            out["x-kubernetes-map-type"] = field.map_type
        if field.patch_strategy:
            out["x-kubernetes-patch-strategy"] = ",".join(field.patch_strategy)
        if field.patch_merge_key:
            out["x-kubernetes-patch-merge-key"] = field.patch_merge_key
        return out

    def _schema(self, type_: Type) -> Obj:
        match type_.shape:
            case Shape.STRUCT:
                return {"$ref": self.reference(type_)}
            case Shape.LIST:
                return {"type": "array", "items": self._element(type_)}
            case Shape.MAP:
                return {"type": "object", "additionalProperties": self._element(type_)}
        named = _NAMED.get(type_.name)
        if named is not None:
            self.schemas.setdefault(named[0], named[1])
            return {"$ref": f"#/components/schemas/{named[0]}"}
        return dict(_SCALARS.get(type_.name, {"type": "object"}))

    def _element(self, list_or_map: Type) -> Obj:
        assert list_or_map.element is not None
        schema = self._schema(list_or_map.element)
        if list_or_map.element.shape is Shape.STRUCT:
            return {"allOf": [schema], "default": {}}
        zero = _ZEROS.get(list_or_map.element.name)
        return {**schema, "default": zero} if zero is not None and "$ref" not in schema else schema


def _is_required(field: Field) -> bool:
    return field.required


def kinds_of(api_version: str) -> dict[str, list[GVK]]:
    """Type → the kinds that it is, of those whose schemas name them."""
    found: dict[str, list[GVK]] = {}
    group, _, version = api_version.rpartition("/")
    for kind, name in load_facts("types")["kinds"].get(api_version, {}).items():
        found.setdefault(name, []).append(GVK(group, version, kind))
    return found


def document(api_version: str, resources: Iterable[Resource], schemas: dict[GVK, Obj], version: str) -> Obj:
    """The whole document. `schemas`: those of custom kinds, which have no type."""
    builder = Builder(kinds_of(api_version))
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    tag = _tag(api_version)
    paths: Obj = {f"{root}/": {"get": _operation("get", tag, None, {"type": "object"})}}
    for resource in resources:
        custom = schemas.get(resource.gvk)
        if custom is not None:
            name = _custom_name(resource.gvk)
            builder.schemas[name] = {**custom, "x-kubernetes-group-version-kind": [resource.gvk._asdict()]}
            one = {"$ref": f"#/components/schemas/{name}"}
        else:
            one = _kind_schema(builder, resource.gvk)
        _resource(builder, paths, root, tag, resource, one)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(builder.schemas.items())),
            "securitySchemes": {
                "BearerToken": {
                    "description": "Bearer Token authentication",
                    "in": "header",
                    "name": "authorization",
                    "type": "apiKey",
                }
            },
        },
    }


def _custom_name(gvk: GVK) -> str:
    return ".".join([*reversed(gvk.group.split(".")), gvk.version, gvk.kind])


def _kind_schema(builder: Builder, gvk: GVK) -> Obj:
    type_ = type_of(gvk)
    return {"$ref": builder.reference(type_)} if type_ is not None else {"type": "object"}


def _tag(api_version: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group.removesuffix('.k8s.io').replace('.', '_') or 'core'}_{version}"


def _resource(builder: Builder, paths: Obj, root: str, tag: str, resource: Resource, one: Obj) -> None:
    verbs, gvk = resource.verbs, resource.gvk
    scope = "namespaces/{namespace}/" if resource.namespaced else ""
    many_path = f"{root}/{scope}{resource.gvr.resource}"
    one_path = f"{many_path}/{{name}}"
    listed = _kind_schema(builder, GVK(gvk.group, gvk.version, resource.list_kind))
    given: list[Obj] = [_path_parameter("namespace")] if resource.namespaced else []
    many: Obj = {}
    if "list" in verbs:
        many["get"] = _operation("list", tag, gvk, listed, _LIST)
    if "create" in verbs:
        many["post"] = _operation("post", tag, gvk, one, _WRITE, one)
    if "deletecollection" in verbs:
        many["delete"] = _operation("deletecollection", tag, gvk, _status(builder), (*_LIST[1:], *_DELETE))
    if many:
        paths[many_path] = {**many, "parameters": [*given, _query("pretty")]}
        if resource.namespaced and "list" in verbs:
            everywhere = {"get": _operation("list", tag, gvk, listed, _LIST), "parameters": [_query("pretty")]}
            paths[f"{root}/{resource.gvr.resource}"] = everywhere
    single = _single(builder, verbs, tag, gvk, one)
    named = [*given, _path_parameter("name"), _query("pretty")]
    if single:
        paths[one_path] = {**single, "parameters": named}
    for sub in resource.subresources.values():
        paths[f"{one_path}/{sub.name}"] = {**_subresource(builder, sub, tag, one, gvk), "parameters": named}


def _single(builder: Builder, verbs: tuple[str, ...], tag: str, gvk: GVK, one: Obj) -> Obj:
    out: Obj = {}
    if "get" in verbs:
        out["get"] = _operation("get", tag, gvk, one)
    if "update" in verbs:
        out["put"] = _operation("put", tag, gvk, one, _WRITE, one)
    if "patch" in verbs:
        out["patch"] = _operation("patch", tag, gvk, one, (*_WRITE, "force"), _patch(builder))
    if "delete" in verbs:
        out["delete"] = _operation("delete", tag, gvk, _status(builder), _DELETE)
    return out


def _subresource(builder: Builder, sub: Subresource, tag: str, parent: Obj, gvk: GVK) -> Obj:
    one = parent if sub.kind == gvk else _kind_schema(builder, sub.kind)
    out = _single(builder, sub.verbs, tag, sub.kind, one)
    if "create" in sub.verbs:
        out["post"] = _operation("post", tag, sub.kind, one, _WRITE, one)
    return out


def _status(builder: Builder) -> Obj:
    return {"$ref": builder.reference(type_named("#meta/v1.Status"))}


def _patch(builder: Builder) -> Obj:
    name = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"
    told = "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body."
    builder.schemas.setdefault(name, {"description": told, "type": "object"})
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(
    action: str, tag: str, gvk: GVK | None, answer: Obj, query: Iterable[str] = (), body: Obj | None = None
) -> Obj:
    content = {media_type: {"schema": answer} for media_type in _BODIES}
    out: Obj = {"tags": [tag]}
    parameters = [_query(name) for name in query]
    if parameters:
        out["parameters"] = parameters
    if body is not None:
        types = _PATCHES if action == "patch" else ("*/*",)
        out["requestBody"] = {"content": {media_type: {"schema": body} for media_type in types}, "required": True}
    out["responses"] = {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}
    if gvk is not None:
        out["x-kubernetes-action"] = action
        out["x-kubernetes-group-version-kind"] = gvk._asdict()
    return out


def _query(name: str) -> Obj:
    return {"name": name, "in": "query", "schema": {"type": _QUERY[name], "uniqueItems": True}}


def _path_parameter(name: str) -> Obj:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "uniqueItems": True}}
