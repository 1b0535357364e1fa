"""ConfigMap, and what it shares with Secret.

Source: upstream's ValidateConfigMap and ValidateConfigMapUpdate.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

SIZE_MAX: Final = 1024 * 1024
_KEY: Final = r"[-._a-zA-Z0-9]+"
_is_key = re.compile(_KEY).fullmatch
_WORDS: Final = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"


def key_errors(key: str) -> list[str]:
    """Upstream's IsConfigMapKey."""
    found = []
    if len(key.encode("utf-8", "surrogatepass")) > 253:
        found.append(names.too_long(253))
    if not _is_key(key):
        found.append(names.pattern(_WORDS, _KEY, "key.name", "KEY_NAME", "key-name"))
    if key == ".":
        found.append("must not be '.'")
    elif key == "..":
        found.append("must not be '..'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return found


def decoded_size(value: str) -> int:
    """Bytes of a base64 text."""
    return len(value) // 4 * 3 - value.count("=", -2)


def _validate(obj: Obj) -> ErrorList:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    found: ErrorList = []
    size = 0
    for key, value in data.items():
        found += [field.invalid(f"data[{key}]", key, why) for why in key_errors(key)]
        if key in binary:
            found.append(field.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value.encode("utf-8", "surrogatepass"))
    for key, value in binary.items():
        found += [field.invalid(f"binaryData[{key}]", key, why) for why in key_errors(key)]
        size += decoded_size(value)
    if size > SIZE_MAX:
        found.append(field.too_long("", SIZE_MAX))
    return found


def frozen(new: Obj, old: Obj, parts: tuple[str, ...]) -> ErrorList:
    """What an object that says `immutable: true` may no longer change."""
    if not old.get("immutable"):
        return []
    found: ErrorList = []
    if not new.get("immutable"):
        found.append(field.forbidden("immutable", "field is immutable when `immutable` is set"))
    for part in parts:
        if (new.get(part) or {}) != (old.get(part) or {}):
            found.append(field.forbidden(part, "field is immutable when `immutable` is set"))
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return frozen(new, old, ("data", "binaryData")) + _validate(new)


def _row(obj: Obj, now_s: float) -> list[Any]:
    count = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    return [meta(obj).get("name", ""), count, age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    reset_fields=frozenset(),
)
