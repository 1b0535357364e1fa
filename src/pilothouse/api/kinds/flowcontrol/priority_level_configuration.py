"""PriorityLevelConfiguration."""

from __future__ import annotations

import math
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import (
    covered,
    discriminated,
    every,
    fields,
    forbidden_pointer,
    optional_pointer,
    required,
    required_pointer,
    struct,
)  # fmt: skip
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.strategy import create, update
from pilothouse.api.kinds.flowcontrol import mandatory
from pilothouse.api.kinds.flowcontrol.conditions import conditions, prepare_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_QUEUES_MAX: Final = 10_000_000
_HASH_BITS_MAX: Final = 60
_PRESERVE_ZERO: Final = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"
_LIMIT_RESPONSE = every(
    discriminated("queuing", "type", {"Queue": [required_pointer]}, [forbidden_pointer]),
    fields({"type": [required], "queuing": [optional_pointer]}),
)
_SPEC = every(
    discriminated("exempt", "type", {"Exempt": [optional_pointer]}, [forbidden_pointer]),
    discriminated("limited", "type", {"Limited": [required_pointer]}, [forbidden_pointer]),
    fields(
        {
            "type": [required],
            "limited": [optional_pointer, struct(fields({"limitResponse": [struct(_LIMIT_RESPONSE)]}))],
            "exempt": [optional_pointer],
        }
    ),
)
_RULES = fields({"spec": [struct(_SPEC)]})


def _default(obj: Obj) -> None:
    spec = obj.get("spec") or {}
    for name, shares in (("limited", 30), ("exempt", 0)):
        level = spec.get(name)
        if level is None:
            continue
        if level.get("nominalConcurrencyShares") is None:
            level["nominalConcurrencyShares"] = shares
        if level.get("lendablePercent") is None:
            level["lendablePercent"] = 0
    queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
    if queuing is not None:
        for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
            if not queuing.get(name):
                queuing[name] = value


def _spec(name: str, spec: Obj) -> ErrorList:
    found: ErrorList = []
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if (name == "exempt") != (kind == "Exempt"):
        detail = "must be 'Exempt' if and only if `name` is 'exempt'"
        found.append(field.invalid("spec.type", kind, detail))
    if kind == "Exempt":
        if limited is not None:
            detail = "must be nil if the type is not Limited"
            found.append(covered(field.forbidden("spec.limited", detail)))
        if exempt is not None:
            found += _shares(exempt, "spec.exempt") + _lendable(exempt, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            found.append(covered(field.forbidden("spec.exempt", "must be nil if the type is Limited")))
        if limited is not None:
            found += _limited(limited, "spec.limited")
        else:
            detail = "must not be empty when type is Limited"
            found.append(covered(field.required("spec.limited", detail)))
    elif not kind:
        found.append(covered(field.required("spec.type")))
    else:
        found.append(field.not_supported("spec.type", kind, ["Exempt", "Limited"]))
    return found


def _shares(level: Obj, path: str) -> ErrorList:
    shares = level.get("nominalConcurrencyShares") or 0
    if shares >= 0:
        return []
    return [field.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")]


def _lendable(level: Obj, path: str) -> ErrorList:
    percent = level.get("lendablePercent")
    if percent is None or 0 <= percent <= 100:
        return []
    return [field.invalid(f"{path}.lendablePercent", percent, "must be between 0 and 100, inclusive")]


def _limited(level: Obj, path: str) -> ErrorList:
    found = _shares(level, path)
    found += _limit_response(level.get("limitResponse") or {}, f"{path}.limitResponse")
    found += _lendable(level, path)
    borrowing = level.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        detail = "if specified, must be a non-negative integer"
        found.append(field.invalid(f"{path}.borrowingLimitPercent", borrowing, detail))
    return found


def _limit_response(response: Obj, path: str) -> ErrorList:
    kind, queuing = response.get("type") or "", response.get("queuing")
    at = f"{path}.queuing"
    if kind == "Queue":
        if queuing is not None:
            return _queuing(queuing, at)
        return [covered(field.required(at, "must not be empty if limited.limitResponse.type is Limited"))]
    if kind == "Reject":
        detail = "must be nil if limited.limitResponse.type is not Limited"
        return [] if queuing is None else [covered(field.forbidden(at, detail))]
    if not kind:
        return [covered(field.required(f"{path}.type"))]
    return [field.not_supported(f"{path}.type", kind, ["Queue", "Reject"])]


def _queuing(queuing: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    limit, queues = queuing.get("queueLengthLimit") or 0, queuing.get("queues") or 0
    hand = queuing.get("handSize") or 0
    if limit <= 0:
        found.append(field.invalid(f"{path}.queueLengthLimit", limit, "must be positive"))
    if queues <= 0:
        found.append(field.invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _QUEUES_MAX:
        found.append(field.invalid(f"{path}.queues", queues, f"must not be greater than {_QUEUES_MAX}"))
    at = f"{path}.handSize"
    if hand <= 0:
        found.append(field.invalid(at, hand, "must be positive"))
    elif hand > queues:
        found.append(field.invalid(at, hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS_MAX:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} "
            f"should not be greater than {_HASH_BITS_MAX}"
        )
        found.append(field.invalid(at, hand, detail))
    return found


def _mandatory(name: str, spec: Obj) -> ErrorList:
    wanted = mandatory.PRIORITY_LEVELS.get(name)
    if wanted is None:
        return []
    type_name = "flowcontrol/v1.PriorityLevelConfigurationSpec"
    have, but = spec, ""
    if name == "exempt":
        have, but = spec | {"exempt": wanted["exempt"]}, " except the 'spec.exempt' field"
    if mandatory.is_same(type_name, have, wanted):
        return []
    value = internal(type_name, spec)
    return [field.invalid("spec", value, f"spec of '{name}'{but} must equal the fixed value")]


def _own(obj: Obj) -> ErrorList:
    found: ErrorList = []
    spec, name = obj.get("spec") or {}, meta(obj).get("name") or ""
    if _PRESERVE_ZERO in (meta(obj).get("annotations") or {}):
        found.append(field.forbidden("metadata.annotations", f"annotation '{_PRESERVE_ZERO}' is forbidden"))
    return found + _spec(name, spec) + _mandatory(name, spec) + conditions(obj.get("status"))


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(conditions(new.get("status")), _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    limited = spec.get("limited")
    queuing = ((limited or {}).get("limitResponse") or {}).get("queuing")
    shown: list[Any] = ["<none>"] * 3
    if queuing is not None:
        shown = [queuing.get(k) or 0 for k in ("queues", "handSize", "queueLengthLimit")]
    shares = "<none>" if limited is None else limited.get("nominalConcurrencyShares") or 0
    return [meta(obj).get("name", ""), spec.get("type") or "", shares, *shown, age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    status_reset_fields=frozenset({"metadata", "spec"}),
    default=_default,
    prepare_create=create,
    prepare_update=update,
    prepare_status=prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
)
