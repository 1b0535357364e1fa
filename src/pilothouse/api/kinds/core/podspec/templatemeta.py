"""Metadata of what is only a template: labels and annotations, nothing else."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import selectors
from pilothouse.api.objects import Obj

_ANNOTATIONS_MAX_BYTES: Final = 256 * 1024
_OTHERS: Final = (  # in upstream's order, by the names of its Go fields
    ("name", "name"), ("generateName", "generateName"), ("namespace", "namespace"), ("selfLink", "selfLink"),
    ("uid", "uID"), ("resourceVersion", "resourceVersion"), ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"), ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"), ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"), ("managedFields", "managedFields"),
)  # fmt: skip


def annotation_map(values: Obj | None, path: str) -> ErrorList:
    values = values or {}
    found = [field.invalid(path, key, d) for key in values for d in names.qualified_name(key.lower())]
    if sum(len(k.encode()) + len((v or "").encode()) for k, v in values.items()) > _ANNOTATIONS_MAX_BYTES:
        found.append(field.too_long(path, _ANNOTATIONS_MAX_BYTES))
    return found


def template_metadata(metadata: Obj, path: str) -> ErrorList:
    found = annotation_map(metadata.get("annotations"), f"{path}.annotations")
    found += selectors.labels(metadata.get("labels"), f"{path}.labels")
    return found + [
        field.forbidden(f"{path}.{shown}", "cannot be set") for name, shown in _OTHERS if metadata.get(name)
    ]
