"""Which requests webhooks and policies are for."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import expressions
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import Obj, meta

STATIC_SUFFIX: Final = ".static.k8s.io"
FAILURE_POLICIES: Final = ("Fail", "Ignore")
MATCH_POLICIES: Final = ("Equivalent", "Exact")
REINVOCATION_POLICIES: Final = ("IfNeeded", "Never")
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_MUTATING_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "UPDATE")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_CONDITIONS_MAX: Final = 64


def default_rule(rule: Obj) -> None:
    if rule.get("scope") is None:
        rule["scope"] = "*"


def default_match_resources(match: Obj | None) -> None:
    if match is None:
        return
    if match.get("matchPolicy") is None:
        match["matchPolicy"] = "Equivalent"
    for name in ("namespaceSelector", "objectSelector"):
        if match.get(name) is None:
            match[name] = {}
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(name) or ():
            default_rule(rule)


def static_suffix(obj: Obj) -> ErrorList:
    """Names that manifests on the server's disk have."""
    name = meta(obj).get("name") or ""
    return [field.invalid("metadata.name", name, _STATIC)] if name.endswith(STATIC_SUFFIX) else []


_STATIC: Final = (
    f'names ending with "{STATIC_SUFFIX}" are reserved for static manifest-based configurations '
    "and cannot be managed via the API"
)


def static_warnings(new: Obj, old: Obj | None) -> list[str]:
    if old is not None and (meta(new).get("name") or "").endswith(STATIC_SUFFIX):
        return [f"metadata.name: {_STATIC}"]
    return []


