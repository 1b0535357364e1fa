"""What the creation of a pod adds to it: label keys merged into selectors, AppArmor profiles from annotations.

Source: upstream's pkg/registry/core/pod/strategy.go, KEP-3633, KEP-3243, KEP-24. Each function changes the pod.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilothouse.api import gates
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.objects import Obj, meta

APP_ARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
_LOCAL_PROFILE_MAX: Final = 4095


def merge_label_keys(pod: Obj) -> None:
    """What `matchLabelKeys` means for this pod's labels becomes part of the selectors."""
    labels = meta(pod).get("labels") or {}
    spec = pod.get("spec") or {}
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        for term in _terms(affinity.get(name) or {}):
            _merge(term, "matchLabelKeys", "In", labels)
            _merge(term, "mismatchLabelKeys", "NotIn", labels)
    if not {"MatchLabelKeysInPodTopologySpread", "MatchLabelKeysInPodTopologySpreadSelectorMerge"} <= gates.opened():
        return
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge(constraint, "matchLabelKeys", "In", labels)


def _terms(affinity: Obj) -> Iterator[Obj]:
    for weighted in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted.get("podAffinityTerm") or {}
    yield from affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()


def _merge(holder: Obj, keys: str, operator: str, labels: Obj) -> None:
    selector = holder.get("labelSelector")
    if selector is None:
        return  # which matches nothing
    for key in holder.get(keys) or ():
        if key in labels:
            if selector.get("matchExpressions") is None:
                selector["matchExpressions"] = []
            requirement = {"key": key, "operator": operator, "values": [labels[key] or ""]}
            selector["matchExpressions"].append(requirement)


def app_armor_profile(annotation: str) -> Obj | None:
    """The field that an annotation stands for."""
    if annotation == "unconfined":
        return {"type": "Unconfined"}
    if annotation == "runtime/default":
        return {"type": "RuntimeDefault"}
    name = annotation.removeprefix("localhost/")
    return {"type": "Localhost", "localhostProfile": name} if name and name != annotation else None


def sync_app_armor(pod: Obj) -> None:
    """Annotations become fields, where they are valid and not what the pod's own profile says."""
    spec, annotations = pod.get("spec") or {}, meta(pod).get("annotations") or {}
    if (spec.get("os") or {}).get("name") == "windows":
        return
    own = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container in containers.every(spec):
        key = f"{APP_ARMOR_ANNOTATION}{container.get('name') or ''}"
        if key not in annotations or (container.get("securityContext") or {}).get("appArmorProfile") is not None:
            continue
        profile = app_armor_profile(annotations[key] or "")
        if profile is not None and _is_local_name(profile.get("localhostProfile")) and not same(profile, own):
            if container.get("securityContext") is None:
                container["securityContext"] = {}
            container["securityContext"]["appArmorProfile"] = profile


def _is_local_name(name: str | None) -> bool:
    return name is None or (bool(name.strip()) and name == name.strip() and len(name.encode()) <= _LOCAL_PROFILE_MAX)
