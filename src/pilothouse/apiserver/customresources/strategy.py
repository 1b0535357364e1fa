"""What is particular to the objects of one version of a custom resource, as a `Kind`.

Source: upstream's apiextensions-apiserver/pkg/registry/customresource (strategy.go, status_strategy.go, validator.go).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.structural import jsonpath
from pilothouse.api.structural.schema import Schema
from pilothouse.apiserver.contracts import SubresourceStrategy
from pilothouse.apiserver.customresources import scaling

_STANDARD_FINALIZERS: Final = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_PREFER: Final = "prefer a domain-qualified finalizer name{} to avoid accidental conflicts with other finalizer writers"
STATUS_RESET: Final = frozenset({"metadata", "spec"})


def of_version(version: Obj, schema: Schema, show: Callable[[Obj], Obj]) -> Kind:
    """`show`: a stored object in this version. Raises LookupError where only a webhook could tell."""
    subresources = version.get("subresources") or {}
    has_status, scale = "status" in subresources, subresources.get("scale")

    def prepare_create(obj: Obj) -> None:
        if has_status:
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1

    def prepare_update(new: Obj, old: Obj) -> None:
        if has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if _content(new) != _content(old):
            new["metadata"]["generation"] = int(meta(old).get("generation") or 0) + 1

    def scaled(obj: Obj) -> ErrorList:
        return scaling.validate_spec(obj, scale) + scaling.validate_status(obj, scale) if scale else []

    def validate(obj: Obj) -> ErrorList:
        found = schema.validate(obj) + scaled(obj)
        return found + schema.validate_rules(obj, None, found)

    def validate_update(new: Obj, old: Obj) -> ErrorList:
        found = schema.validate_update(new, old) + scaled(new)
        return found + schema.validate_rules(new, old, found)

    def validate_status(new: Obj, old: Obj) -> ErrorList:
        found = schema.validate_status(new, old) + (scaling.validate_status(new, scale) if scale else [])
        return found + schema.validate_rules(new, old, found)

    selectable = version.get("selectableFields") or ()
    return Kind(
        default=schema.default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=validate_update,
        validate_status=validate_status,
        warnings=_warnings,
        fields=_fields([f["jsonPath"] for f in selectable], show),
        field_names=frozenset(f["jsonPath"].removeprefix(".") for f in selectable),
        unconditional_update=False,
        reset_fields=frozenset({"status"}) if has_status else frozenset(),
    )


def status(kind: Kind) -> SubresourceStrategy:
    return SubresourceStrategy(prepare=_keep_all_but_status, validate=kind.validate_status, reset_fields=STATUS_RESET)


def _keep_all_but_status(new: Obj, old: Obj) -> None:
    sent, has, managed = new.get("status"), "status" in new, new["metadata"].get("managedFields")
    metadata = {k: v for k, v in old["metadata"].items() if k != "managedFields"}
    if managed:
        metadata["managedFields"] = managed
    new.clear()
    new.update(old)
    new["metadata"] = metadata
    new.pop("status", None)
    if has:
        new["status"] = sent


def _content(obj: Obj) -> Obj:
    return {k: v for k, v in obj.items() if k != "metadata"}


def _fields(paths: list[str], show: Callable[[Obj], Obj]) -> Callable[[Obj], dict[str, str]]:
    def fields(obj: Obj) -> dict[str, str]:
        try:
            obj = show(obj)
        except LookupError:
            pass  # then they are looked for in the version that is stored
        found = {}
        for path in paths:
            values = jsonpath.find(obj, path)
            found[path.removeprefix(".")] = jsonpath.text_of(values[0]) if values and values[0] is not None else ""
        return found

    return fields


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    """Of finalizers that this write adds."""
    added = set(meta(new).get("finalizers") or ()) - set(meta(old or {}).get("finalizers") or ())
    found = []
    for name in sorted(added):
        head = f"metadata.finalizers: {field.quote(name)}: "
        found += [head + why for why in names.qualified_name(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            found.append(head + _PREFER.format(" including a path (/)" if "." in name else ""))
    return found
