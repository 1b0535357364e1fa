"""MutatingAdmissionPolicyBinding."""

from __future__ import annotations

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import policies, rules
from pilothouse.api.kinds.common.strategy import first_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj


def _own(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    found = policies.policy_name(spec) if spec.get("policyName") else [field.required("spec.policyName")]
    match = spec.get("matchResources")
    found += rules.param_ref(spec.get("paramRef"), "spec.paramRef")
    found += rules.match_resources(match, "spec.matchResources")
    return found + rules.mutating_operations(match, "spec.matchResources")


def _validate(obj: Obj) -> ErrorList:
    return _own(obj) + rules.static_suffix(obj)


KIND = Kind(
    default=policies.default_binding,
    prepare_create=first_generation,
    prepare_update=policies.prepare_update,
    validate=_validate,
    validate_update=lambda new, _old: _own(new),
    warnings=rules.static_warnings,
    row=policies.binding_row,
    unconditional_update=False,
)
