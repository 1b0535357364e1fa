"""What RoleBinding and ClusterRoleBinding are: they differ in the roles that they may refer to."""

from __future__ import annotations

from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.rbac import rules
from pilothouse.api.objects import Obj


def kind(*roles: str, namespaced: bool) -> Kind:
    """`roles`: the kinds that `roleRef` takes."""

    def own(obj: Obj) -> ErrorList:
        found = rules.role_ref(obj.get("roleRef") or {}, roles)
        return found + rules.subjects(obj.get("subjects"), namespaced=namespaced)

    def validate(obj: Obj) -> ErrorList:
        return declarative.merged(own(obj), rules.BINDING_RULES, obj)

    def validate_update(new: Obj, old: Obj) -> ErrorList:
        ref = new.get("roleRef") or {}
        found = own(new) + immutable(ref, old.get("roleRef"), "roleRef", internal("rbac/v1.RoleRef", ref))
        return declarative.merged(found, rules.BINDING_RULES, new, old)

    return Kind(
        default=rules.default_binding,
        validate=validate,
        validate_update=validate_update,
        name=rules.name,
        row=rules.binding_row,
        create_on_update=True,
    )
