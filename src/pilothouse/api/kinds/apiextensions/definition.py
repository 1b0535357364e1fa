"""What a CustomResourceDefinition may say, beyond its schemas.

Source: upstream's apiextensions/validation/validation.go: its order, which single-version definitions feel most (`internals`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.apiextensions import approval, internals, schemas
from pilothouse.api.kinds.apiextensions.schemas import Options
from pilothouse.api.kinds.apiextensions.walk import has, of_versions
from pilothouse.api.kinds.common.urls import webhook_service, webhook_url
from pilothouse.api.objects import Obj, meta
from pilothouse.api.structural import default_rules, fieldpath, structure

SELECTABLE_FIELDS_MAX: Final = 8
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_REVIEW_VERSIONS: Final = ("v1", "v1beta1")
_WARNING_MAX_BYTES: Final = 256
_CASE: Final = "may have mixed case, but should otherwise match: "


def is_established(definition: Obj) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def validate(definition: Obj) -> ErrorList:
    """Of a definition to create."""
    spec = internals.of_spec(definition.get("spec") or {})
    options = Options(ca_bundle=True)
    return (
        _name(definition) + _spec(spec, options) + validate_status(definition) + _stored_versions(definition)
        + approval.validate(definition, None) + _preserves(definition)
    )  # fmt: skip


def validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = internals.of_spec(new.get("spec") or {}), internals.of_spec(old.get("spec") or {})
    options = _on_update(new, old)
    found = _spec(spec, options)
    given, were = spec.get("names") or {}, before.get("names") or {}
    fixed = []
    if options.immutable_names:
        fixed += [("scope", spec.get("scope"), before.get("scope"))]
        fixed += [("names.kind", given.get("kind"), were.get("kind"))]
    fixed += [
        ("group", spec.get("group"), before.get("group")),
        ("names.plural", given.get("plural"), were.get("plural")),
    ]
    found += [
        field.invalid(f"spec.{at}", now or "", "field is immutable")
        for at, now, was in fixed
        if (now or "") != (was or "")
    ]
    found += validate_status(new) + _stored_versions(new) + approval.validate(new, old)
    return found if (old.get("spec") or {}).get("preserveUnknownFields") else found + _preserves(new)


def validate_status(definition: Obj) -> ErrorList:
    return _names((definition.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")


def _name(definition: Obj) -> ErrorList:
    spec, metadata = definition.get("spec") or {}, meta(definition)
    wanted = f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}"
    return [
        field.invalid(f"metadata.{at}", metadata[at], 'must be spec.names.plural+"."+spec.group')
        for at in ("generateName", "name")
        if metadata.get(at) and metadata[at] != wanted
    ]


def _on_update(new: Obj, old: Obj) -> Options:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    olds = list(of_versions(before))
    conversion = (before.get("conversion") or {}).get("webhook") or {}
    reviews = conversion.get("conversionReviewVersions") or []
    versions = {v.get("name") or "": v for v in before.get("versions") or ()}
    unchanged, many = set(), set()
    for version in spec.get("versions") or ():
        was = versions.get(version.get("name") or "")
        if was is not None and version.get("schema") == was.get("schema"):
            unchanged.add(version.get("name") or "")
        fields = (was or {}).get("selectableFields") or []
        if len(fields) > SELECTABLE_FIELDS_MAX and fields == version.get("selectableFields"):
            many.add(version.get("name") or "")
    return Options(
        conversion_review_version=not reviews or any(v in _REVIEW_VERSIONS for v in reviews),
        immutable_names=is_established(old),
        schema=len(olds) == len(before.get("versions") or ()),
        valid_types=not any(has(s, lambda b: b.get("type") not in (None, *schemas.TYPES)) for s in olds),
        structural=all(structure.is_structural(s) for s in olds),
        pruned_defaults=not any(structure.is_structural(s) and default_rules.unpruned(s) for s in olds),
        atomic_sets=not any(schemas.has_set_of_parts(s) for s in olds),
        map_keys=not any(has(s, lambda b: bool(schemas.map_keys(b, ""))) for s in olds),
        ca_bundle=not is_established(old) or bool(_bad_bundle(_bundle(before))),
        unchanged=frozenset(unchanged),
        many_selectable=frozenset(many),
    )


def _bundle(spec: Obj) -> str:
    webhook = (spec.get("conversion") or {}).get("webhook") or {}
    return str((webhook.get("clientConfig") or {}).get("caBundle") or "")


def _bad_bundle(bundle: str) -> str:
    from pilothouse.api.kinds.common.bundles import bundle_error

    return bundle_error(bundle) if bundle else ""


def _stored_versions(definition: Obj) -> ErrorList:
    stored = (definition.get("status") or {}).get("storedVersions")
    at = "status.storedVersions"
    if not stored:
        return [field.invalid(at, stored, "must have at least one stored version")]
    found: ErrorList = []
    left = {name: i for i, name in enumerate(stored)}
    for version in (definition.get("spec") or {}).get("versions") or ():
        name = version.get("name") or ""
        if left.pop(name, None) is None and version.get("storage"):
            found.append(field.invalid(at, stored, f"must have the storage version {name}"))
    for name, i in left.items():
        why = (
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until "
            f"a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        )
        found.append(field.invalid(f"{at}[{i}]", name, why))
    return found


def _preserves(definition: Obj) -> ErrorList:
    if not (definition.get("spec") or {}).get("preserveUnknownFields"):
        return []
    why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [field.invalid("spec.preserveUnknownFields", True, why)]


def _spec(spec: Obj, options: Options) -> ErrorList:
    preserves = bool(spec.get("preserveUnknownFields"))
    found = _group(spec.get("group") or "") + _one_of("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced"))
    if not preserves:
        options = replace(options, structural=True)
    found += _schemas_missing(spec, options, preserves)
    versions, every = spec.get("versions") or [], _all_schemas(spec)
    if any(has(s, lambda b: b.get("default") is not None) for s in every):
        options = replace(options, structural=True)
        if preserves:
            why = "must be false in order to use defaults in the schema"
            found.append(field.invalid("spec.preserveUnknownFields", True, why))
    if any(has(s, _extended) for s in every):
        options = replace(options, structural=True)
    for i, version in enumerate(versions):
        found += _version(spec, version, f"spec.versions[{i}]", options)
    seen = [v.get("name") or "" for v in versions]
    shown = internals.versions(spec.get("versions"))
    if len(set(seen)) != len(seen):
        found.append(field.invalid("spec.versions", shown, "must contain unique version names"))
    if sum(bool(v.get("storage")) for v in versions) != 1:
        found.append(field.invalid("spec.versions", shown, "must have exactly one version marked as storage version"))
    if spec.get("version") and (wrong := names.dns1035_label(spec["version"])):
        found.append(field.invalid("spec.version", spec["version"], ",".join(wrong)))
    given = spec.get("names") or {}
    found += [field.required(f"spec.names.{n}") for n in ("plural", "singular", "kind", "listKind") if not given.get(n)]
    found += _names(given, "spec.names")
    shared = _for_version(options, spec.get("version") or "")
    status = any("status" in (p.get("subresources") or {}) for p in (spec, *versions))
    found += schemas.validate(spec.get("validation"), "spec.validation", has_status=status, options=shared)
    found += _subresources(spec.get("subresources"), "spec.subresources")
    found += _columns(spec.get("additionalPrinterColumns"), "spec.additionalPrinterColumns")
    if spec.get("selectableFields"):
        at = "spec.selectableFields"
        if spec.get("validation") is None:
            found.append(field.invalid(at, "", "may only be set when validations.schema is included"))
        else:
            many = "" in options.many_selectable or spec.get("version") in options.many_selectable
            found += _selectable(spec["selectableFields"], spec["validation"], at, "spec", many)
    return found + _conversion(spec, options, preserves)


def _extended(schema: Obj) -> bool:
    return any(
        schema.get(f"x-kubernetes-{name}") not in (None, False, [])
        or (name == "preserve-unknown-fields" and schema.get(f"x-kubernetes-{name}") is not None)
        for name in (
            "embedded-resource", "preserve-unknown-fields", "int-or-string", "list-map-keys", "list-type", "validations",
        )
    )  # fmt: skip


def _all_schemas(spec: Obj) -> list[Obj]:
    above = (spec.get("validation") or {}).get("openAPIV3Schema")
    return ([above] if above is not None else []) + list(of_versions(spec))


def _group(group: str) -> ErrorList:
    if not group:
        return [field.required("spec.group")]
    if wrong := names.dns1123_subdomain(group):
        return [field.invalid("spec.group", group, ",".join(wrong))]
    return [] if "." in group else [field.invalid("spec.group", group, "should be a domain with at least one dot")]


def _one_of(path: str, value: str, accepted: tuple[str, ...]) -> ErrorList:
    if not value:
        return [field.required(path)]
    return [] if value in accepted else [field.not_supported(path, value, accepted)]


def _schemas_missing(spec: Obj, options: Options, preserves: bool) -> ErrorList:
    if (spec.get("validation") or {}).get("openAPIV3Schema") is not None or (preserves and not options.schema):
        return []
    why = "" if options.schema else "because otherwise all fields are pruned"
    return [
        field.required(f"spec.versions[{i}].schema.openAPIV3Schema", why)
        for i, v in enumerate(spec.get("versions") or ())
        if (v.get("schema") or {}).get("openAPIV3Schema") is None and (options.schema or v.get("served"))
    ]


def _for_version(options: Options, name: str) -> Options:
    return replace(options, cheap=False) if name in options.unchanged else options


def _version(spec: Obj, version: Obj, path: str, options: Options) -> ErrorList:
    name = version.get("name") or ""
    found: ErrorList = []
    if wrong := names.dns1035_label(name):
        found.append(field.invalid(f"{path}.name", name, ",".join(wrong)))
    warning = version.get("deprecationWarning")
    why = _deprecation(bool(version.get("deprecated")), warning)
    found += [field.invalid(f"{path}.deprecationWarning", warning, w) for w in why]
    per_version = any(v.get("subresources") is not None for v in spec.get("versions") or ())
    subresources = version.get("subresources") if per_version else spec.get("subresources")
    has_status = "status" in (subresources or {})
    schema = version.get("schema")
    found += schemas.validate(schema, f"{path}.schema", has_status=has_status, options=_for_version(options, name))
    found += _subresources(version.get("subresources"), f"{path}.subresources")
    found += _columns(version.get("additionalPrinterColumns"), f"{path}.additionalPrinterColumns")
    fields = version.get("selectableFields")
    if fields:
        at = f"{path}.selectableFields"
        if (schema or {}).get("openAPIV3Schema") is None:
            why_not = "may only be set when `version.schema.openAPIV3Schema` is not included"
            found.append(field.invalid(at, "", why_not))
        else:
            assert schema is not None
            found += _selectable(fields, schema, at, path, name in options.many_selectable)
    return found


def _deprecation(deprecated: bool, warning: str | None) -> list[str]:
    if warning is None:
        return []
    if not deprecated:
        return ["can only be set for deprecated versions"]
    found = []
    if len(warning.encode()) > _WARNING_MAX_BYTES:
        found.append("must be <= 256 characters long")
    if not warning:
        found.append("must not be an empty string")
    offset = 0
    for c in warning:
        if not c.isprintable() or (c.isspace() and c != " "):
            why = f"non-printable character found at index {offset}"
            found.append(f"must only contain printable UTF-8 characters; {why}")
            break
        offset += len(c.encode())
    return found


def _names(given: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for name, says in (("plural", ""), ("singular", ""), ("kind", _CASE), ("listKind", _CASE)):
        text = given.get(name) or ""
        wrong = names.dns1035_label(text.lower() if says else text)
        if text and wrong:
            found.append(field.invalid(f"{path}.{name}", text, says + ",".join(wrong)))
    found += _labels(given.get("shortNames"), f"{path}.shortNames")
    kind, list_kind = given.get("kind") or "", given.get("listKind") or ""
    if kind and kind == list_kind:
        found.append(field.invalid(f"{path}.listKind", list_kind, "kind and listKind may not be the same"))
    return found + _labels(given.get("categories"), f"{path}.categories")


def _labels(values: list[str] | None, path: str) -> ErrorList:
    return [
        field.invalid(f"{path}[{i}]", text, ",".join(wrong))
        for i, text in enumerate(values or ())
        if (wrong := names.dns1035_label(text))
    ]


def _columns(columns: list[Obj] | None, path: str) -> ErrorList:
    found: ErrorList = []
    for i, column in enumerate(columns or ()):
        at = f"{path}[{i}]"
        kind, form, json_path = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
        if not column.get("name"):
            found.append(field.required(f"{at}.name"))
        why = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not kind:
            found.append(field.required(f"{at}.type", why))
        elif kind not in _COLUMN_TYPES:
            found.append(field.invalid(f"{at}.type", kind, why))
        if form and form not in _COLUMN_FORMATS:
            found.append(field.invalid(f"{at}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
        found += _simple_path(json_path, f"{at}.JSONPath") if json_path else [field.required(f"{at}.JSONPath")]
    return found


def _simple_path(text: str, path: str) -> ErrorList:
    return [] if text.startswith(".") else [field.invalid(path, text, "must be a simple json path starting with .")]


def _subresources(subresources: Obj | None, path: str) -> ErrorList:
    scale = (subresources or {}).get("scale")
    if scale is None:
        return []
    found: ErrorList = []
    for name, prefixes, why in (
        ("specReplicasPath", (".spec.",), "should be a json path under .spec"),
        ("statusReplicasPath", (".status.",), "should be a json path under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "should be a json path under either .spec or .status"),
    ):
        at, text = f"{path}.scale.{name}", scale.get(name) or ""
        if not text:
            found += [] if name == "labelSelectorPath" else [field.required(at)]
        elif wrong := _simple_path(text, at):
            found += wrong
        elif not text.startswith(prefixes):
            found.append(field.invalid(at, text, why))
    return found


def _selectable(fields: list[Obj], validation: Obj, path: str, above: str, many: bool) -> ErrorList:
    schema = validation.get("openAPIV3Schema") or {}
    why = structure.unconvertible(schema)
    if why:
        at = f"{above}.schema.openAPIV3Schema" if above != "spec" else "spec.selectableFields.schema.openAPIV3Schema"
        return [field.invalid(at, "", why)]
    found: ErrorList = []
    seen: set[str] = set()
    for i, one in enumerate(fields):
        at, text = f"{path}[{i}].jsonPath", one.get("jsonPath") or ""
        if not text:
            found.append(field.required(at))
            continue
        try:
            resolved = fieldpath.resolve(text, schema, arrays=False)
        except ValueError as e:
            found.append(field.invalid(at, text, f"is an invalid path: {e}"))
            continue
        if resolved.first == "metadata":
            found.append(field.invalid(at, text, "must not point to fields in metadata"))
        if (resolved.schema or {}).get("type") not in ("string", "boolean", "integer"):
            why = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are "
                "allowed."
            )
            found.append(field.invalid(at, text, why))
        if resolved.path in seen:
            found.append(field.duplicate(at, text))
        seen.add(resolved.path)
    if len(seen) > SELECTABLE_FIELDS_MAX and not many:
        found.append(field.too_many(path, len(seen), SELECTABLE_FIELDS_MAX))
    return found


def _conversion(spec: Obj, options: Options, preserves: bool) -> ErrorList:
    conversion, path = spec.get("conversion"), "spec.conversion"
    if conversion is None:
        return []
    strategy = conversion.get("strategy") or ""
    found: ErrorList = []
    if preserves and strategy != "None":
        why = "must be None if spec.preserveUnknownFields is true"
        found.append(field.invalid(f"{path}.strategy", strategy, why))
    found += _one_of(f"{path}.strategy", strategy, ("None", "Webhook"))
    webhook = conversion.get("webhook") or {}
    config, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions")
    at = f"{path}.webhookClientConfig"
    if strategy != "Webhook":
        why = "should not be set when strategy is not set to Webhook"
        if config is not None:
            found.append(field.forbidden(at, why))
        if reviews:
            found.append(field.forbidden(f"{path}.conversionReviewVersions", why))
        return found
    if config is None:
        found.append(field.required(at, "required when strategy is set to Webhook"))
    else:
        found += _client(config, at, options)
    return found + _review_versions(reviews or [], f"{path}.conversionReviewVersions", options)


def _client(config: Obj, path: str, options: Options) -> ErrorList:
    url, service, bundle = config.get("url"), config.get("service"), config.get("caBundle") or ""
    if (url is None) == (service is None):
        found = [field.required(path, "exactly one of url or service is required")]
    elif url is not None:
        found = webhook_url(url, f"{path}.url")
    else:
        found = webhook_service(service or {}, f"{path}.service")
    if not options.ca_bundle and (wrong := _bad_bundle(bundle)):
        found.append(field.invalid(f"{path}.caBundle", bundle, wrong))
    return found


def _review_versions(versions: list[str], path: str, options: Options) -> ErrorList:
    if not versions:
        return [field.required(path)]
    found: ErrorList = []
    for i, version in enumerate(versions):
        if version in versions[:i]:
            found.append(field.invalid(f"{path}[{i}]", version, "duplicate version"))
            continue
        found += [field.invalid(f"{path}[{i}]", version, why) for why in names.dns1035_label(version)]
    if options.conversion_review_version and not any(v in _REVIEW_VERSIONS for v in versions):
        found.append(field.invalid(path, versions, f"must include at least one of {', '.join(_REVIEW_VERSIONS)}"))
    return found
