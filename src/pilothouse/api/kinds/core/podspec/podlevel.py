"""Resources of a pod as a whole (KEP-2837): what it asks for where only its containers say.

Source: upstream's DefaultPodLevelResources and k8s.io/component-helpers/resource.
"""

from __future__ import annotations

from pilothouse.api.kinds.common.quantities import compare, parse
from pilothouse.api.kinds.common.resources import is_huge_page, may_overcommit
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.objects import Obj
from pilothouse.api.quantity import Quantity


def is_supported(name: str) -> bool:
    return name in ("cpu", "memory") or is_huge_page(name)


def is_set(spec: Obj) -> bool:
    """Whether a pod's own resources are what counts."""
    resources = spec.get("resources") or {}
    return any(is_supported(n) for part in ("requests", "limits") for n in resources.get(part) or ())


def _amounts(container: Obj, part: str) -> dict[str, Quantity]:
    return {n: parse(q) for n, q in ((container.get("resources") or {}).get(part) or {}).items()}


def _add(total: dict[str, Quantity], amounts: dict[str, Quantity]) -> None:
    for name, amount in amounts.items():
        was = total.get(name)
        total[name] = amount if was is None else Quantity(was.amount + amount.amount, was.format)


def _most(total: dict[str, Quantity], amounts: dict[str, Quantity]) -> None:
    for name, amount in amounts.items():
        if name not in total or amount.amount > total[name].amount:
            total[name] = amount


def aggregate(spec: Obj, part: str) -> dict[str, Quantity]:
    """What a pod's containers need at most at a time: all containers and sidecars, or an init container beside the sidecars
    before it."""
    total: dict[str, Quantity] = {}
    for container in containers.every(spec, "containers"):
        _add(total, _amounts(container, part))
    sidecars: dict[str, Quantity] = {}
    starting: dict[str, Quantity] = {}
    for container in containers.every(spec, "initContainers"):
        own = _amounts(container, part)
        if containers.is_restartable(container):
            _add(total, own)
            _add(sidecars, own)
            _most(starting, sidecars)
        else:
            beside = dict(own)
            _add(beside, sidecars)
            _most(starting, beside)
    _most(total, starting)
    return total


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
        if is_supported(name) and may_overcommit(name):
            requests.setdefault(name, str(amount))
    for name, text in limits.items():
        if is_supported(name):
            requests.setdefault(name, text)
    for name in requests:
        if is_supported(name) and name not in limits and name in summed_limits and _all_limit(spec, name):
            amount = summed_limits[name]
            limits[name] = requests[name] if compare(requests[name], str(amount)) > 0 else str(amount)
    for part, values in (("requests", requests), ("limits", limits)):
        if values:
            resources[part] = values


def _all_limit(spec: Obj, name: str) -> bool:
    held = containers.every(spec)
    return all(name in ((c.get("resources") or {}).get("limits") or {}) for c in held)
