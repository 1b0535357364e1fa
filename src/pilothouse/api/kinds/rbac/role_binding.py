"""RoleBinding."""

from __future__ import annotations

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.rbac import rules
from pilothouse.api.objects import Obj


def _own(obj: Obj) -> ErrorList:
    found = rules.role_ref(obj.get("roleRef") or {}, ("Role", "ClusterRole"))
    return found + rules.subjects(obj.get("subjects"), namespaced=True)


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), rules.BINDING_RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    ref = new.get("roleRef") or {}
    found = _own(new) + immutable(ref, old.get("roleRef"), "roleRef", internal("rbac/v1.RoleRef", ref))
    return declarative.merged(found, rules.BINDING_RULES, new, old)


KIND = Kind(
    default=rules.default_binding,
    validate=_validate,
    validate_update=_validate_update,
    name=rules.name,
    row=rules.binding_row,
    create_on_update=True,
)
