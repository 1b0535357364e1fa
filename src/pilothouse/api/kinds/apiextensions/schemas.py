"""What the schema of a version may say.

Source: upstream's apiextensions/validation (ValidateCustomResourceDefinitionOpenAPISchema and what is around it).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from dataclasses import field as member
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.apiextensions import expressions, internals
from pilothouse.api.kinds.apiextensions.expressions import Context
from pilothouse.api.kinds.apiextensions.walk import has
from pilothouse.api.objects import Obj
from pilothouse.api.structural import default_rules, fieldpath, rules, structure

TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_OWN: Final = ("metadata", "kind", "apiVersion")
_BREAKS: Final = re.compile(r"[\n\r]")
_AT_ROOT: Final = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength",
    "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties",
    "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What is demanded: on update, less of a definition that did not have it before."""

    conversion_review_version: bool = True
    immutable_names: bool = False
    schema: bool = True
    valid_types: bool = True
    structural: bool = True
    pruned_defaults: bool = True
    atomic_sets: bool = True
    map_keys: bool = True
    ca_bundle: bool = False
    unchanged: frozenset[str] = frozenset()  # versions whose schema did not change: rules may cost what they cost
    many_selectable: frozenset[str] = frozenset()
    cheap: bool = True  # rules of more than the limit are refused


@dataclass(frozen=True, slots=True)
class _Place:
    """What holds for a schema because of where it stands."""

    no_defaults: str | None = None  # why defaults are not allowed
    in_meta: bool = False
    uncorrelatable: str | None = None  # the first schema above whose parts have no past


@dataclass(slots=True)
class _Found:
    schema: ErrorList = member(default_factory=list)
    rules: ErrorList = member(default_factory=list)

    def __iadd__(self, other: _Found) -> _Found:
        self.schema += other.schema
        self.rules += other.rules
        return self


def validate(validation: Obj | None, path: str, *, has_status: bool, options: Options) -> ErrorList:
    """`validation`: {"openAPIV3Schema": …}."""
    schema = (validation or {}).get("openAPIV3Schema")
    if schema is None:
        return []
    at = f"{path}.openAPIV3Schema"
    found: ErrorList = []
    if has_status:
        found += _root_with_status(schema, at)
    if schema.get("nullable"):
        found.append(field.forbidden(f"{at}.nullable", "nullable cannot be true at the root"))
    context: Context | None = None
    why = ""
    if options.structural:
        why = structure.unconvertible(schema)
        if not why:
            wrong = structure.validate(at, schema)
            if not wrong:
                wrong = default_rules.validate(at, schema, rules.of_default, pruned=options.pruned_defaults)
            if wrong:
                found += wrong
            else:
                context = Context.of_root(schema)
    nodes = _node(schema, at, _Place(), True, options, context)
    found += nodes.schema + nodes.rules
    if not found and why:
        found.append(field.invalid(at, "", why))
    if context is not None:
        found += context.total.errors(at)
    return found


def _root_with_status(schema: Obj, at: str) -> ErrorList:
    for name, (go_name, zero) in internals.SCHEMA_FIELDS.items():
        value = schema.get(name)
        if value is None or value == zero:
            continue
        if name == "type":
            if value != "object":
                why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
                return [field.invalid(f"{at}.type", value, why)]
        elif go_name not in _AT_ROOT:
            why = (
                f"only [{' '.join(_AT_ROOT)}] fields are allowed at the root of the schema if the status subresource is "
                "enabled"
            )
            return [field.invalid(at, internals.schema(schema), why)]
    return []


def _node(schema: Any, path: str, place: _Place, root: bool, options: Options, context: Context | None) -> _Found:
    found = _Found()
    if not isinstance(schema, dict):
        return found
    found.schema += _standard(schema, path, place, options)
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.schema.append(field.forbidden(f"{path}.uniqueItems", why))
    found += _below(schema, path, place, root, options, context)
    found.schema += _preserve(schema, path)
    found.schema += _map_type(schema, path)
    found.schema += _list_type(schema, path, options)
    if options.map_keys:
        found.schema += map_keys(schema, path)
    if schema.get("x-kubernetes-validations"):
        found.schema += _rules(schema, path)
        if not found.schema and context is not None:
            found.rules += expressions.validate(
                schema, path, context, root=root, cheap=options.cheap, uncorrelatable=place.uncorrelatable
            )
    return found


