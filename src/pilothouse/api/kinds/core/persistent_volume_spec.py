"""The spec of a PersistentVolume, which a VolumeAttachment may hold too."""

from __future__ import annotations

import posixpath
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.nodes import node_selector
from pilothouse.api.kinds.common.quantities import positive
from pilothouse.api.kinds.common.resources import basic_quantity
from pilothouse.api.kinds.core.persistent_volume_sources import sources
from pilothouse.api.objects import Obj

ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES: Final = ("Block", "Filesystem")
_RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")
_INLINE: Final = "may not be specified in the context of inline volumes"


def access_modes(modes: list[str], path: str) -> ErrorList:
    found = [field.not_supported(path, m, ACCESS_MODES) for m in modes if m not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and any(m in ACCESS_MODES and m != "ReadWriteOncePod" for m in modes):
        found.append(field.forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return found


def persistent_volume_spec(
    spec: Obj, name: str, path: str, *, inline: bool = False, vac: bool = True, allow_invalid_values: bool = False
) -> ErrorList:
    """`name`: of the PersistentVolume. `inline`: part of a VolumeAttachment. `vac`: a VolumeAttributesClass is known."""
    found: ErrorList = []
    if inline:
        for own in ("claimRef", "capacity"):
            if spec.get(own) is not None and (own == "claimRef" or spec[own]):
                found.append(field.forbidden(f"{path}.{own}", _INLINE))
        if spec.get("csi") is None:
            found.append(field.required(f"{path}.csi", "has to be specified in the context of inline volumes"))
    modes = spec.get("accessModes") or []
    if not modes:
        found.append(field.required(f"{path}.accessModes"))
    found += access_modes(modes, f"{path}.accessModes")
    if not inline:
        found += _capacity(spec.get("capacity"), f"{path}.capacity")
    found += _reclaim_policy(spec.get("persistentVolumeReclaimPolicy") or "", path, inline)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        found += _affinity(affinity, f"{path}.nodeAffinity", inline, allow_invalid_values)
    found += sources(spec, name, path, node_affinity=affinity is not None and not inline)
    target = (spec.get("hostPath") or {}).get("path") or ""
    if (
        spec.get("hostPath") is not None
        and _clean(target) == "/"
        and spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    ):
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(field.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail))
    return found + _classes(spec, path, inline, vac)


def _clean(target: str) -> str:
    """Go's path.Clean."""
    return posixpath.normpath(target).replace("//", "/") if target else "."


def _capacity(capacity: Obj | None, path: str) -> ErrorList:
    found: ErrorList = []
    values = capacity or {}
    if not values:
        found.append(field.required(path))
    if "storage" not in values or len(values) > 1:
        shown = None if capacity is None else dict(sorted(values.items()))
        found.append(field.not_supported(path, shown, ["storage"]))
    for key, quantity in values.items():
        found += basic_quantity(quantity, f"{path}[{key}]") + positive(quantity, f"{path}[{key}]")
    return found


def _reclaim_policy(policy: str, path: str, inline: bool) -> ErrorList:
    at = f"{path}.persistentVolumeReclaimPolicy"
    if not policy:
        return []
    if inline:
        if policy == "Retain":
            return []
        return [field.forbidden(at, "may only be Retain in the context of inline volumes")]
    return [] if policy in _RECLAIM_POLICIES else [field.not_supported(at, policy, _RECLAIM_POLICIES)]


def _affinity(affinity: Obj, path: str, inline: bool, allow_invalid_values: bool) -> ErrorList:
    if inline:
        return [field.forbidden(path, _INLINE)]
    required = affinity.get("required")
    if required is None:
        return [field.required(f"{path}.required", "must specify required node constraints")]
    return node_selector(required, f"{path}.required", allow_invalid_values=allow_invalid_values)


def _classes(spec: Obj, path: str, inline: bool, vac: bool) -> ErrorList:
    found: ErrorList = []
    storage_class, mode = spec.get("storageClassName") or "", spec.get("volumeMode")
    if storage_class:
        at = f"{path}.storageClassName"
        if inline:
            found.append(field.forbidden(at, _INLINE))
        else:
            found += [field.invalid(at, storage_class, d) for d in names.dns1123_subdomain(storage_class)]
    if mode is not None:
        if inline:
            if mode != "Filesystem":
                detail = "may not specify volumeMode other than Filesystem in the context of inline volumes"
                found.append(field.forbidden(f"{path}.volumeMode", detail))
        elif mode not in VOLUME_MODES:
            found.append(field.not_supported(f"{path}.volumeMode", mode, VOLUME_MODES))
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None and vac:
        at = f"{path}.volumeAttributesClassName"
        if not attributes:
            found.append(field.required(at, "an empty string is disallowed"))
        else:
            found += [field.invalid(at, attributes, d) for d in names.dns1123_subdomain(attributes)]
        if spec.get("csi") is None:
            detail = "has to be specified when using volumeAttributesClassName"
            found.append(field.required(f"{path}.csi", detail))
    return found
