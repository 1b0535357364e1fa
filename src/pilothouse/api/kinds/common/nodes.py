"""Node selectors, as affinities and volumes have them."""

from __future__ import annotations

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.objects import Obj


def node_selector(selector: Obj, path: str, *, allow_invalid_values: bool = False) -> ErrorList:
    terms = selector.get("nodeSelectorTerms")
    if not terms:
        return [field.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    found: ErrorList = []
    for i, term in enumerate(terms):
        at = f"{path}.nodeSelectorTerms[{i}]"
        found += node_selector_term(term, at, allow_invalid_values=allow_invalid_values)
    return found


def node_selector_term(term: Obj, path: str, *, allow_invalid_values: bool = False) -> ErrorList:
    found: ErrorList = []
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        found += _expression(requirement, f"{path}.matchExpressions[{i}]", allow_invalid_values)
    for i, requirement in enumerate(term.get("matchFields") or ()):
        found += _field(requirement, f"{path}.matchFields[{i}]")
    return found


def _expression(requirement: Obj, path: str, allow_invalid_values: bool) -> ErrorList:
    found: ErrorList = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            found.append(field.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(field.forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found.append(field.required(f"{path}.values", detail))
    else:
        found.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    found += label_name(requirement.get("key") or "", f"{path}.key")
    if not allow_invalid_values:
        for i, value in enumerate(values):
            found += [field.invalid(f"{path}.values[{i}]", value, d) for d in names.label_value(value)]
    return found


def _field(requirement: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            found.append(field.required(f"{path}.values", detail))
    else:
        found.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key") or ""
    if key != "metadata.name":
        found.append(field.invalid(f"{path}.key", key, "not a valid field selector key"))
    else:
        for i, value in enumerate(values):
            found += [field.invalid(f"{path}.values[{i}]", value, d) for d in names.dns1123_subdomain(value)]
    return found


def has_invalid_values(selector: Obj | None) -> bool:
    """Whether a stored node selector holds a label value that today's rules refuse."""
    for term in (selector or {}).get("nodeSelectorTerms") or ():
        for requirement in term.get("matchExpressions") or ():
            if any(names.label_value(v) for v in requirement.get("values") or ()):
                return True
    return False
