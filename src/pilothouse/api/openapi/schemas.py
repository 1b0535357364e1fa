"""The schemas of the built-in types in their OpenAPI 3 form, from the types' tables; texts come from `descriptions`.

Source: upstream's published documents, and kube-openapi's generator for what decides on defaults.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pilothouse.api.objects import Obj
from pilothouse.api.openapi import descriptions
from pilothouse.api.scheme import GVK, load_facts, split_api_version
from pilothouse.api.types import Field, Shape, Type, type_named, type_of

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
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
_NAMED: Final[dict[str, str]] = {
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "time": f"{_META}.Time",
    "microtime": f"{_META}.MicroTime",
    "intOrString": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "rawExtension": "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "fieldsV1": f"{_META}.FieldsV1",
    "json": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
}
# Types that are written otherwise than their fields say.
_SPECIAL: Final[dict[str, Obj]] = {
    _NAMED["quantity"]: {
        "description": "Quantity is a fixed-point number with a suffix of its scale, like 100m, 1.5Gi or 2e3.",
        "oneOf": [{"type": "string"}, {"type": "number"}],
    },
    _NAMED["time"]: {"description": "Time is a moment as of RFC 3339.", "type": "string", "format": "date-time"},
    _NAMED["microtime"]: {
        "description": "MicroTime is a moment as of RFC 3339, with microseconds.", "type": "string", "format": "date-time",
    },
    _NAMED["intOrString"]: {
        "description": "IntOrString is a whole number or a string.", "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    _NAMED["rawExtension"]: {"description": "RawExtension is an object of any kind.", "type": "object"},
    _NAMED["fieldsV1"]: {
        "description": "FieldsV1 is a set of fields as a trie: f:NAME, k:KEYS, v:VALUE or i:INDEX lead on, . is the field.",
        "type": "object",
    },
    _NAMED["json"]: {"description": "JSON is any JSON value."},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": {
        "description": "JSONSchemaPropsOrArray is a schema or an array of schemas.",
    },
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": {
        "description": "JSONSchemaPropsOrBool is a schema or a boolean.",
    },
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": {
        "description": "JSONSchemaPropsOrStringArray is a schema or an array of strings.",
    },
    f"{_META}.Patch": {"description": "Patch is the body of a PATCH request.", "type": "object"},
    "io.k8s.apimachinery.pkg.version.Info": {
        "description": "Info is the version of a server.",
        "type": "object",
        "required": [
            "major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform",
        ],
        "properties": {
            "buildDate": {"type": "string", "default": ""},
            "compiler": {"type": "string", "default": ""},
            "emulationMajor": {"type": "string"},
            "emulationMinor": {"type": "string"},
            "gitCommit": {"type": "string", "default": ""},
            "gitTreeState": {"type": "string", "default": ""},
            "gitVersion": {"type": "string", "default": ""},
            "goVersion": {"type": "string", "default": ""},
            "major": {"type": "string", "default": ""},
            "minCompatibilityMajor": {"type": "string"},
            "minCompatibilityMinor": {"type": "string"},
            "minor": {"type": "string", "default": ""},
            "platform": {"type": "string", "default": ""},
        },
    },
}  # fmt: skip
# Every group and version has these as kinds of its own, and so have some that serve nothing.
_EVERYWHERE: Final = ("meta/v1.DeleteOptions", "meta/v1.WatchEvent")
_UNSERVED: Final = (("apiextensions.k8s.io", "v1beta1"), ("apiregistration.k8s.io", "v1beta1"))
# Those have no kinds but their own.
_APART: Final = frozenset(
    {
        "audit.k8s.io/v1", "apidiscovery.k8s.io/v2", "apidiscovery.k8s.io/v2beta1", "meta.k8s.io/v1", "meta.k8s.io/v1beta1",
    }
)  # fmt: skip
_ZEROS: Final[dict[str, Any]] = {"string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0}
REFERENCE: Final = "#/components/schemas/"


def component_name(type_name: str) -> str:
    """`core/v1.Container` → `io.k8s.api.core.v1.Container`."""
    package, _, kind = type_name.rpartition(".")
    group, _, version = package.partition("/")
    prefix = _PREFIXES.get(group, f"io.k8s.api.{group}")
    return f"{prefix}.{version}.{kind}"


@cache
def _kinds() -> dict[str, list[Obj]]:
    """Type → the kinds that it is, in every group and version that knows it."""
    found: dict[str, list[GVK]] = {}
    versions = [split_api_version(v) for v in load_facts("types")["kinds"] if v not in _APART]
    for name in _EVERYWHERE:
        kind = name.rpartition(".")[2]
        found[name] = [GVK(group, version, kind) for group, version in (*versions, *_UNSERVED)]
    for api_version, kinds in load_facts("types")["kinds"].items():
        group, version = split_api_version(api_version)
        for kind, name in kinds.items():
            if name in _EVERYWHERE:
                continue
            found.setdefault(name, []).append(GVK(group, version, kind))
    return {name: [gvk._asdict() for gvk in sorted(gvks)] for name, gvks in found.items()}


@cache
def _unions() -> dict[str, Any]:
    return {name: row["unions"] for name, row in load_facts("types")["types"].items() if "unions" in row}


class Schemas:
    """Collects the schemas that a document needs: `found`, component name → schema."""

    def __init__(self, api_version: str | None = None) -> None:
        """`api_version`: of the document; None where it is of all."""
        self.found: Obj = {}
        self._own = None if api_version is None else (("", "v1"), split_api_version(api_version))

    def of_kind(self, gvk: GVK) -> Obj:
        type_ = type_of(gvk)
        return self.of_type(type_) if type_ is not None else {"type": "object"}

    def of_name(self, type_name: str) -> Obj:
        """`meta/v1.Status`, or one of those that are no struct of the tables by its component name."""
        if type_name in _SPECIAL:
            self.found.setdefault(type_name, _SPECIAL[type_name])
            return {"$ref": REFERENCE + type_name}
        return self.of_type(type_named(f"#{type_name}"))

    def of_type(self, type_: Type) -> Obj:
        """A reference to the schema of a struct."""
        name = component_name(type_.name)
        if name in _SPECIAL:
            return self.of_name(name)
        if name not in self.found:
            self.found[name] = {}
            self.found[name] = self._struct(type_)
        return {"$ref": REFERENCE + name}

    def _struct(self, type_: Type) -> Obj:
        told = descriptions.of_type(type_.name)
        out: Obj = {}
        if told.text:
            out["description"] = told.text
        out["type"] = "object"
        required = [f.name for f in type_.fields.values() if f.required]
        if required:
            out["required"] = required
        if type_.fields:
            out["properties"] = {
                name: self._field(field, told.fields.get(name.replace("-", "_"), ""))
                for name, field in sorted(type_.fields.items())
            }
        gvks = _kinds().get(type_.name)
        if gvks and self._own is not None and type_.name in _EVERYWHERE:
            gvks = [g for g in gvks if (g["group"], g["version"]) in self._own]
        if gvks:
            out["x-kubernetes-group-version-kind"] = gvks
        if type_.map_type:
            out["x-kubernetes-map-type"] = type_.map_type
        unions = _unions().get(type_.name)
        if unions:
            out["x-kubernetes-unions"] = unions
        return out

    def _field(self, field: Field, text: str) -> Obj:
        out: Obj = {}
        if field.enum:
            listed = "\n".join(f' - `"{value}"`' for value in field.enum)
            text = f"{text}\n\nPossible enum values:\n{listed}".lstrip("\n")
        if text:
            out["description"] = text
        schema = self._schema(field.type)
        default = _default(field)
        if "$ref" in schema:
            if not text and default is None and not _marks(field):
                return schema
            # A reference stands alone in OpenAPI 3: what is said beside it goes around it.
            if default is not None:
                out["default"] = default
            out["allOf"] = [schema]
        else:
            out.update(schema)
            if default is not None:
                out["default"] = default
            if field.format:
                out["format"] = field.format
            if field.enum:
                holder = out.get("items") or out.get("additionalProperties") or out
                holder["enum"] = list(field.enum)
        out.update(_marks(field))
        return out

    def _schema(self, type_: Type) -> Obj:
        match type_.shape:
            case Shape.STRUCT:
                return self.of_type(type_)
            case Shape.LIST:
                assert type_.element is not None
                return {"type": "array", "items": self._schema(type_.element)}
            case Shape.MAP:
                assert type_.element is not None
                return {"type": "object", "additionalProperties": self._schema(type_.element)}
        named = _NAMED.get(type_.name)
        if named is not None:
            return self.of_name(named)
        return dict(_SCALARS.get(type_.name, {"type": "object"}))


def _default(field: Field) -> Any:
    if field.default is not None or field.pointer:
        return field.default
    if field.type.shape is Shape.STRUCT:
        return None if component_name(field.type.name) in _SPECIAL else {}
    return None if field.omitempty else _ZEROS.get(field.type.name)


def _marks(field: Field) -> Obj:
    out: Obj = {}
    if field.list_map_keys:
        out["x-kubernetes-list-map-keys"] = list(field.list_map_keys)
    if field.list_type:
        out["x-kubernetes-list-type"] = field.list_type
    if field.map_type:
        out["x-kubernetes-map-type"] = field.map_type
    if field.patch_merge_key:
        out["x-kubernetes-patch-merge-key"] = field.patch_merge_key
    if field.patch_strategy:
        out["x-kubernetes-patch-strategy"] = ",".join(field.patch_strategy)
    return out
