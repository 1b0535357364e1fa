"""LeaseCandidate."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.coordination.lease import OLDEST, lease_strategy
from pilothouse.api.kinds.core.config_map import key_errors
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_Order: TypeAlias = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]

_NUMBER: Final = r"(0|[1-9]\d*)"
_PART: Final = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_semver: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?", re.ASCII
).fullmatch


def _version(text: str) -> _Order | None:
    """A semantic version, to be compared; None for what is none."""
    match = _semver(text)
    if match is None:
        return None
    major, minor, patch = (int(match[i]) for i in (1, 2, 3))
    parts = [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in (match[4] or "").split(".") if p]
    return major, minor, patch, not parts, tuple(parts)


def _validate(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    found: ErrorList = []
    if not spec.get("leaseName"):
        found.append(field.required("spec.leaseName"))
    emulated, binary = spec.get("emulationVersion") or "", spec.get("binaryVersion") or ""
    lower, upper = _version(emulated), _version(binary)
    if emulated and lower is None:
        found.append(field.invalid("spec.emulationVersion", emulated, "must be a valid semantic version"))
    if not binary:
        found.append(field.required("spec.binaryVersion"))
    elif upper is None:
        found.append(field.invalid("spec.binaryVersion", binary, "must be a valid semantic version"))
    none = (0, 0, 0, True, ())
    if binary and emulated and (upper or none) < (lower or none):
        detail = "must be greater than or equal to `emulationVersion`"
        found.append(field.invalid("spec.binaryVersion", binary, detail))
    wanted = spec.get("strategy") or ""
    if not wanted:
        return [*found, field.required("spec.strategy")]
    if wanted == OLDEST and (lower or none)[:4] == none[:4]:
        detail = f"must be specified when `strategy` is '{OLDEST}'"
        found.append(field.required("spec.emulationVersion", detail))
    return found + lease_strategy(wanted, "spec.strategy.strategy")


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    name, was = ((obj.get("spec") or {}).get("leaseName") or "" for obj in (new, old))
    return _validate(new) + immutable(name, was, "spec.leaseName")


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    shown = [spec.get(name) or "" for name in ("leaseName", "binaryVersion", "emulationVersion")]
    return [meta(obj).get("name", ""), *shown, age(obj, now_s)]


KIND = Kind(
    validate=_validate,
    validate_update=_validate_update,
    name=lambda name, _prefix: key_errors(name),
    row=_row,
    create_on_update=True,
    unconditional_update=False,
    reset_fields=frozenset(),
)
