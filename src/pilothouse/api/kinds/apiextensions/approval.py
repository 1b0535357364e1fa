"""The annotation that says who approved an API of the community's own groups (*.k8s.io, *.kubernetes.io).

Source: upstream's apiextensions-apiserver/pkg/apihelpers and its api-approved.kubernetes.io policy.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj, meta

ANNOTATION: Final = "api-approved.kubernetes.io"
_SEE: Final = "see https://github.com/kubernetes/enhancements/pull/1111"
State = Literal["invalid", "approved", "bypassed", "missing"]


def is_protected(group: str) -> bool:
    return any(group == own or group.endswith(f".{own}") for own in ("k8s.io", "kubernetes.io"))


def state_of(definition: Obj) -> tuple[State, str]:
    """(state, why)."""
    given = (meta(definition).get("annotations") or {}).get(ANNOTATION) or ""
    if not given:
        return "missing", f'protected groups must have approval annotation "{ANNOTATION}", {_SEE}'
    if given.startswith("unapproved"):
        return "bypassed", f"not approved: {field.quote(given)}"
    try:
        url = urlsplit(given)
        approved = bool(url.scheme and url.netloc)
    except ValueError:
        approved = False
    if approved:
        return "approved", f"approved in {given}"
    why = f'with either a URL or a reason starting with "unapproved", {_SEE}'
    return "invalid", f'protected groups must have approval annotation "{ANNOTATION}" {why}'


def validate(new: Obj, old: Obj | None) -> ErrorList:
    if not is_protected((new.get("spec") or {}).get("group") or ""):
        return []
    state, why = state_of(new)
    if old is not None and state_of(old)[0] == state:
        return []
    at = f"metadata.annotations[{ANNOTATION}]"
    if state == "missing":
        return [field.required(at, why)]
    return [field.invalid(at, meta(new)["annotations"][ANNOTATION], why)] if state == "invalid" else []
