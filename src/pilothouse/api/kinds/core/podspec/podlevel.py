"""Resources of a pod as a whole (KEP-2837): what it asks for where only its containers say.

Source: upstream's DefaultPodLevelResources and k8s.io/component-helpers/resource.
"""

from __future__ import annotations

from pilothouse.api.kinds.common.quantities import compare
from pilothouse.api.kinds.common.resources import is_huge_page, may_overcommit
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.objects import Obj
from pilothouse.api.podrequests import is_pod_level, of_pod
from pilothouse.api.quantity import Quantity


def is_set(spec: Obj) -> bool:
    """Whether a pod's own resources are what counts."""
    resources = spec.get("resources") or {}
    return any(is_pod_level(n) for part in ("requests", "limits") for n in resources.get(part) or ())


def aggregate(spec: Obj, part: str) -> dict[str, Quantity]:
    """What a pod's containers need at most at a time."""
    held = {name: spec.get(name) for name in ("containers", "initContainers")}
    return of_pod(held, part, overhead=False)


def fill(spec: Obj) -> None:
    """Changes the pod's own resources, where it has any: huge pages' limits, then requests, then limits."""
    resources = spec.get("resources")
    if not resources or not (resources.get("requests") or resources.get("limits")):
        return
    requests, limits = dict(resources.get("requests") or {}), dict(resources.get("limits") or {})
    summed_limits = aggregate(spec, "limits")
    for name, amount in summed_limits.items():
        if is_huge_page(name) and name not in requests:
            limits.setdefault(name, str(amount))
    for name, amount in aggregate(spec, "requests").items():
        if is_pod_level(name) and may_overcommit(name):
            requests.setdefault(name, str(amount))
    for name, text in limits.items():
        if is_pod_level(name):
            requests.setdefault(name, text)
    for name in requests:
        if is_pod_level(name) and name not in limits and name in summed_limits and _all_limit(spec, name):
            amount = summed_limits[name]
            limits[name] = requests[name] if compare(requests[name], str(amount)) > 0 else str(amount)
    for part, values in (("requests", requests), ("limits", limits)):
        if values:
            resources[part] = values


def _all_limit(spec: Obj, name: str) -> bool:
    held = containers.every(spec)
    return all(name in ((c.get("resources") or {}).get("limits") or {}) for c in held)
