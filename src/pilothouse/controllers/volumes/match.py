"""Which volume fits a claim.

Source: upstream's component-helpers/storage/volume and pkg/controller/volume/persistentvolume (index.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from pilothouse.api import selectors
from pilothouse.api.objects import Obj, get
from pilothouse.api.quantity import Quantity

BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Obj) -> str:
    """The storage class of a claim or volume."""
    beta = get(obj, "metadata", "annotations", BETA_CLASS)
    return str(beta if beta is not None else get(obj, "spec", "storageClassName", default=""))


def storage(amounts: Obj | None) -> Decimal:
    return Quantity.parse(str((amounts or {}).get("storage", "0"))).amount


def is_bound_to(volume: Obj, claim: Obj) -> bool:
    """The volume is reserved for the claim: by name, and by uid where it says one."""
    ref, metadata = volume["spec"].get("claimRef"), claim["metadata"]
    if ref is None or (ref.get("namespace"), ref.get("name")) != (metadata["namespace"], metadata["name"]):
        return False
    return not ref.get("uid") or bool(ref["uid"] == metadata["uid"])


def mode_of(obj: Obj) -> str:
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def why_not(volume: Obj, claim: Obj) -> str:
    """Why a claim may not have the volume that it names; empty where it may."""
    if storage(volume["spec"].get("capacity")) < storage(get(claim, "spec", "resources", "requests")):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    wanted = claim["spec"].get("volumeAttributesClassName") or ""
    if wanted != (volume["spec"].get("volumeAttributesClassName") or ""):
        return "volumeAttributesClassName does not match"
    if mode_of(volume) != mode_of(claim):
        return "incompatible volumeMode"
    return "" if _has_modes(volume, claim) else "incompatible accessMode"


def _has_modes(volume: Obj, claim: Obj) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def best(claim: Obj, volumes: Iterable[Obj], *, delayed: bool) -> Obj | None:
    """The volume that is reserved for the claim, or else the smallest that is free and fits. A claim whose binding is
    `delayed` until its pod has a node gets only what is reserved for it."""
    wanted = storage(get(claim, "spec", "resources", "requests"))
    selector = selectors.of_object(claim["spec"]["selector"]) if claim["spec"].get("selector") is not None else None
    smallest: tuple[Decimal, int, Obj] | None = None
    for volume in volumes:
        spec, metadata = volume["spec"], volume["metadata"]
        mine = is_bound_to(volume, claim)
        size = storage(spec.get("capacity"))
        if (spec.get("claimRef") is not None and not mine) or size < wanted or mode_of(volume) != mode_of(claim):
            continue
        if (claim["spec"].get("volumeAttributesClassName") or "") != (spec.get("volumeAttributesClassName") or ""):
            continue
        if metadata.get("deletionTimestamp") or not _has_modes(volume, claim):
            continue
        if mine:
            return volume
        if delayed or get(volume, "status", "phase") != "Available" or class_of(volume) != class_of(claim):
            continue
        if selector is not None and not selector.matches(metadata.get("labels") or {}):
            continue
        # Of equal size, the one with the fewest ways to use it: the others may be needed by those who need more.
        order = (size, len(spec.get("accessModes") or ()))
        if smallest is None or order < smallest[:2]:
            smallest = (*order, volume)
    return smallest[2] if smallest is not None else None