def _standard(schema: Obj, path: str, place: _Place, options: Options) -> ErrorList:
    found: ErrorList = []
    kind = schema.get("type") or ""
    if options.valid_types and kind and kind not in TYPES:
        found.append(field.not_supported(f"{path}.type", kind, TYPES))
    if schema.get("default") is not None and place.no_defaults is not None:
        found.append(field.forbidden(f"{path}.default", f"must not be set {place.no_defaults}".rstrip()))
    for name, present in (
        ("id", schema.get("id")), ("additionalItems", "additionalItems" in schema),
        ("patternProperties", schema.get("patternProperties")), ("definitions", schema.get("definitions")),
        ("dependencies", schema.get("dependencies") is not None), ("$ref", schema.get("$ref") is not None),
    ):  # fmt: skip
        if present:
            found.append(field.forbidden(f"{path}.{name}", f"{name} is not supported"))
    if kind == "null":
        why = "type cannot be set to null, use nullable as an alternative"
        found.append(field.forbidden(f"{path}.type", why))
    if isinstance(schema.get("items"), list):
        found.append(field.forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if place.in_meta and schema.get("x-kubernetes-embedded-resource"):
        at = f"{path}.x-kubernetes-embedded-resource"
        found.append(field.forbidden(at, "must not be used inside of resource meta"))
    return found


def _below(schema: Obj, path: str, place: _Place, root: bool, options: Options, context: Context | None) -> _Found:
    found = _Found()
    properties, rest, items = schema.get("properties") or {}, schema.get("additionalProperties"), schema.get("items")
    if rest is not None:
        if properties and rest is not True:
            why = "additionalProperties and properties are mutual exclusive"
            found.schema.append(field.forbidden(f"{path}.additionalProperties", why))
        inner = place
        if place.in_meta:
            inner = replace(place, no_defaults="inside additionalProperties applying to object metadata")
        child = context.additional(rest) if context is not None and isinstance(rest, dict) else None
        found += _node(rest, f"{path}.additionalProperties", inner, False, options, child)
    embedded = root or bool(schema.get("x-kubernetes-embedded-resource"))
    for name, below in sorted(properties.items()):
        inner = place
        if schema.get("x-kubernetes-map-type", "granular") != "granular":
            inner = _without_past(inner, path)
        if embedded and name in _OWN:
            inner = replace(inner, in_meta=True)
            if root:
                inner = replace(inner, no_defaults=f"in top-level {name}")
        child = context.property(name, below) if context is not None else None
        found += _node(below, f"{path}.properties[{name}]", inner, False, options, child)
    found += _node(schema.get("not"), f"{path}.not", place, False, options, None)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for i, below in enumerate(schema.get(junctor) or ()):
            found += _node(below, f"{path}.{junctor}[{i}]", place, False, options, None)
    for name, below in sorted((schema.get("definitions") or {}).items()):
        found += _node(below, f"{path}.definitions[{name}]", place, False, options, None)
    if items is not None:
        inner = place if schema.get("x-kubernetes-list-type") == "map" else _without_past(place, path)
        for i, below in enumerate(items if isinstance(items, list) else [items]):
            at = f"{path}.items[{i}]" if isinstance(items, list) else f"{path}.items"
            found += _node(below, at, inner, False, options, context.items(below) if context is not None else None)
    for name, below in sorted((schema.get("dependencies") or {}).items()):
        found += _node(below, f"{path}.dependencies[{name}]", place, False, options, None)
    return found


def _without_past(place: _Place, path: str) -> _Place:
    return place if place.uncorrelatable is not None else replace(place, uncorrelatable=path)


def _preserve(schema: Obj, path: str) -> ErrorList:
    if schema.get("x-kubernetes-preserve-unknown-fields") is not False:
        return []
    return [field.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")]


def _map_type(schema: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    kind, given = schema.get("type") or "", schema.get("x-kubernetes-map-type")
    if given is None:
        return found
    if kind != "object":
        why = "must be object if x-kubernetes-map-type is specified"
        found.append(field.invalid(f"{path}.type", kind, why) if kind else field.required(f"{path}.type", why))
    if given not in ("atomic", "granular"):
        found.append(field.not_supported(f"{path}.x-kubernetes-map-type", given, ("atomic", "granular")))
    return found


def _list_type(schema: Obj, path: str, options: Options) -> ErrorList:
    found: ErrorList = []
    kind, given, items = schema.get("type") or "", schema.get("x-kubernetes-list-type"), schema.get("items")
    keys = schema.get("x-kubernetes-list-map-keys") or []
    at = f"{path}.x-kubernetes-list-type"
    if given is not None and kind != "array":
        why = "must be array if x-kubernetes-list-type is specified"
        found.append(field.invalid(f"{path}.type", kind, why) if kind else field.required(f"{path}.type", why))
    elif options.atomic_sets and (wrong := _set_of_parts(schema)):
        why = "must be atomic as item of a list with x-kubernetes-list-type=set"
        value = (items or {}).get("x-kubernetes-list-type") if isinstance(items, dict) else None
        found.append(field.invalid(f"{path}.items.{wrong}", value, why))
    if given is not None and given not in ("atomic", "set", "map"):
        found.append(field.not_supported(at, given, ("atomic", "set", "map")))
    if keys and given != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        found.append(field.required(at, why) if given is None else field.invalid(at, given, why))
    if given == "map":
        found += _map_list(items, keys, path)
    return found


def _set_of_parts(schema: Obj) -> str:
    """Which mark says that the items of a set are no wholes."""
    items = schema.get("items")
    if schema.get("x-kubernetes-list-type") != "set" or not isinstance(items, dict):
        return ""
    if items.get("type") == "array" and items.get("x-kubernetes-list-type", "atomic") != "atomic":
        return "x-kubernetes-list-type"
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        return "x-kubernetes-map-type"
    return ""


def has_set_of_parts(schema: Obj) -> bool:
    return has(schema, lambda s: bool(_set_of_parts(s)))


def _map_list(items: Any, keys: list[str], path: str) -> ErrorList:
    found: ErrorList = []
    if not keys:
        why = "must not be empty if x-kubernetes-list-type is map"
        found.append(field.required(f"{path}.x-kubernetes-list-map-keys", why))
    if items is None:
        found.append(field.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map"))
        return found
    if not isinstance(items, dict):
        why = "must only have a single schema if x-kubernetes-list-type is map"
        found.append(field.invalid(f"{path}.items", internals.items(items), why))
        return found
    kind = items.get("type") or ""
    if kind != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        found.append(field.invalid(f"{path}.items.type", kind, why))
        return found
    properties, seen = items.get("properties") or {}, set()
    for key in keys:
        below = properties.get(key)
        if below is None:
            why = "entries must all be names of item properties"
            found.append(field.invalid(f"{path}.x-kubernetes-list-map-keys", keys, why))
        elif below.get("type") in ("array", "object"):
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            found.append(field.invalid(f"{path}.items.properties[{key}].type", kind, why))
        if key in seen:
            why = "must not contain duplicate entries"
            found.append(field.invalid(f"{path}.x-kubernetes-list-map-keys", keys, why))
        seen.add(key)
    return found


def map_keys(schema: Obj, path: str) -> ErrorList:
    """Items of maps and sets are not null, and the keys of maps are always there."""
    items, given = schema.get("items"), schema.get("x-kubernetes-list-type")
    if not isinstance(items, dict) or given not in ("set", "map"):
        return []
    found: ErrorList = []
    if items.get("nullable"):
        why = f"cannot be nullable when x-kubernetes-list-type is {given}"
        found.append(field.forbidden(f"{path}.items.nullable", why))
    if given != "map":
        return found
    required, properties = items.get("required") or (), items.get("properties") or {}
    for key in schema.get("x-kubernetes-list-map-keys") or ():
        below = properties.get(key)
        if below is None:
            continue
        at = f"{path}.items.properties[{key}]"
        if key not in required and below.get("default") is None:
            why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            found.append(field.required(f"{at}.default", why))
        if below.get("nullable"):
            why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            found.append(field.forbidden(f"{at}.nullable", why))
    return found


def _rules(schema: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for i, rule in enumerate(schema["x-kubernetes-validations"]):
        at = f"{path}.x-kubernetes-validations[{i}]"
        text, message = rule.get("rule") or "", rule.get("message") or ""
        expression, place = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
        if not text.strip():
            found.append(field.required(f"{at}.rule", "rule is not specified"))
        elif message and not message.strip():
            found.append(field.invalid(f"{at}.message", message, "must be non-empty if specified"))
        elif _BREAKS.search(message.strip()):
            found.append(field.invalid(f"{at}.message", message, "must not contain line breaks"))
        elif _BREAKS.search(text.strip()) and not message.strip():
            found.append(field.required(f"{at}.message", "message must be specified if rule contains line breaks"))
        if expression and not expression.strip():
            found.append(field.required(f"{at}.messageExpression", "messageExpression must be non-empty if specified"))
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            found.append(field.not_supported(f"{at}.reason", rule["reason"], _REASONS))
        if place and not place.strip():
            found.append(field.invalid(f"{at}.fieldPath", place, "must be non-empty if specified"))
        if _BREAKS.search(place):
            found.append(field.invalid(f"{at}.fieldPath", place, "must not contain line breaks"))
        if place and not _is_path(schema, place):
            found.append(field.invalid(f"{at}.fieldPath", place, "must be a valid path"))
    return found


def _is_path(schema: Obj, path: str) -> bool:
    if structure.unconvertible(schema):
        return True
    try:
        fieldpath.resolve(path, schema)
    except ValueError:
        return False
    return True
