"""A pod's quality of service class. Source: the documentation's page on it and KEP-2837 (resources of the pod as a whole)."""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.api.kinds.common.quantities import parse
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.kinds.core.podspec.podlevel import is_set
from pilothouse.api.objects import Obj

_BURSTABLE, _GUARANTEED, _BEST_EFFORT = "Burstable", "Guaranteed", "BestEffort"


def qos_class(spec: Obj) -> str:
    if is_set(spec):
        return _of_resources(spec["resources"])
    holders = containers.every(spec, "initContainers", "containers")
    return _common(_of_resources(c.get("resources") or {}) for c in holders)


def _common(classes: Iterable[str]) -> str:
    found = set(classes)
    return found.pop() if len(found) == 1 else _BURSTABLE if found else _BEST_EFFORT


def _of_resources(resources: Obj) -> str:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    if not requests and not limits:
        return _BEST_EFFORT
    return _common(_of_resource(requests.get(n), limits.get(n)) for n in ("cpu", "memory"))


def _of_resource(request: object, limit: object) -> str:
    wanted = parse(request).amount
    if wanted != parse(limit).amount:
        return _BURSTABLE
    return _GUARANTEED if wanted else _BEST_EFFORT
