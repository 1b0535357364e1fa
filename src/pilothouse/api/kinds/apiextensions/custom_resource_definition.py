"""CustomResourceDefinition.

Source: upstream's apiextensions-apiserver: SetDefaults_*, registry/customresourcedefinition/strategy.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pilothouse.api.kinds.apiextensions import beta, definition
from pilothouse.api.kinds.apiextensions.walk import of_versions, schemas
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.structural import formats


def _default(obj: Obj) -> None:
    spec = obj.get("spec")
    if not isinstance(spec, dict):
        return
    names = spec.setdefault("names", {})
    if isinstance(names, dict):
        if not names.get("singular"):
            names["singular"] = str(names.get("kind") or "").lower()
        if not names.get("listKind") and names.get("kind"):
            names["listKind"] = f"{names['kind']}List"
    if not spec.get("conversion"):
        spec["conversion"] = {"strategy": "None"}
    service = (((spec["conversion"].get("webhook") or {}).get("clientConfig")) or {}).get("service")
    if isinstance(service, dict) and service.get("port") is None:
        service["port"] = 443
    status = obj.setdefault("status", {})
    if isinstance(status, dict) and not status.get("storedVersions"):
        stored = _storage_version(obj)
        if stored is not None:
            status["storedVersions"] = [stored]


def _storage_version(obj: Obj) -> str | None:
    versions = (obj.get("spec") or {}).get("versions") or ()
    return next((v.get("name") or "" for v in versions if v.get("storage")), None)


def _prepare_create(obj: Obj) -> None:
    obj["metadata"]["generation"] = 1
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None}
    stored = _storage_version(obj)
    if stored is not None:
        obj["status"]["storedVersions"] = [stored]


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    if new.get("spec") != old.get("spec"):  # an empty `status: {}` among the subresources counts
        new["metadata"]["generation"] = int(meta(old).get("generation") or 0) + 1
    status, stored = new.get("status") or {}, _storage_version(new)
    if stored is not None and stored not in (status.get("storedVersions") or ()):
        new["status"] = {**status, "storedVersions": [*(status.get("storedVersions") or ()), stored]}


def _prepare_status(new: Obj, old: Obj) -> None:
    """Upstream means to keep the metadata of the old object, but resets the new one's to its own."""
    keep(new, old, "spec")


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    before = _unknown_formats(old) if old is not None else []
    found = [text for text in _unknown_formats(new) if text not in before]
    sets_before = set(_sets_of_parts(old)) if old is not None else set()
    return found + [text for text in sorted(set(_sets_of_parts(new))) if text not in sets_before]


def _unknown_formats(obj: Obj) -> list[str]:
    return [
        f'unrecognized format "{below["format"]}"'
        for schema in of_versions(obj.get("spec") or {})
        for below in schemas(schema)
        if below.get("format") and not formats.recognized(below)
    ]


def _sets_of_parts(obj: Obj) -> Iterator[str]:
    for schema in of_versions(obj.get("spec") or {}):
        for below in schemas(schema):
            items = below.get("items") if below.get("x-kubernetes-list-type") == "set" else None
            if isinstance(items, dict) and items.get("type") in ("object", "array"):
                yield (
                    f'x-kubernetes-list-type: set for items of type "{items["type"]}" is not supported by server-side apply '
                    "or CEL validation rules"
                )


def _row(obj: Obj, _: float) -> list[Any]:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    versions = [
        (v.get("name") or "") + ("(storage)" if v.get("storage") else "")
        for v in spec.get("versions") or ()
        if v.get("served")
    ]
    return [
        meta(obj).get("name", ""), spec.get("scope") or "", ",".join(sorted(versions)), meta(obj).get("creationTimestamp"),
        spec.get("group") or "", names.get("kind") or "", ",".join(names.get("shortNames") or ()),
        definition.is_established(obj),
    ]  # fmt: skip


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=definition.validate,
    validate_update=definition.validate_update,
    validate_status=lambda new, _: definition.validate_status(new),
    warnings=_warnings,
    row=_row,
    decode={"v1beta1": beta.decode},
    unconditional_update=False,
)
