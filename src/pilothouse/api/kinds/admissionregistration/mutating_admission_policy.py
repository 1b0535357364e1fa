"""MutatingAdmissionPolicy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import expressions, policies, rules
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.kinds.common.strategy import first_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

# patch type → its field
_PATCHES: Final = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_RETURNS: Final = {"ApplyConfiguration": "Object", "JSONPatch": "list(JSONPatch)"}


def _own(obj: Obj, old: Obj | None) -> ErrorList:
    spec = obj.get("spec") or {}
    before = None if old is None else old.get("spec") or {}
    found = policies.head(spec, before)
    found += rules.mutating_operations(spec.get("matchConstraints"), "spec.matchConstraints")
    found += policies.conditions(spec, before)
    scope, wrong = policies.variables(spec, always=True)
    found += wrong
    mutations = spec.get("mutations") or []
    if not mutations:
        found.append(field.required("spec.mutations", "mutations must contain at least one item"))
    for i, mutation in enumerate(mutations):
        found += _mutation(mutation, f"spec.mutations[{i}]", scope)
    policy, path = spec.get("reinvocationPolicy") or "", "spec.reinvocationPolicy"
    if not policy:
        found.append(field.required(path))
    elif policy not in rules.REINVOCATION_POLICIES:
        found.append(field.not_supported(path, policy, rules.REINVOCATION_POLICIES))
    return found


def _mutation(mutation: Obj, path: str, scope: Scope) -> ErrorList:
    kind = mutation.get("patchType") or ""
    if not kind:
        return [field.required(f"{path}.patchType")]
    own = _PATCHES.get(kind)
    if own is None:
        return [field.not_supported(f"{path}.patchType", kind, _PATCHES)]
    found: ErrorList = []
    patch = mutation.get(own)
    if patch is None:
        found.append(field.required(f"{path}.{own}", f"must be specified when patchType is {kind}"))
    else:
        at, expression = f"{path}.{own}.expression", (patch.get("expression") or "").strip()
        if not expression:
            found.append(field.required(at))
        else:
            found += expressions.check(expression, at, replace(scope, patches=True), _RETURNS[kind])
    other = next(name for name in _PATCHES.values() if name != own)
    if mutation.get(other) is not None:
        detail = f"must not be specified when patchType is {kind}"
        found.append(field.invalid(f"{path}.{other}", "{" + other + "}", detail))
    return found


def _validate(obj: Obj) -> ErrorList:
    return _own(obj, None) + rules.static_suffix(obj)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    shown = rules.show_param_kind(spec.get("paramKind"))
    return [meta(obj).get("name", ""), len(spec.get("mutations") or ()), shown, age(obj, now_s)]


KIND = Kind(
    default=policies.default_policy,
    prepare_create=first_generation,
    prepare_update=policies.prepare_update,
    validate=_validate,
    validate_update=_own,
    warnings=rules.static_warnings,
    row=_row,
    unconditional_update=False,
)
