"""Role."""

from __future__ import annotations

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.rbac import rules
from pilothouse.api.objects import Obj


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(rules.policy_rules(obj.get("rules"), namespaced=True), rules.ROLE_RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(rules.policy_rules(new.get("rules"), namespaced=True), rules.ROLE_RULES, new, old)


KIND = Kind(
    validate=_validate,
    validate_update=_validate_update,
    name=rules.name,
    row=rules.role_row,
    create_on_update=True,
)
