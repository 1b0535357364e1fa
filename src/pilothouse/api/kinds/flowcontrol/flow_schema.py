"""FlowSchema."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.strategy import create, update
from pilothouse.api.kinds.flowcontrol import mandatory
from pilothouse.api.kinds.flowcontrol.conditions import conditions, prepare_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_PRECEDENCE_DEFAULT: Final = 1_000
_PRECEDENCE_MAX: Final = 10_000
_METHODS: Final = ("ByNamespace", "ByUser")
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
# kind of a subject → field
_SUBJECTS: Final = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = _PRECEDENCE_DEFAULT


def _spec(name: str, spec: Obj) -> ErrorList:
    found: ErrorList = []
    precedence, path = spec.get("matchingPrecedence") or 0, "spec.matchingPrecedence"
    if precedence <= 0:
        found.append(field.invalid(path, precedence, "must be a positive value"))
    if precedence > _PRECEDENCE_MAX:
        found.append(field.invalid(path, precedence, f"must not be greater than {_PRECEDENCE_MAX}"))
    if precedence == 1 and name != "exempt":
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        found.append(field.invalid(path, precedence, detail))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _METHODS:
        value = internal("flowcontrol/v1.FlowDistinguisherMethod", method)
        found.append(field.not_supported("spec.distinguisherMethod.type", value, _METHODS))
    path = "spec.priorityLevelConfiguration.name"
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    if level:
        found += [field.invalid(path, level, d) for d in names.dns1123_subdomain(level)]
    else:
        found.append(field.required(path, "must reference a priority level"))
    for i, rule in enumerate(spec.get("rules") or ()):
        found += _rule(rule, f"spec.rules[{i}]")
    return found


def _rule(rule: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    subjects = rule.get("subjects")
    if not subjects:
        found.append(field.required(f"{path}.subjects", "subjects must contain at least one value"))
    for i, subject in enumerate(subjects or ()):
        found += _subject(subject, f"{path}.subjects[{i}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        found.append(field.required(path, detail))
    for i, one in enumerate(rule.get("resourceRules") or ()):
        found += _resource_rule(one, f"{path}.resourceRules[{i}]")
    for i, one in enumerate(rule.get("nonResourceRules") or ()):
        found += _non_resource_rule(one, f"{path}.nonResourceRules[{i}]")
    return found


def _subject(subject: Obj, path: str) -> ErrorList:
    kind = subject.get("kind") or ""
    own = _SUBJECTS.get(kind)
    if own is None:
        return [field.not_supported(f"{path}.kind", kind, _SUBJECTS)]
    found: ErrorList = []
    value = subject.get(own)
    if value is None:
        found.append(field.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'"))
    else:
        found += _who(value, f"{path}.{own}", kind == "ServiceAccount")
    for other in ("ServiceAccount", "User", "Group"):
        name = _SUBJECTS[other]
        if other != kind and subject.get(name) is not None:
            detail = f"{name} is forbidden when subject kind is not '{other}'"
            found.append(field.forbidden(f"{path}.{name}", detail))
    return found


def _who(value: Obj, path: str, account: bool) -> ErrorList:
    found: ErrorList = []
    name, namespace = value.get("name") or "", value.get("namespace") or ""
    if not name:
        found.append(field.required(f"{path}.name"))
    elif account and name != "*":
        found += [field.invalid(f"{path}.name", name, d) for d in names.dns1123_subdomain(name)]
    if account and not namespace:
        found.append(field.required(f"{path}.namespace", "must specify namespace for service account"))
    elif account:
        found += [field.invalid(f"{path}.namespace", namespace, d) for d in names.dns1123_label(namespace)]
    return found


def _verbs(verbs: list[str] | None, path: str) -> ErrorList:
    if not verbs:
        return [field.required(f"{path}.verbs", "verbs must contain at least one value")]
    if "*" in verbs:
        if len(verbs) == 1:
            return []
        return [field.invalid(f"{path}.verbs", verbs, "if '*' is present, must not specify other verbs")]
    if set(verbs) <= set(_VERBS):
        return []
    return [field.not_supported(f"{path}.verbs", verbs, _VERBS)]


def _resource_rule(rule: Obj, path: str) -> ErrorList:
    found = _verbs(rule.get("verbs"), path)
    for name, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(name)
        if not values:
            found.append(field.required(f"{path}.{name}", f"resource rules must supply at least one {one}"))
        elif len(values) > 1 and "*" in values:
            detail = f"if '*' is present, must not specify other {many}"
            found.append(field.invalid(f"{path}.{name}", values, detail))
    at, namespaces = f"{path}.namespaces", rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        found.append(field.required(at, detail))
    elif "*" in namespaces:
        if len(namespaces) > 1:
            detail = "if '*' is present, must not specify other namespaces"
            found.append(field.invalid(at, namespaces, detail))
    else:
        for i, namespace in enumerate(namespaces):
            details = names.dns1123_label(namespace)
            told = "each member of this list must be '*' or a DNS-1123 label; "
            found += [field.invalid(f"{at}[{i}]", namespace, told + d) for d in details]
    return found


def _non_resource_rule(rule: Obj, path: str) -> ErrorList:
    found = _verbs(rule.get("verbs"), path)
    at, urls = f"{path}.nonResourceURLs", rule.get("nonResourceURLs")
    if not urls:
        found.append(field.required(at, "nonResourceURLs must contain at least one value"))
    elif "*" in urls:
        if len(urls) > 1:
            detail = "if '*' is present, must not specify other non-resource URLs"
            found.append(field.invalid(at, urls, detail))
    else:
        for i, url in enumerate(urls):
            wrong = _url(url)
            if wrong:
                found.append(field.invalid(f"{at}[{i}]", url, wrong))
    return found


def _url(url: str) -> str:
    """What is wrong with a path, or nothing."""
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count("*") > 1 or ("*" in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def _validate(obj: Obj) -> ErrorList:
    spec, name = obj.get("spec") or {}, meta(obj).get("name") or ""
    found = _spec(name, spec)
    wanted = mandatory.FLOW_SCHEMAS.get(name)
    type_name = "flowcontrol/v1.FlowSchemaSpec"
    if wanted is not None and not mandatory.is_same(type_name, spec, wanted):
        detail = f"spec of '{name}' must equal the fixed value"
        found.append(field.invalid("spec", internal(type_name, spec), detail))
    return found + conditions(obj.get("status"))


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    method = spec.get("distinguisherMethod")
    states = (obj.get("status") or {}).get("conditions") or ()
    dangling = next((c.get("status") or "" for c in states if c.get("type") == "Dangling"), "?")
    return [
        meta(obj).get("name", ""),
        (spec.get("priorityLevelConfiguration") or {}).get("name") or "",
        spec.get("matchingPrecedence") or 0,
        "<none>" if method is None else method.get("type") or "",
        age(obj, now_s),
        dangling,
    ]


KIND = Kind(
    names_are_checked_again=True,
    status_reset_fields=frozenset({"metadata", "spec"}),
    default=_default,
    prepare_create=create,
    prepare_update=update,
    prepare_status=prepare_status,
    validate=_validate,
    validate_update=lambda new, _old: _validate(new),
    validate_status=lambda new, _old: conditions(new.get("status")),
    row=_row,
)
