"""VolumeAttachment."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import (
    covered,
    fields,
    immutable,
    long_name_caseless,
    max_length,
    required,
    struct,
)  # fmt: skip
from pilothouse.api.kinds.common.strategy import drop_status, update_status, update_without_generation
from pilothouse.api.kinds.core.persistent_volume_spec import persistent_volume_spec
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_METADATA_MAX_BYTES: Final = 256 * 1024
_MESSAGE_MAX_BYTES: Final = 1024
_RULES = fields({"spec": [immutable, struct(fields({"attacher": [required, long_name_caseless, max_length(63)]}))]})


def _own(obj: Obj) -> ErrorList:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    source = spec.get("source") or {}
    found = _attacher(spec.get("attacher") or "") + _source(source)
    node = spec.get("nodeName") or ""
    found += [field.invalid("spec.nodeName", node, d) for d in names.dns1123_subdomain(node)]
    attached = status.get("attachmentMetadata") or {}
    if sum(len(k.encode()) + len((v or "").encode()) for k, v in attached.items()) > _METADATA_MAX_BYTES:
        found.append(field.too_long("status.attachmentMetadata", _METADATA_MAX_BYTES))
    for name in ("attachError", "detachError"):
        found += _volume_error(status.get(name), f"status.{name}")
    volume = source.get("persistentVolumeName")
    if volume is not None:
        path = "spec.source.persistentVolumeName"
        found += [field.invalid(path, volume, d) for d in names.dns1123_subdomain(volume)]
    return found


def _attacher(name: str) -> ErrorList:
    path = "spec.attacher"
    if not name:
        return [covered(field.required(path))]
    found: ErrorList = [covered(field.too_long(path, 63), "maxLength")] if len(name.encode()) > 63 else []
    details = names.dns1123_subdomain(name.lower())
    return found + [covered(field.invalid(path, name, d), "format=k8s-long-name-caseless") for d in details]


def _source(source: Obj) -> ErrorList:
    inline, volume = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    exactly_one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and volume is None:
        return [field.required("spec.source", exactly_one)]
    if inline is not None and volume is not None:
        return [field.forbidden("spec.source", exactly_one)]
    if inline is not None:
        return persistent_volume_spec(inline, "", "spec.source.inlineVolumeSpec", inline=True, vac=False)
    if not volume:
        path = "spec.source.persistentVolumeName"
        return [field.required(path, "must specify non empty persistentVolumeName")]
    return []


def _volume_error(error: Obj | None, path: str) -> ErrorList:
    found: ErrorList = []
    if error is None:
        return found
    if len((error.get("message") or "").encode()) > _MESSAGE_MAX_BYTES:
        found.append(field.too_long(f"{path}.message", _MESSAGE_MAX_BYTES))
    code = error.get("errorCode")
    if code is not None and code < 0:
        found.append(field.invalid(f"{path}.errorCode", code, names.in_range(0, 2**31 - 1)))
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        meta(obj).get("name", ""),
        spec.get("attacher") or "",
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool((obj.get("status") or {}).get("attached")),
        age(obj, now_s),
    ]


KIND = Kind(
    status_reset_fields=frozenset({"metadata", "spec"}),
    prepare_create=drop_status,
    prepare_update=update_without_generation,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_update,
    row=_row,
    unconditional_update=False,
)
