"""What containers and pods ask for: requests, limits, claims. Source: upstream's pkg/apis/core/validation; KEP-2837."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import compare
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.resources import (
    container_resource_name,
    huge_page_amount,
    is_huge_page,
    may_overcommit,
    quantity_value,
    resource_name,
)
from pilothouse.api.kinds.core.podspec import containers, forms, podlevel
from pilothouse.api.objects import Obj, meta
from pilothouse.api.podrequests import is_pod_level

if TYPE_CHECKING:
    from pilothouse.api.kinds.core.podspec.leniency import Leniency

_MIRROR = "kubernetes.io/config.mirror"


def requirements(
    value: Obj | None, path: str, lenient: Leniency, claim_names: set[str],
    name_rule: Callable[[str, str], ErrorList] = container_resource_name,
) -> ErrorList:  # fmt: skip
    value = value or {}
    limits, requests = value.get("limits") or {}, value.get("requests") or {}
    found: ErrorList = []
    for name, amount in limits.items():
        found += _amount(name, amount, f"{path}.limits[{name}]", name_rule)
        found += _pages(name, amount, f"{path}.limits[{name}]", lenient)
    for name, amount in requests.items():
        at = f"{path}.requests[{name}]"
        found += _amount(name, amount, at, name_rule)
        limit = limits.get(name)
        if limit is None:
            if not may_overcommit(name):
                found.append(field.required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        else:
            order = compare(amount, limit)
            if order and not may_overcommit(name):
                found.append(
                    field.invalid(f"{path}.requests", str(amount), f"must be equal to {name} limit of {limit}")
                )
            elif order > 0:
                detail = f"must be less than or equal to {name} limit of {limit}"
                found.append(field.invalid(f"{path}.requests", str(amount), detail))
        found += _pages(name, amount, at, lenient)
    named = limits.keys() | requests.keys()
    if any(map(is_huge_page, named)) and not named & {"cpu", "memory"}:
        found.append(field.forbidden(path, "HugePages require cpu or memory"))
    return found + _claims(value.get("claims"), claim_names, f"{path}.claims")


def _amount(name: str, amount: Any, path: str, name_rule: Callable[[str, str], ErrorList]) -> ErrorList:
    return name_rule(name, path) + quantity_value(name, amount, path)


def _pages(name: str, amount: Any, path: str, lenient: Leniency) -> ErrorList:
    return huge_page_amount(name, amount, path) if is_huge_page(name) and not lenient.huge_pages else []


def _claims(values: list[Obj] | None, known: set[str], path: str) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, claim in enumerate(values or ()):
        name, request, at = claim.get("name") or "", claim.get("request") or "", f"{path}[{i}]"
        if not name:
            found.append(field.required(at))
            continue
        if name in seen:
            found.append(field.duplicate(at, name))
        else:
            key = name
            if request:
                found += forms.label(request, f"{at}.request")
                key = f"{name}/{request}"
            if key in seen:
                found.append(field.duplicate(at, key))
            elif not request:
                found += [field.duplicate(at, name) for k in seen if "/" in k and k.partition("/")[0] == name]
            seen.add(key)
        if name not in known:
            error = field.not_found(at, name)
            error.detail = "must be one of the names in pod.spec.resourceClaims"
            error.detail += ": " + ", ".join(sorted(known)) if known else " which is empty"
            found.append(error)
    return found


def pod_claims(values: list[Obj] | None, pod_metadata: Obj | None, path: str) -> ErrorList:
    """The claims of a pod as a whole; `pod_metadata` is None in a template."""
    found: ErrorList = []
    seen: set[str] = set()
    mirror = pod_metadata is not None and _MIRROR in (meta({"metadata": pod_metadata}).get("annotations") or ())
    for i, claim in enumerate(values or ()):
        if mirror:
            found.append(field.forbidden("", "static pods do not support resource claims"))
            continue
        found += _pod_claim(claim, seen, f"{path}[{i}]")
    return found


def _pod_claim(claim: Obj, seen: set[str], path: str) -> ErrorList:
    found: ErrorList = []
    name = claim.get("name") or ""
    if not name:
        found.append(field.required(f"{path}.name"))
    elif name in seen:
        found.append(field.duplicate(f"{path}.name", name))
    else:
        found += forms.label(name, f"{path}.name")
        seen.add(name)
    own, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
    if (own is None) == (template is None):
        detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        if own is not None:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
        found.append(field.invalid(path, internal("core/v1.PodResourceClaim", claim), detail))
    if own is not None:
        found += forms.subdomain(own, f"{path}.resourceClaimName")
    if template is not None:
        found += forms.subdomain(template, f"{path}.resourceClaimTemplateName")
    return found


def pod_level(spec: Obj, path: str, lenient: Leniency, claim_names: set[str]) -> ErrorList:
    own = spec.get("resources")
    if own is None:
        return []
    if (spec.get("os") or {}).get("name") == "windows":
        return [field.forbidden(path, "may not be set for a windows pod")]
    found: ErrorList = []
    if own.get("claims") is not None:
        found.append(field.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level"))
    found += requirements(own, path, lenient, claim_names, _pod_resource_name)
    return found + _consistency(spec, own, path)


def _pod_resource_name(name: str, path: str) -> ErrorList:
    found = resource_name(name, path)
    if not found and not is_pod_level(name):
        found.append(field.not_supported(path, name, ["cpu", "hugepages-", "memory"]))
    return found


def _consistency(spec: Obj, own: Obj, path: str) -> ErrorList:
    """A pod's own requests cover those of its containers, its limits theirs."""
    found: ErrorList = []
    requests, limits = own.get("requests") or {}, own.get("limits") or {}
    for name, amount in podlevel.aggregate(spec, "requests").items():
        if name in requests and compare(str(amount), requests[name]) > 0:
            detail = f"must be greater than or equal to aggregate container requests of {amount}"
            found.append(field.invalid(f"{path}.requests[{name}]", str(requests[name]), detail))
    for name, amount in podlevel.aggregate(spec, "limits").items():
        if is_huge_page(name) and name in limits and compare(str(amount), limits[name]) > 0:
            detail = f"must be greater than or equal to aggregate container limits of {amount}"
            found.append(field.invalid(f"{path}.limits[{name}]", str(limits[name]), detail))
    for i, container in enumerate(containers.every(spec, "containers")):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and compare(limit, limits[name]) > 0:
                at = f"{path}.containers[{i}][{name}].limits"
                found.append(
                    field.invalid(at, str(limit), f"must be less than or equal to pod limits of {limits[name]}")
                )
    return found
