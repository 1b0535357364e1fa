"""What storage kinds share: provisioners, parameters, drivers' names."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj

_COUNT_MAX: Final = 512
_SIZE_MAX_BYTES: Final = 256 * 1024


def provisioner_form(text: str, path: str) -> ErrorList:
    lowered = text.lower()
    return [field.invalid(path, lowered, d) for d in names.qualified_name(lowered)] if text else []


def parameters(values: Obj | None, path: str, *, may_be_empty: bool) -> ErrorList:
    values = values or {}
    if len(values) > _COUNT_MAX:
        return [field.too_long(path, _COUNT_MAX)]
    found = [field.invalid(path, k, "field can not be empty.") for k in values if not k]
    if sum(len(k.encode()) + len((v or "").encode()) for k, v in values.items()) > _SIZE_MAX_BYTES:
        found.append(field.too_long(path, _SIZE_MAX_BYTES))
    if not may_be_empty and not values:
        found.append(field.required(path, "must contain at least one key/value pair"))
    return found


def driver_name(text: str, path: str) -> ErrorList:
    if not text:
        return [field.required(path)]
    found: ErrorList = []
    if len(text.encode()) > 63:
        found.append(field.too_long(path, 63))
    return found + [field.invalid(path, text, d) for d in names.dns1123_subdomain(text.lower())]
