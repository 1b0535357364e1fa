"""What the two kinds of webhook configuration share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import rules
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import next_generation
from pilothouse.api.kinds.common.urls import webhook_service, webhook_url
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_VERSIONS: Final = ("v1", "v1beta1")
_NO_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun", "Some", "Unknown")
# Requests that are judged and not stored: webhooks are not asked about them.
_EXCLUDED: Final = frozenset(
    {("authentication.k8s.io", r) for r in ("selfsubjectreviews", "tokenreviews")}
    | {
        ("authorization.k8s.io", r)
        for r in (
            "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews",
        )
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Leave:
    """What a stored configuration already does, and may go on doing."""

    side_effects: bool = False
    unknown_versions: bool = False
    repeated_names: bool = False
    invalid_values: bool = False
    conditions: bool = False


def default(obj: Obj) -> None:
    for hook in obj.get("webhooks") or ():
        for name, value in (("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("timeoutSeconds", 10)):
            if hook.get(name) is None:
                hook[name] = value
        for name in ("namespaceSelector", "objectSelector"):
            if hook.get(name) is None:
                hook[name] = {}
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None and service.get("port") is None:
            service["port"] = 443
        for rule in hook.get("rules") or ():
            rules.default_rule(rule)


def prepare_update(new: Obj, old: Obj) -> None:
    next_generation(new, old, "webhooks")


def _fully_qualified(name: str, path: str) -> ErrorList:
    if not name:
        return [field.required(path)]
    details = names.dns1123_subdomain(name)
    if details:
        return [field.invalid(path, name, ",".join(details))]
    if name.count(".") < 2:
        return [field.invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def _webhook(hook: Obj, path: str, leave: _Leave, mutating: bool) -> ErrorList:
    found = _fully_qualified(hook.get("name") or "", f"{path}.name")
    for i, rule in enumerate(hook.get("rules") or ()):
        found += rules.rule_with_operations(rule, f"{path}.rules[{i}]")
    for name, known in (("failurePolicy", rules.FAILURE_POLICIES), ("matchPolicy", rules.MATCH_POLICIES)):
        value = hook.get(name)
        if value is not None and value not in known:
            found.append(field.not_supported(f"{path}.{name}", value, known))
    effects, allowed = hook.get("sideEffects"), _SIDE_EFFECTS if leave.side_effects else _NO_SIDE_EFFECTS
    if effects is None:
        found.append(field.required(f"{path}.sideEffects", f"must specify one of {', '.join(allowed)}"))
    elif effects not in allowed:
        found.append(field.not_supported(f"{path}.sideEffects", effects, allowed))
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        detail = "the timeout value must be between 1 and 30 seconds"
        found.append(field.invalid(f"{path}.timeoutSeconds", timeout, detail))
    for name in ("namespaceSelector", "objectSelector"):
        found += selectors.label_selector(hook.get(name), f"{path}.{name}", allow_invalid_values=leave.invalid_values)
    policy = hook.get("reinvocationPolicy")
    if mutating and policy is not None and policy not in rules.REINVOCATION_POLICIES:
        at = f"{path}.reinvocationPolicy"
        found.append(field.not_supported(at, policy, rules.REINVOCATION_POLICIES))
    found += _client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    if not leave.conditions:
        found += rules.match_conditions(hook.get("matchConditions"), f"{path}.matchConditions", Scope())
    return found + _versions(hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions", leave)


def _client(client: Obj, path: str) -> ErrorList:
    url, service = client.get("url"), client.get("service")
    if url is not None and service is None:
        return webhook_url(url, f"{path}.url")
    if service is not None and url is None:
        return webhook_service(service, f"{path}.service")
    return [field.required(path, "exactly one of url or service is required")]


def _versions(versions: list[str], path: str, leave: _Leave) -> ErrorList:
    if not versions:
        return [field.required(path, f"must specify one of {', '.join(_VERSIONS)}")]
    found: ErrorList = []
    for i, version in enumerate(versions):
        if version in versions[:i]:
            found.append(field.invalid(f"{path}[{i}]", version, "duplicate version"))
            continue
        found += [field.invalid(f"{path}[{i}]", version, d) for d in names.dns1035_label(version)]
    if not leave.unknown_versions and not set(versions) & set(_VERSIONS):
        detail = f"must include at least one of {', '.join(_VERSIONS)}"
        found.append(field.invalid(path, versions, detail))
    return found


def _all(obj: Obj, leave: _Leave, mutating: bool) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{i}]"
        found += _webhook(hook, path, leave, mutating)
        name = hook.get("name") or ""
        if name and not leave.repeated_names and name in seen:
            found.append(field.duplicate(f"{path}.name", name))
        seen.add(name)
    return found


def validate(obj: Obj, *, mutating: bool) -> ErrorList:
    return _all(obj, _Leave(), mutating) + rules.static_suffix(obj)


def validate_update(new: Obj, old: Obj, *, mutating: bool) -> ErrorList:
    hooks, before = new.get("webhooks") or [], old.get("webhooks") or []
    told = [h.get("name") or "" for h in before]
    leave = _Leave(
        side_effects=any(h.get("sideEffects") not in _NO_SIDE_EFFECTS for h in before),
        unknown_versions=any(
            h.get("admissionReviewVersions") and not set(h["admissionReviewVersions"]) & set(_VERSIONS) for h in before
        ),
        repeated_names=len(set(told)) < len(told),
        invalid_values=any(
            selectors.label_selector(h.get(name), "")
            for h in before
            for name in ("namespaceSelector", "objectSelector")
        ),
        conditions=len(hooks) == len(before)
        and all(same(h.get("matchConditions"), b.get("matchConditions")) for h, b in zip(hooks, before, strict=True)),
    )
    return _all(new, leave, mutating)


def warnings(new: Obj, old: Obj | None) -> list[str]:
    out = rules.static_warnings(new, old)
    for i, hook in enumerate(new.get("webhooks") or ()):
        for j, rule in enumerate(hook.get("rules") or ()):
            groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
            if "*" in groups or "*" in resources:
                continue
            named = dict.fromkeys((g, r) for g in groups for r in resources if (g, r) in _EXCLUDED)
            told = "is excluded from admission webhooks; this rule will have no effect"
            out += [f"webhooks[{i}].rules[{j}]: {resource}.{group} {told}" for group, resource in named]
    return out


def row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), len(obj.get("webhooks") or ()), age(obj, now_s)]
