"""ResourceClaimTemplate."""

from __future__ import annotations

from typing import Any

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, render
from pilothouse.api.kinds.common.declarative import fields, struct
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.core.podspec.templatemeta import template_metadata
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.resource import claims, conversion
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_RULES = fields({"spec": [struct(fields({"spec": [struct(claims.CLAIM_RULES)]}))]})


def _claim(obj: Obj) -> Obj:
    spec: Obj = (obj.get("spec") or {}).get("spec") or {}
    return spec


def _default(obj: Obj) -> None:
    claims.default(_claim(obj), flat=conversion.is_v1beta1(obj))


def _prepare_create(obj: Obj) -> None:
    claims.drop_disabled(_claim(obj), None)


def _prepare_update(new: Obj, old: Obj) -> None:
    claims.drop_disabled(_claim(new), _claim(old))


def _own(obj: Obj) -> ErrorList:
    metadata = (obj.get("spec") or {}).get("metadata") or {}
    return template_metadata(metadata, "spec.metadata") + claims.claim(_claim(obj), "spec.spec")


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec = new.get("spec")
    shown = render.internal("resource/v1.ResourceClaimTemplateSpec", spec)
    return declarative.merged(_own(new) + immutable(spec, old.get("spec"), "spec", shown), _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    decode={"v1beta1": conversion.template_from},
    encode={"v1beta1": conversion.template_to},
    reset_fields=frozenset(),
)
