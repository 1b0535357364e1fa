"""Lease."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

OLDEST: Final = "OldestEmulationVersion"
_GATED: Final = tuple(Gated("CoordinatedLeaderElection", fields(f"spec.{n}")) for n in ("strategy", "preferredHolder"))


def _prepare_create(obj: Obj) -> None:
    drop(_GATED, obj, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    drop(_GATED, new, old)


def _validate(obj: Obj) -> ErrorList:
    found: ErrorList = []
    spec = obj.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        found.append(field.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        detail = "must be greater than or equal to 0"
        found.append(field.invalid("spec.leaseTransitions", transitions, detail))
    strategy = spec.get("strategy")
    if strategy is not None:
        found += lease_strategy(strategy, "spec.strategy.strategy")
    if spec.get("preferredHolder") and not strategy:
        detail = "may only be specified if `strategy` is defined"
        found.append(field.forbidden("spec.preferredHolder", detail))
    return found


def lease_strategy(strategy: str, path: str) -> ErrorList:
    if "/" in strategy:
        return [field.invalid(path, strategy, d) for d in names.qualified_name(strategy)]
    known = [OLDEST]
    return [] if strategy in known else [field.not_supported(path, strategy, known)]


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), (obj.get("spec") or {}).get("holderIdentity") or "", age(obj, now_s)]


KIND = Kind(
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=lambda new, _old: _validate(new),
    row=_row,
    create_on_update=True,
    unconditional_update=False,
)
