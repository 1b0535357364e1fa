"""ValidatingAdmissionPolicyBinding."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import policies, rules
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import covered, fields, required, struct
from pilothouse.api.kinds.common.strategy import first_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj

_ACTIONS: Final = ("Audit", "Deny", "Warn")
_NO_POLICY: Final = covered(field.required("spec.policyName"))
_RULES = fields({"spec": [struct(fields({"policyName": [required], "validationActions": [required]}))]})


def _own(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    found: ErrorList = policies.policy_name(spec) if spec.get("policyName") else [_NO_POLICY]
    found += rules.param_ref(spec.get("paramRef"), "spec.paramRef")
    found += rules.match_resources(spec.get("matchResources"), "spec.matchResources")
    path, actions = "spec.validationActions", spec.get("validationActions") or []
    for i, action in enumerate(actions):
        if action not in _ACTIONS:
            found.append(field.not_supported(f"{path}[{i}]", action, _ACTIONS))
        if action in actions[:i]:
            found.append(field.duplicate(f"{path}[{i}]", action))
    if {"Deny", "Warn"} <= set(actions):
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information "
            "in the API response and headers serves no purpose)"
        )
        found.append(field.invalid(path, actions, detail))
    if not actions:
        found.append(covered(field.required(path, "at least one validation action is required")))
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj) + rules.static_suffix(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


KIND = Kind(
    default=policies.default_binding,
    prepare_create=first_generation,
    prepare_update=policies.prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    warnings=rules.static_warnings,
    row=policies.binding_row,
    unconditional_update=False,
)
