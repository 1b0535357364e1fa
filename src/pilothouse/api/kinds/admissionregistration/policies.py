"""What the two kinds of admission policy share, and their bindings."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.cel.types import DYN, Type
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import expressions, rules
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.kinds.common.strategy import next_generation
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_identifier: Final = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED: Final = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip


def default_policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    rules.default_match_resources(spec.get("matchConstraints"))


def default_binding(obj: Obj) -> None:
    rules.default_match_resources((obj.get("spec") or {}).get("matchResources"))


def prepare_update(new: Obj, old: Obj) -> None:
    next_generation(new, old, "spec")


def head(spec: Obj, old: Obj | None) -> ErrorList:
    """Up to the match conditions."""
    found: ErrorList = []
    policy, kind, match = spec.get("failurePolicy"), spec.get("paramKind"), spec.get("matchConstraints")
    if policy is None:
        found.append(field.required("spec.failurePolicy"))
    elif policy not in rules.FAILURE_POLICIES:
        found.append(field.not_supported("spec.failurePolicy", policy, rules.FAILURE_POLICIES))
    if kind is not None:
        found += rules.param_kind(kind, "spec.paramKind")
    if match is None:
        found.append(field.required("spec.matchConstraints"))
    else:
        found += rules.match_resources(match, "spec.matchConstraints")
        if not match.get("resourceRules"):
            found.append(field.required("spec.matchConstraints.resourceRules"))
    return found


def conditions(spec: Obj, old: Obj | None) -> ErrorList:
    if old is not None and rules.unchanged(spec, old, "paramKind", "matchConditions"):
        return []
    scope = Scope(params=spec.get("paramKind") is not None)
    return rules.match_conditions(spec.get("matchConditions"), "spec.matchConditions", scope)


def variables(spec: Obj, *, always: bool) -> tuple[Scope, ErrorList]:
    """What the expressions that follow can name. `always`: there may be variables even where there are none."""
    found: ErrorList = []
    given = spec.get("variables") or []
    named: tuple[tuple[str, Type], ...] | None = () if given or always else None
    scope = Scope(params=spec.get("paramKind") is not None, variables=named)
    for i, variable in enumerate(given):
        path = f"spec.variables[{i}]"
        name, expression = variable.get("name") or "", variable.get("expression") or ""
        if not name.strip():
            found.append(field.required(f"{path}.name", "name is not specified"))
        elif not _identifier.fullmatch(name) or name in _RESERVED:
            found.append(field.invalid(f"{path}.name", name, "must be a valid CEL identifier"))
        if not expression.strip():
            found.append(field.required(f"{path}.expression", "expression is not specified"))
            continue
        program, wrong = expressions.compiled(expression, scope)
        if wrong:
            found.append(field.invalid(f"{path}.expression", expression, wrong))
        scope = scope.with_variable(name, DYN if program is None else program.type)
    return scope, found


def policy_name(spec: Obj) -> ErrorList:
    name = spec.get("policyName") or ""
    return [field.invalid("spec.policyName", name, d) for d in names.dns1123_subdomain(name)] if name else []


def binding_row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        meta(obj).get("name", ""),
        spec.get("policyName") or "",
        rules.show_param_ref(spec.get("paramRef")),
        age(obj, now_s),
    ]
