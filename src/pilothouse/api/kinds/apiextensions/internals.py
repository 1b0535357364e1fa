"""A CustomResourceDefinition as upstream judges it: its internal form, and how messages show parts of that.

What all versions have alike (schema, subresources, columns, selectable fields) stands once, above them; a definition of one
version has all of it there. Source: upstream's apiextensions/v1/conversion.go and apiextensions/types*.go, whose order of fields
this keeps.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.objects import Obj

SHARED: Final = {
    "schema": "validation", "subresources": "subresources", "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}  # fmt: skip
# JSON name → (Go name, what it is where it is not set)
SCHEMA_FIELDS: Final[dict[str, tuple[str, Any]]] = {
    "id": ("ID", ""), "$schema": ("Schema", ""), "$ref": ("Ref", None), "description": ("Description", ""),
    "type": ("Type", ""), "nullable": ("Nullable", False), "format": ("Format", ""), "title": ("Title", ""),
    "default": ("Default", None), "maximum": ("Maximum", None), "exclusiveMaximum": ("ExclusiveMaximum", False),
    "minimum": ("Minimum", None), "exclusiveMinimum": ("ExclusiveMinimum", False), "maxLength": ("MaxLength", None),
    "minLength": ("MinLength", None), "pattern": ("Pattern", ""), "maxItems": ("MaxItems", None),
    "minItems": ("MinItems", None), "uniqueItems": ("UniqueItems", False), "multipleOf": ("MultipleOf", None),
    "enum": ("Enum", None), "maxProperties": ("MaxProperties", None), "minProperties": ("MinProperties", None),
    "required": ("Required", None), "items": ("Items", None), "allOf": ("AllOf", None), "oneOf": ("OneOf", None),
    "anyOf": ("AnyOf", None), "not": ("Not", None), "properties": ("Properties", None),
    "additionalProperties": ("AdditionalProperties", None), "patternProperties": ("PatternProperties", None),
    "dependencies": ("Dependencies", None), "additionalItems": ("AdditionalItems", None),
    "definitions": ("Definitions", None), "externalDocs": ("ExternalDocs", None), "example": ("Example", None),
    "x-kubernetes-preserve-unknown-fields": ("XPreserveUnknownFields", None),
    "x-kubernetes-embedded-resource": ("XEmbeddedResource", False), "x-kubernetes-int-or-string": ("XIntOrString", False),
    "x-kubernetes-list-map-keys": ("XListMapKeys", None), "x-kubernetes-list-type": ("XListType", None),
    "x-kubernetes-map-type": ("XMapType", None), "x-kubernetes-validations": ("XValidations", None),
}  # fmt: skip
_RULE: Final[dict[str, tuple[str, Any]]] = {
    "rule": ("Rule", ""), "message": ("Message", ""), "messageExpression": ("MessageExpression", ""),
    "reason": ("Reason", None), "fieldPath": ("FieldPath", ""), "optionalOldSelf": ("OptionalOldSelf", None),
}  # fmt: skip
_VERSION: Final[dict[str, tuple[str, Any]]] = {
    "name": ("Name", ""), "served": ("Served", False), "storage": ("Storage", False), "deprecated": ("Deprecated", False),
    "deprecationWarning": ("DeprecationWarning", None), "schema": ("Schema", None), "subresources": ("Subresources", None),
    "additionalPrinterColumns": ("AdditionalPrinterColumns", None), "selectableFields": ("SelectableFields", None),
}  # fmt: skip
_COLUMN: Final[dict[str, tuple[str, Any]]] = {
    "name": ("Name", ""), "type": ("Type", ""), "format": ("Format", ""), "description": ("Description", ""),
    "priority": ("Priority", 0), "jsonPath": ("JSONPath", ""),
}  # fmt: skip
_SCALE: Final[dict[str, tuple[str, Any]]] = {
    "specReplicasPath": ("SpecReplicasPath", ""), "statusReplicasPath": ("StatusReplicasPath", ""),
    "labelSelectorPath": ("LabelSelectorPath", None),
}  # fmt: skip
_DOCS: Final[dict[str, tuple[str, Any]]] = {"description": ("Description", ""), "url": ("URL", "")}


def of_spec(spec: Obj) -> Obj:
    """The spec with what its versions share above them, as `validation`, `subresources` and so on, and `version`."""
    out = dict(spec)
    versions = spec.get("versions") or []
    if not versions:
        return out
    out["version"] = versions[0].get("name") or ""
    taken = set()
    for name, above in SHARED.items():
        first = versions[0].get(name)
        if all((v.get(name) or None) == (first or None) or v.get(name) == first for v in versions):
            taken.add(name)
            if first is not None:
                out[above] = first
    out["versions"] = [{k: v for k, v in version.items() if k not in taken} for version in versions]
    return out


def _struct(fields: dict[str, tuple[str, Any]], value: Obj, **made: Any) -> Obj:
    return {go: made[name] if name in made else _or(value.get(name), zero) for name, (go, zero) in fields.items()}


def _or(value: Any, zero: Any) -> Any:
    return zero if value is None else value


def rule(value: Obj) -> Obj:
    return _struct(_RULE, value)


def versions(values: list[Obj] | None) -> Any:
    return None if values is None else [_version(v) for v in values]


def _version(value: Obj) -> Obj:
    schema, subresources = value.get("schema"), value.get("subresources")
    columns, fields = value.get("additionalPrinterColumns"), value.get("selectableFields")
    shown_subresources = None
    if subresources is not None:
        scale = subresources.get("scale")
        shown_subresources = {
            "Status": subresources.get("status"), "Scale": None if scale is None else _struct(_SCALE, scale),
        }  # fmt: skip
    return _struct(
        _VERSION, value,
        schema=None if schema is None else {"OpenAPIV3Schema": _optional(schema.get("openAPIV3Schema"))},
        subresources=shown_subresources,
        additionalPrinterColumns=[_struct(_COLUMN, c) for c in columns] if columns else None,
        selectableFields=[{"JSONPath": f.get("jsonPath") or ""} for f in fields] if fields else None,
    )  # fmt: skip


def _optional(value: Any) -> Any:
    return None if value is None else schema(value)


def schema(value: Obj) -> Obj:
    """A JSONSchemaProps."""
    made: Obj = {}
    for name in ("allOf", "oneOf", "anyOf"):
        made[name] = [schema(s) for s in value[name]] if value.get(name) else None
    for name in ("properties", "patternProperties", "definitions"):
        given = value.get(name)
        made[name] = {k: schema(given[k]) for k in sorted(given)} if given else None
    for name in ("additionalProperties", "additionalItems"):
        made[name] = _or_bool(value.get(name))
    dependencies = value.get("dependencies")
    made["dependencies"] = {k: _or_strings(dependencies[k]) for k in sorted(dependencies)} if dependencies else None
    docs = value.get("externalDocs")
    made["externalDocs"] = None if docs is None else _struct(_DOCS, docs)
    made["items"] = items(value.get("items"))
    made["not"] = _optional(value.get("not"))
    rules = value.get("x-kubernetes-validations")
    made["x-kubernetes-validations"] = [rule(r) for r in rules] if rules else None
    return _struct(SCHEMA_FIELDS, value, **made)


def items(value: Any) -> Any:
    if isinstance(value, list):
        return {"Schema": None, "JSONSchemas": [schema(s) for s in value]}
    return None if value is None else {"Schema": schema(value), "JSONSchemas": None}


def _or_bool(value: Any) -> Any:
    if value is None:
        return None
    return {
        "Allows": bool(value) or isinstance(value, dict),
        "Schema": schema(value) if isinstance(value, dict) else None,
    }


def _or_strings(value: Any) -> Obj:
    if isinstance(value, dict):
        return {"Schema": schema(value), "Property": None}
    return {"Schema": None, "Property": value}
