"""ResourceClaim."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import covered, fields, immutable, struct
from pilothouse.api.kinds.common.gated import Gated, drop, in_use
from pilothouse.api.kinds.common.gated import fields as places
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import drop_status, keep, keep_metadata
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.resource import claim_status, claims, conversion
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_RULES = fields({"spec": [immutable, struct(claims.CLAIM_RULES)]})
_STATUS_RULES = fields({"status": [struct(claim_status.STATUS_RULES)]})

_RESULTS: Final = "allocation.devices.results"
_CONSUMED: Final = (
    Gated("DRAConsumableCapacity", places(f"{_RESULTS}.shareID", f"{_RESULTS}.consumedCapacity", "devices.shareID")),
)
_GATED_STATUS: Final = (
    Gated(
        "DRADeviceBindingConditions", places(f"{_RESULTS}.bindingConditions", f"{_RESULTS}.bindingFailureConditions")
    ),
    Gated("DRAOptionalNodeOperations", places(f"{_RESULTS}.skipNodeOperations")),
)


def _default(obj: Obj) -> None:
    claims.default(obj.get("spec") or {}, flat=conversion.is_v1beta1(obj))


def _prepare_create(obj: Obj) -> None:
    drop_status(obj)
    claims.drop_disabled(obj.get("spec") or {}, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    claims.drop_disabled(new.get("spec") or {}, old.get("spec"))


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    keep_metadata(new, old)
    status, before = new.get("status") or {}, old.get("status") or {}
    if not in_use(claims.CONSUMABLE, old.get("spec")):
        drop(_CONSUMED, status, before)
    drop(_GATED_STATUS, status, before)
    gone = _allocated(before) - _allocated(status)
    kept = [d for d in status.get("devices") or () if claim_status.shared_id(d) not in gone]
    if kept:
        status["devices"] = kept
    else:
        status.pop("devices", None)


def _allocated(status: Obj) -> set[tuple[str, str, str, str]]:
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    return {claim_status.shared_id(r) for r in results}


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(claims.claim(obj.get("spec") or {}, "spec"), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    if not same(new.get("spec"), old.get("spec")):
        found.append(covered(field.invalid("spec", None, "field is immutable"), "immutable"))
    return declarative.merged(found, _RULES, new, old)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    deleted = meta(new).get("deletionTimestamp") is not None
    known = claims.request_names(new.get("spec") or {})
    found = claim_status.status(new.get("status") or {}, old.get("status") or {}, deleted, known)
    return declarative.merged(found, _STATUS_RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    deleted, status = meta(obj).get("deletionTimestamp") is not None, obj.get("status") or {}
    states = ["deleted"] if deleted else []
    if status.get("allocation") is not None:
        states += ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    elif not deleted:
        states.append("pending")
    return [meta(obj).get("name", ""), ",".join(states), age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    status_reset_fields=frozenset({"metadata", "spec"}),
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    decode={"v1beta1": conversion.claim_from},
    encode={"v1beta1": conversion.claim_to},
)
