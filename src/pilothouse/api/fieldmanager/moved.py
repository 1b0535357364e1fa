"""Managers of a field that a subresource of another kind shows: the replicas of a Scale.

Source: apimachinery/pkg/util/managedfields/scalehandler.go.
"""

from __future__ import annotations

from dataclasses import replace

from pilothouse.api.fieldmanager import sets
from pilothouse.api.fieldmanager.managers import Managed, Managers
from pilothouse.api.fieldmanager.sets import Set


def path(dotted: str) -> tuple[str, ...]:
    return tuple(f"f:{name}" for name in dotted.split("."))


def to_subresource(known: Managers, there: tuple[str, ...], here: tuple[str, ...], api_version: str) -> Managers:
    """Those who manage the path `there` of the object manage `here` of the subresource, in its version."""
    return {
        replace(identity, api_version=api_version if identity.operation == "Update" else ""): Managed(
            api_version, sets.of_path(*here), managed.time
        )
        for identity, managed in known.items()
        if _has(managed.fields, there)
    }


def to_object(
    known: Managers, found: Managers, there: tuple[str, ...], here: tuple[str, ...], api_version: str
) -> Managers:
    """The object's managers, after `found` came to be the subresource's. Who is new says no time; and upstream takes an updater
    for new even where it had the field before, so that it comes to stand twice."""
    out: Managers = {}
    taken = sets.of_path(*there)
    for identity, managed in known.items():
        if not _has(managed.fields, there) or identity in found:
            out[identity] = managed
            continue
        rest = sets.difference(managed.fields, taken)
        if rest:
            out[identity] = replace(managed, fields=rest, written=None)
    for identity, managed in found.items():
        if identity not in known and _has(managed.fields, here):
            out[identity] = Managed(api_version, taken)
    return out


def _has(fields: Set, wanted: tuple[str, ...]) -> bool:
    for element in wanted:
        fields = fields.get(element, {})
    return sets.SELF in fields
