"""The names of resources (cpu, pods, requests.storage, example.com/gpu) and what their quantities may be.

Source: upstream's pkg/apis/core/helper and the documentation's page on resource quotas.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import is_whole, non_negative, parse

_CONTAINER: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_INTEGER: Final = frozenset(
    {
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    }
)  # fmt: skip
_QUOTA: Final = _INTEGER | {
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
    "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
_STANDARD: Final = _QUOTA | {"storage"}


def is_huge_page(name: str) -> bool:
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A device plugin's or a node's own resource: `example.com/gpu`."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_standard_for_quota(name: str) -> bool:
    return name in _QUOTA or name.startswith(("hugepages-", "requests.hugepages-"))


def is_integer(name: str) -> bool:
    return name in _INTEGER or is_extended(name)


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def resource_name(name: str, path: str) -> ErrorList:
    found = [field.invalid(path, name, d) for d in names.qualified_name(name)]
    if found or "/" in name:
        return found
    if name not in _STANDARD and not name.startswith(("hugepages-", "requests.hugepages-")):
        return [field.invalid(path, name, "must be a standard resource type or fully qualified")]
    return []


def quota_resource_name(name: str, path: str) -> ErrorList:
    found = resource_name(name, path)
    if "/" not in name and not is_standard_for_quota(name):
        found.append(field.invalid(path, name, "must be a standard resource for quota"))
    return found


def container_resource_name(name: str, path: str) -> ErrorList:
    """The name of a resource that a container asks for."""
    found = resource_name(name, path)
    if "/" not in name:
        if name not in _CONTAINER and not is_huge_page(name):
            found.append(field.invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        found.append(field.invalid(path, name, "doesn't follow extended resource name standard"))
    return found


def quantity_value(name: str, value: Any, path: str) -> ErrorList:
    found = non_negative(value, path)
    if is_integer(name) and not is_whole(value):
        found.append(field.invalid(path, value, "must be an integer"))
    return found


def basic_quantity(value: Any, path: str) -> ErrorList:
    whole = parse(value).value()
    return [field.invalid(path, whole, "must be a valid resource quantity")] if whole < 0 else []


def huge_page_amount(name: str, value: Any, path: str) -> ErrorList:
    """An amount of huge pages is a multiple of their size."""
    size_text = name.removeprefix("hugepages-")
    try:
        size = parse(size_text)
    except ValueError:
        size = None
    if size is None or size.value() <= 0 or size.milli() % 1000 or parse(value).value() % size.value():
        detail = f"{value} is not positive integer multiple of {name}"
        return [field.invalid(path, str(value), detail)]
    return []


def limits(values: dict[str, Any] | None, path: str) -> ErrorList:
    """Limits alone, as an overhead has them; `path` is that of what they limit."""
    found: ErrorList = []
    named = set(values or ())
    for name, value in (values or {}).items():
        at = f"{path}.limits[{name}]"
        found += container_resource_name(name, at) + quantity_value(name, value, at)
        if is_huge_page(name):
            found += huge_page_amount(name, value, at)
    if any(map(is_huge_page, named)) and not named & {"cpu", "memory"}:
        found.append(field.forbidden(path, "HugePages require cpu or memory"))
    return found
