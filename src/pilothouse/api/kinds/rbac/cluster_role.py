"""ClusterRole."""

from __future__ import annotations

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, selectors
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.rbac import rules
from pilothouse.api.objects import Obj


def _own(obj: Obj, *, allow_invalid_values: bool) -> ErrorList:
    found = rules.policy_rules(obj.get("rules"), namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        path = "aggregationRule.clusterRoleSelectors"
        wanted = aggregation.get("clusterRoleSelectors")
        if not wanted:
            detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            found.append(field.required(path, detail))
        for i, selector in enumerate(wanted or ()):
            at = f"{path}[{i}]"
            found += selectors.label_selector(selector, at, allow_invalid_values=allow_invalid_values)
            if not selectors.is_usable(selector):
                found.append(field.invalid(at, None, "invalid label selector."))
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj, allow_invalid_values=False), rules.ROLE_RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    stored = (old.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    lenient = any(selectors.label_selector(s, "") for s in stored)
    return declarative.merged(_own(new, allow_invalid_values=lenient), rules.ROLE_RULES, new, old)


KIND = Kind(
    validate=_validate,
    validate_update=_validate_update,
    name=rules.name,
    row=rules.role_row,
    create_on_update=True,
)
