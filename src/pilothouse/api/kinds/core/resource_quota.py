"""ResourceQuota."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import compare, round_list
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.resources import is_standard_for_quota, quantity_value, quota_resource_name
from pilothouse.api.kinds.common.strategy import drop_status, keep, update_without_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_SCOPES: Final = frozenset(
    {
        "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "VolumeAttributesClass",
        "CrossNamespacePodAffinity",
    }
)  # fmt: skip
_EXISTS_ONLY: Final = frozenset(
    {"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"}
)
_PODS: Final = frozenset({"pods"})
_COMPUTE: Final = _PODS | {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
_SCOPED: Final = {
    "BestEffort": _PODS,
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
_CONFLICTS: Final = (frozenset({"BestEffort", "NotBestEffort"}), frozenset({"Terminating", "NotTerminating"}))


def _default(obj: Obj) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    for values in (spec.get("hard"), status.get("hard"), status.get("used")):
        round_list(values)


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")


def _amounts(values: Obj | None, path: str) -> ErrorList:
    found: ErrorList = []
    for name, quantity in (values or {}).items():
        at = f"{path}[{name}]"
        found += quota_resource_name(name, at) + quantity_value(name, quantity, at)
    return found


def _spec(spec: Obj) -> ErrorList:
    found = _amounts(spec.get("hard"), "spec.hard")
    hard = [k for k in sorted(spec.get("hard") or {}) if is_standard_for_quota(k)]
    scopes = spec.get("scopes")
    for scope in scopes or ():
        if scope not in _SCOPES:
            found.append(field.invalid("spec.scopes", scopes, "unsupported scope"))
        for name in hard:
            if not _applies(scope, name):
                found.append(field.invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    found += _conflicts(set(scopes or ()), scopes)
    return found + _selector(spec, hard)


def _applies(scope: str, name: str) -> bool:
    return scope not in _SCOPES or name in _SCOPED.get(scope, _COMPUTE)


def _conflicts(scopes: set[str], shown: Any) -> ErrorList:
    return [field.invalid("spec.scopes", shown, "conflicting scopes") for pair in _CONFLICTS if pair <= scopes]


def _selector(spec: Obj, hard: list[str]) -> ErrorList:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    found: ErrorList = []
    scopes: set[str] = set()
    for requirement in selector.get("matchExpressions") or ():
        scope, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
        values = requirement.get("values")
        if scope not in _SCOPES:
            found.append(field.invalid(f"{path}.scopeName", scope, "unsupported scope"))
        for name in hard:
            if not _applies(scope, name):
                value = internal("core/v1.ScopeSelector", selector)
                found.append(field.invalid(path, value, "unsupported scope applied to resource"))
        if scope in _EXISTS_ONLY and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort "
                "or ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            found.append(field.invalid(f"{path}.operator", operator, detail))
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                found.append(field.required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                found.append(field.invalid(f"{path}.values", values, detail))
        else:
            found.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
        scopes.add(scope)
    return found + _conflicts(scopes, spec.get("scopes"))


def _status(status: Obj) -> ErrorList:
    return _amounts(status.get("hard"), "status.hard") + _amounts(status.get("used"), "status.used")


def _validate(obj: Obj) -> ErrorList:
    return _spec(obj.get("spec") or {}) + _status(obj.get("status") or {})


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _spec(spec)
    if set(spec.get("scopes") or ()) != set(before.get("scopes") or ()):
        found.append(field.invalid("spec.scopes", spec.get("scopes"), "field is immutable"))
    return found


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    found = [] if meta(new).get("resourceVersion") else [field.required("resourceVersion")]
    return found + _status(new.get("status") or {})


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    if old is not None:
        return []
    hard = (new.get("spec") or {}).get("hard") or {}
    out = []
    for name in ("cpu", "memory", "storage", "ephemeral-storage"):
        request_name = f"requests.{name}"
        if request_name not in hard and name in ("cpu", "memory"):
            request_name = name
        request, limit = hard.get(request_name), hard.get(f"limits.{name}")
        if request is not None and limit is not None and compare(request, limit) > 0:
            out.append(f"ResourceQuota {request_name} ({request}) should be less than limits.{name} ({limit})")
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    status = obj.get("status") or {}
    used = status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name, quantity in sorted((status.get("hard") or {}).items()):
        column = limits if name.startswith("limits.") else requests
        column.append(f"{name}: {used.get(name, '0')}/{quantity}")
    return [meta(obj).get("name", ""), ", ".join(requests), ", ".join(limits), age(obj, now_s)]


KIND = Kind(
    default=_default,
    prepare_create=drop_status,
    prepare_update=update_without_generation,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=_warnings,
    row=_row,
)