def rule_with_operations(rule: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    operations = rule.get("operations") or []
    if not operations:
        found.append(field.required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        detail = "if '*' is present, must not specify other operations"
        found.append(field.invalid(f"{path}.operations", operations, detail))
    for i, operation in enumerate(operations):
        if operation not in _OPERATIONS:
            found.append(field.not_supported(f"{path}.operations[{i}]", operation, _OPERATIONS))
    groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
    for name, values, what in (("apiGroups", groups, "API groups"), ("apiVersions", versions, "API versions")):
        if not values:
            found.append(field.required(f"{path}.{name}"))
        if len(values) > 1 and "*" in values:
            detail = f"if '*' is present, must not specify other {what}"
            found.append(field.invalid(f"{path}.{name}", values, detail))
    found += [field.required(f"{path}.apiVersions[{i}]") for i, v in enumerate(versions) if not v]
    found += _resources(rule.get("resources") or [], f"{path}.resources")
    scope = rule.get("scope")
    if scope is not None and scope not in _SCOPES:
        found.append(field.not_supported(f"{path}.scope", scope, _SCOPES))
    return found


def _resources(resources: list[str], path: str) -> ErrorList:
    found: ErrorList = []
    if not resources:
        found.append(field.required(path))
    all_of: set[str] = set()  # resources with `/*`
    of_all: set[str] = set()  # subresources of `*`
    plain = False
    for i, text in enumerate(resources):
        at = f"{path}[{i}]"
        if not text:
            found.append(field.required(at))
            continue
        resource, slash, sub = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if resource in all_of:
            found.append(field.invalid(at, text, f"if '{resource}/*' is present, must not specify {text}"))
        if sub in of_all:
            found.append(field.invalid(at, text, f"if '*/{sub}' is present, must not specify {text}"))
        if sub == "*":
            all_of.add(resource)
        if resource == "*":
            of_all.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        detail = "if '*/*' is present, must not specify other resources"
        found.append(field.invalid(path, resources, detail))
    if "*" in resources and plain:
        detail = "if '*' is present, must not specify other resources without subresources"
        found.append(field.invalid(path, resources, detail))
    return found


def match_resources(match: Obj | None, path: str) -> ErrorList:
    if match is None:
        return []
    found: ErrorList = []
    policy = match.get("matchPolicy")
    if policy is None:
        found.append(field.required(f"{path}.matchPolicy"))
    elif policy not in MATCH_POLICIES:
        found.append(field.not_supported(f"{path}.matchPolicy", policy, MATCH_POLICIES))
    for name in ("namespaceSelector", "objectSelector"):
        if match.get(name) is None:
            found.append(field.required(f"{path}.{name}"))
        else:
            found += selectors.label_selector(match[name], f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for i, rule in enumerate(match.get(name) or ()):
            found += _named_rule(rule, f"{path}.{name}[{i}]")
    return found


def _named_rule(rule: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, name in enumerate(rule.get("resourceNames") or ()):
        at = f"{path}.resourceNames[{i}]"
        found += [field.invalid(at, name, d) for d in names.path_segment(name)]
        if name in seen:
            found.append(field.duplicate(at, name))
        seen.add(name)
    return found + rule_with_operations(rule, path)


def mutating_operations(match: Obj | None, path: str) -> ErrorList:
    """A deletion has nothing to mutate."""
    found: ErrorList = []
    for rule in (match or {}).get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            if operation not in _MUTATING_OPERATIONS:
                at = f"{path}.resourceRules.operations"
                found.append(field.not_supported(at, operation, _MUTATING_OPERATIONS))
    return found


def match_conditions(conditions: list[Obj] | None, path: str, scope: Scope) -> ErrorList:
    found: ErrorList = []
    values = conditions or []
    if len(values) > _CONDITIONS_MAX:
        found.append(field.too_many(path, len(values), _CONDITIONS_MAX))
    seen: set[str] = set()
    for i, condition in enumerate(values):
        at = f"{path}[{i}]"
        name, expression = condition.get("name") or "", (condition.get("expression") or "").strip()
        if not expression:
            found.append(field.required(f"{at}.expression"))
        else:
            found += expressions.check(expression, f"{at}.expression", scope, "bool")
        if not name:
            found.append(field.required(f"{at}.name"))
            continue
        found += [field.invalid(f"{at}.name", name, d) for d in names.qualified_name(name)]
        if name in seen:
            found.append(field.duplicate(f"{at}.name", name))
        seen.add(name)
    return found


def unchanged(new: Any, old: Any, *parts: str) -> bool:
    return all(same(new.get(p), old.get(p)) for p in parts)


def param_kind(kind: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    text, name = kind.get("apiVersion") or "", kind.get("kind") or ""
    at = f"{path}.apiVersion"
    if not text:
        found.append(field.required(at))
    elif text.count("/") > 1:
        found.append(field.invalid(at, text, f"unexpected GroupVersion string: {text}"))
    else:
        group, _, version = text.rpartition("/")
        details = names.dns1123_subdomain(group) if group else []
        if details:
            found.append(field.invalid(at, group, ",".join(details)))
        details = names.dns1035_label(version)
        if not version:
            found.append(field.invalid(at, text, "version must be specified"))
        elif details:
            found.append(field.invalid(at, version, ",".join(details)))
    details = names.dns1035_label(name.lower())
    if not name:
        found.append(field.required(f"{path}.kind"))
    elif details:
        told = "may have mixed case, but should otherwise match: " + ",".join(details)
        found.append(field.invalid(f"{path}.kind", name, told))
    return found


def param_ref(ref: Obj | None, path: str) -> ErrorList:
    if ref is None:
        return []
    found: ErrorList = []
    name, selector = ref.get("name") or "", ref.get("selector")
    exclusive = "name and selector are mutually exclusive"
    if name:
        found += [field.invalid(f"{path}.name", name, d) for d in names.path_segment(name)]
        if selector is not None:
            found.append(field.forbidden(f"{path}.name", exclusive))
    if selector is not None:
        found += selectors.label_selector(selector, f"{path}.selector")
        if name:
            found.append(field.forbidden(f"{path}.selector", exclusive))
    elif not name:
        found.append(field.required(path, "one of name or selector must be specified"))
    action, at = ref.get("parameterNotFoundAction"), f"{path}.parameterNotFoundAction"
    if not action:
        found.append(field.required(at))
    elif action not in ("Deny", "Allow"):
        found.append(field.not_supported(at, action, ["Deny", "Allow"]))
    return found


def show_param_kind(kind: Obj | None) -> str:
    return "<unset>" if kind is None else f"{kind.get('apiVersion') or ''}/{kind.get('kind') or ''}"


def show_param_ref(ref: Obj | None) -> str:
    if ref is None:
        return "<unset>"
    name, namespace, selector = ref.get("name") or "", ref.get("namespace") or "", ref.get("selector")
    if name:
        return f"{namespace or '*'}/{name}"
    return "<unset>" if selector is None else selectors.go_string(selector)
