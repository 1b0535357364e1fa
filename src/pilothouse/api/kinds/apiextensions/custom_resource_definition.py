"""CustomResourceDefinition.

Source: upstream's apiextensions-apiserver: SetDefaults_*, registry/customresourcedefinition/strategy.go and validation.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import keep, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"


def _default(obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    given = spec.setdefault("names", {})
    if isinstance(given, dict):
        if not given.get("singular"):
            given["singular"] = str(given.get("kind") or "").lower()
        if not given.get("listKind") and given.get("kind"):
            given["listKind"] = f"{given['kind']}List"
    if not spec.get("conversion"):
        spec["conversion"] = {"strategy": "None"}


def _prepare_create(obj: Obj) -> None:
    metadata = obj["metadata"]
    metadata["generation"] = 1
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None}
    stored = [v.get("name") for v in (obj.get("spec") or {}).get("versions") or () if v.get("storage")]
    if stored:
        obj["status"]["storedVersions"] = stored[:1]


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    next_generation(new, old, "spec")
    status = new.get("status") or {}
    for version in (new.get("spec") or {}).get("versions") or ():
        stored = status.get("storedVersions") or []
        if version.get("storage") and version.get("name") not in stored:
            new["status"] = status = {**status, "storedVersions": [*stored, version["name"]]}


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    metadata = {k: v for k, v in meta(old).items() if k not in ("managedFields", "finalizers")}
    for name in ("managedFields", "finalizers", "resourceVersion"):
        if name in new["metadata"]:
            metadata[name] = new["metadata"][name]
    new["metadata"] = metadata


def _validate(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    given, group = spec.get("names") or {}, spec.get("group") or ""
    plural, name = given.get("plural") or "", meta(obj).get("name") or ""
    found: ErrorList = []
    if name != f"{plural}.{group}":
        found.append(field.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if not group:
        found.append(field.required("spec.group"))
    else:
        found += [field.invalid("spec.group", group, why) for why in names.dns1123_subdomain(group)]
        if "." not in group:
            found.append(field.invalid("spec.group", group, "should be a domain with at least one dot"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        if not spec.get("scope"):
            found.append(field.required("spec.scope"))
        else:
            found.append(field.not_supported("spec.scope", spec["scope"], ["Cluster", "Namespaced"]))
    found += _versions(spec.get("versions") or [])
    for part in ("plural", "singular", "kind", "listKind"):
        text = given.get(part) or ""
        if not text:
            found.append(field.required(f"spec.names.{part}"))
        else:
            found += [field.invalid(f"spec.names.{part}", text, why) for why in names.dns1035_label(text.lower())]
    for i, text in enumerate(given.get("shortNames") or ()):
        found += [field.invalid(f"spec.names.shortNames[{i}]", text, why) for why in names.dns1035_label(text)]
    return found


def _versions(versions: list[Obj]) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, version in enumerate(versions):
        at, name = f"spec.versions[{i}]", version.get("name") or ""
        found += [field.invalid(f"{at}.name", name, why) for why in names.dns1035_label(name)]
        if name in seen:
            found.append(field.invalid("spec.versions", name, "must contain unique version names"))
        seen.add(name)
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            found.append(field.required(f"{at}.schema.openAPIV3Schema", "schemas are required"))
    if sum(bool(v.get("storage")) for v in versions) != 1:
        found.append(
            field.invalid("spec.versions", versions, "must have exactly one version marked as storage version")
        )
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for part in ("group", "scope"):
        if spec.get(part) != before.get(part):
            found.append(field.invalid(f"spec.{part}", spec.get(part) or "", "field is immutable"))
    return found + _validate(new)


def _row(obj: Obj, _: float) -> list[Any]:
    return [meta(obj).get("name", ""), meta(obj).get("creationTimestamp")]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
)
