"""ValidatingAdmissionPolicy."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.admissionregistration import expressions, policies, rules
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.kinds.common.conditions import conditions
from pilothouse.api.kinds.common.render import internals
from pilothouse.api.kinds.common.strategy import create, update, update_status
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_REASONS: Final = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ANNOTATIONS_MAX: Final = 20
_VALUE_MAX_BYTES: Final = 5 * 1024


def _own(obj: Obj, old: Obj | None) -> ErrorList:
    spec = obj.get("spec") or {}
    before = None if old is None else old.get("spec") or {}
    found = policies.head(spec, before) + policies.conditions(spec, before)
    scope, wrong = policies.variables(spec, always=False)
    found += wrong
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        detail = "validations or auditAnnotations must contain at least one item"
        return found + [field.required(f"spec.{name}", detail) for name in ("validations", "auditAnnotations")]
    for i, validation in enumerate(validations):
        found += _validation(validation, f"spec.validations[{i}]", scope)
    if len(annotations) > _ANNOTATIONS_MAX:
        value = internals("admissionregistration/v1.AuditAnnotation", annotations)
        detail = f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations"
        found.append(field.invalid("spec.auditAnnotations", value, detail))
    seen: set[str] = set()
    for i, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{i}]", annotation.get("key") or ""
        found += _annotation(annotation, path, scope, meta(obj).get("name") or "")
        if key in seen:
            found.append(field.duplicate(f"{path}.key", key))
        seen.add(key)
    return found


def _validation(validation: Obj, path: str, scope: Scope) -> ErrorList:
    found: ErrorList = []
    expression, message = validation.get("expression") or "", validation.get("message") or ""
    told, reason = validation.get("messageExpression") or "", validation.get("reason")
    if not expression.strip():
        found.append(field.required(f"{path}.expression", "expression is not specified"))
    else:
        found += expressions.check(expression, f"{path}.expression", scope, "bool")
    blank = "must be non-empty if specified"
    if told and not told.strip():
        found.append(field.invalid(f"{path}.messageExpression", told, blank))
    elif told:
        without = Scope(params=scope.params, authorizer=False, variables=scope.variables)
        found += expressions.check(told, f"{path}.messageExpression", without, "string")
    if message and not message.strip():
        found.append(field.invalid(f"{path}.message", message, blank))
    elif any(c in message.strip() for c in "\r\n"):
        found.append(field.invalid(f"{path}.message", message, "must not contain line breaks"))
    if reason is not None and reason not in _REASONS:
        found.append(field.not_supported(f"{path}.reason", reason, _REASONS))
    return found


def _annotation(annotation: Obj, path: str, scope: Scope, policy: str) -> ErrorList:
    found: ErrorList = []
    key, value = annotation.get("key") or "", annotation.get("valueExpression") or ""
    if policy:
        full = f"{policy}/{key}"
        found += [field.invalid(f"{path}.key", full, d) for d in names.qualified_name(full)]
    else:
        found.append(field.invalid(f"{path}.key", key, "requires metadata.name be non-empty"))
    at, trimmed = f"{path}.valueExpression", value.strip()
    if not trimmed:
        found.append(field.required(at, "valueExpression is not specified"))
    elif len(trimmed.encode()) > _VALUE_MAX_BYTES:
        found.append(field.required(at, f"must not exceed {_VALUE_MAX_BYTES} bytes in length"))
    else:
        found += expressions.check(trimmed, at, scope, "string", "null_type", shown=value)
    return found


def _validate(obj: Obj) -> ErrorList:
    return _own(obj, None) + rules.static_suffix(obj)


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    status = new.get("status") or {}
    found: ErrorList = []
    for i, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
        path = f"status.typeChecking.expressionWarnings[{i}]"
        if not warning.get("warning"):
            found.append(field.required(f"{path}.warning"))
        if not (warning.get("fieldRef") or "").strip():
            found.append(field.required(f"{path}.fieldRef"))
    return found + conditions(status.get("conditions"), "status.conditions")


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    shown = rules.show_param_kind(spec.get("paramKind"))
    return [meta(obj).get("name", ""), len(spec.get("validations") or ()), shown, age(obj, now_s)]


KIND = Kind(
    status_reset_fields=frozenset({"metadata", "spec"}),
    default=policies.default_policy,
    prepare_create=create,
    prepare_update=update,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_own,
    validate_status=_validate_status,
    warnings=rules.static_warnings,
    row=_row,
    unconditional_update=False,
)
