"""What the four RBAC kinds share.

Source: the documentation's page on RBAC and upstream's pkg/apis/rbac.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.declarative import (
    Run,
    alpha_immutable,
    covered,
    each,
    fields,
    optional,
    required,
    struct,
)  # fmt: skip
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

GROUP: Final = "rbac.authorization.k8s.io"

_POLICY_RULE = fields({"verbs": [required]})
_SUBJECT = fields({"name": [required]})
ROLE_RULES: Run = fields({"rules": [optional, each(struct(_POLICY_RULE))]})
BINDING_RULES: Run = fields(
    {"subjects": [optional, each(struct(_SUBJECT))], "roleRef": [alpha_immutable, struct(fields({"name": [required]}))]}
)


def name(text: str, _prefix: bool) -> list[str]:
    return names.path_segment(text)


def role_row(obj: Obj, _now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), meta(obj).get("creationTimestamp") or ""]


def policy_rules(rules: list[Obj] | None, *, namespaced: bool) -> ErrorList:
    found: ErrorList = []
    for i, rule in enumerate(rules or ()):
        path = f"rules[{i}]"
        if not rule.get("verbs"):
            found.append(covered(field.required(f"{path}.verbs", "verbs must contain at least one value")))
        urls = rule.get("nonResourceURLs")
        if urls:
            at = f"{path}.nonResourceURLs"
            if namespaced:
                found.append(field.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs"))
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                found.append(field.invalid(at, urls, detail))
            continue
        if not rule.get("apiGroups"):
            detail = "resource rules must supply at least one api group"
            found.append(field.required(f"{path}.apiGroups", detail))
        if not rule.get("resources"):
            detail = "resource rules must supply at least one resource"
            found.append(field.required(f"{path}.resources", detail))
    return found


def default_binding(obj: Obj) -> None:
    ref = obj.setdefault("roleRef", {})
    if not ref.get("apiGroup"):
        ref["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def role_ref(ref: Obj, kinds: tuple[str, ...]) -> ErrorList:
    found: ErrorList = []
    group, kind, target = ref.get("apiGroup") or "", ref.get("kind") or "", ref.get("name") or ""
    if group != GROUP:
        found.append(field.not_supported("roleRef.apiGroup", group, [GROUP]))
    if kind not in kinds:
        found.append(field.not_supported("roleRef.kind", kind, kinds))
    if target:
        found += [field.invalid("roleRef.name", target, d) for d in names.path_segment(target)]
    else:
        found.append(covered(field.required("roleRef.name")))
    return found


def subjects(values: list[Obj] | None, *, namespaced: bool) -> ErrorList:
    found: ErrorList = []
    for i, subject in enumerate(values or ()):
        path = f"subjects[{i}]"
        kind, group, who = subject.get("kind") or "", subject.get("apiGroup") or "", subject.get("name") or ""
        if not who:
            found.append(covered(field.required(f"{path}.name")))
        if kind == "ServiceAccount":
            if who:
                found += [field.invalid(f"{path}.name", who, d) for d in names.dns1123_subdomain(who)]
            if group:
                found.append(field.not_supported(f"{path}.apiGroup", group, [""]))
            if not namespaced and not subject.get("namespace"):
                found.append(field.required(f"{path}.namespace"))
        elif kind in ("User", "Group"):
            if group != GROUP:
                found.append(field.not_supported(f"{path}.apiGroup", group, [GROUP]))
        else:
            found.append(field.not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"]))
    return found


def binding_row(obj: Obj, now_s: float) -> list[Any]:
    ref = obj.get("roleRef") or {}
    users, groups, accounts = [], [], []
    for subject in obj.get("subjects") or ():
        who = subject.get("name") or ""
        kind = subject.get("kind")
        if kind == "ServiceAccount":
            accounts.append(f"{subject.get('namespace') or ''}/{who}")
        elif kind == "User":
            users.append(who)
        elif kind == "Group":
            groups.append(who)
    reference = f"{ref.get('kind', '')}/{ref.get('name', '')}"
    return [
        meta(obj).get("name", ""), reference, age(obj, now_s), ", ".join(users), ", ".join(groups), ", ".join(accounts),
    ]  # fmt: skip
