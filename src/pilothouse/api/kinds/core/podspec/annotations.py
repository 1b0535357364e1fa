"""Annotations that mean something to pods: deletion cost, seccomp, AppArmor, tolerations, mirror pods."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common.tolerations import tolerations
from pilothouse.api.kinds.core.podspec import containers, forms
from pilothouse.api.kinds.core.podspec.leniency import DELETION_COST, Leniency, is_deletion_cost
from pilothouse.api.kinds.core.podspec.preparation import APP_ARMOR_ANNOTATION
from pilothouse.api.objects import Obj

MIRROR: Final = "kubernetes.io/config.mirror"
_TOLERATIONS: Final = "scheduler.alpha.kubernetes.io/tolerations"
_SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_DEFAULTS: Final = ("runtime/default", "docker/default")


def pod_annotations(values: Obj | None, spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    values = values or {}
    found: ErrorList = []
    if not values:
        return found
    if MIRROR in values and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        found.append(field.invalid(f"{path}[{MIRROR}]", values[MIRROR] or "", detail))
    if values.get(_TOLERATIONS):
        found += _tolerations(values[_TOLERATIONS], path, lenient)
    cost = values.get(DELETION_COST)
    if cost is not None and not lenient.deletion_cost and not is_deletion_cost(cost):
        found.append(field.invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer"))
    if _SECCOMP_POD in values:
        found += _seccomp(values[_SECCOMP_POD] or "", f"{path}.{_SECCOMP_POD}")
    for key, value in values.items():
        if key.startswith(_SECCOMP_CONTAINER):
            found += _seccomp(value or "", f"{path}.{key}")
    known = {c.get("name") or "" for c in containers.every(spec)}
    for key, value in values.items():
        if not key.startswith(APP_ARMOR_ANNOTATION):
            continue
        name, profile = key.removeprefix(APP_ARMOR_ANNOTATION), value or ""
        if name not in known:
            found.append(field.invalid(f"{path}[{key}]", name, "container not found"))
        if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
            found.append(field.invalid(f"{path}[{key}]", profile, f"invalid AppArmor profile name: {quote(profile)}"))
    return found


def _tolerations(text: str, path: str, lenient: Leniency) -> ErrorList:
    from orjson import JSONDecodeError, loads

    try:
        values: Any = loads(text)
    except JSONDecodeError as e:
        return [field.invalid(path, _TOLERATIONS, str(e))]
    if not isinstance(values, list) or not all(_is_toleration(v) for v in values):
        detail = "json: cannot unmarshal into Go value of type []core.Toleration"
        return [field.invalid(path, _TOLERATIONS, detail)]
    return tolerations(values, f"{path}.{_TOLERATIONS}", comparisons=lenient.comparing_tolerations)


def _is_toleration(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    texts = all(isinstance(value.get(n) or "", str) for n in ("key", "operator", "value", "effect"))
    return texts and isinstance(value.get("tolerationSeconds") or 0, int)


def _seccomp(profile: str, path: str) -> ErrorList:
    if profile in (*_DEFAULTS, "unconfined"):
        return []
    if profile.startswith("localhost/"):
        return forms.descending(profile.removeprefix("localhost/"), path)
    return [field.invalid(path, profile, "must be a valid seccomp profile")]


def same_profiles(values: Obj | None, spec: Obj, path: str) -> ErrorList:
    """Fields say the same as the annotations that came before them."""
    values = values or {}
    if not values:
        return []
    found: ErrorList = []
    own = spec.get("securityContext") or {}
    if _SECCOMP_POD in values and own.get("seccompProfile") is not None:
        at = f"{path}.securityContext.seccompProfile"
        found += _match(values[_SECCOMP_POD] or "", own["seccompProfile"], at, "seccomp", _DEFAULTS)
    for container, at in containers.located(spec, path):
        annotation = values.get(f"{_SECCOMP_CONTAINER}{container.get('name') or ''}")
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        if annotation is not None and profile is not None:
            found += _match(annotation, profile, f"{at}.securityContext.seccompProfile", "seccomp", _DEFAULTS)
    if (spec.get("os") or {}).get("name") == "windows":
        return found
    for container, at in containers.located(spec, path):
        annotation = values.get(f"{APP_ARMOR_ANNOTATION}{container.get('name') or ''}")
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or own.get("appArmorProfile")
        if annotation is not None and profile is not None:
            found += _match(annotation, profile, f"{at}.securityContext.appArmorProfile", "apparmor", _DEFAULTS[:1])
    return found


def _match(annotation: str, profile: Obj, path: str, shown: str, defaults: tuple[str, ...]) -> ErrorList:
    kind = profile.get("type")
    same_type = {
        "Unconfined": annotation == "unconfined",
        "RuntimeDefault": annotation in defaults,
        "Localhost": annotation.startswith("localhost/"),
    }.get(kind or "", True)
    if not same_type:
        return [field.forbidden(f"{path}.type", f"{shown} type in annotation and field must match")]
    if kind == "Localhost" and annotation.removeprefix("localhost/") != profile.get("localhostProfile"):
        detail = f"{shown} profile in annotation and field must match"
        return [field.forbidden(f"{path}.localhostProfile", detail)]
    return []
