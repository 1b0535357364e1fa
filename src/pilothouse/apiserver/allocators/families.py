"""Which IP families a Service has, decided before its addresses: from its policy, its addresses and the cluster's ranges.

Source: upstream's documentation "IPv4/IPv6 dual-stack", and pkg/registry/core/service/storage (initIPFamilyFields).
"""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.api import errors
from pilothouse.api.field import ErrorList, invalid
from pilothouse.api.kinds.core import service_addresses
from pilothouse.api.kinds.core.service_addresses import NONE, family_of
from pilothouse.api.objects import Obj

_WITH_ADDRESS = ("ClusterIP", "NodePort", "LoadBalancer")


def other(family: str) -> str:
    return "IPv4" if family == "IPv6" else "IPv6"


def initialize(service: Obj, old: Obj | None, cluster: Sequence[str]) -> None:
    """Sets ipFamilyPolicy and ipFamilies where they were left out. `cluster`: its families, the default first.
    Raises 422 for what does not go together."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or unchanged_preference(service, old):
        return
    if spec.get("ipFamilyPolicy") is None:
        spec["ipFamilyPolicy"] = _default_policy(spec, old)
    policy = spec["ipFamilyPolicy"]
    _raise(service, service_addresses.related(spec, old["spec"] if old is not None else None))
    found: ErrorList = []
    if old is not None:
        found += _reduce(spec, old["spec"], policy)
    ips, families = spec.get("clusterIPs") or [], list(spec.get("ipFamilies") or [])
    if policy == "SingleStack":
        for count, what in ((len(ips), "cluster IPs"), (len(families), "IP families")):
            if count == 2:
                detail = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                found.append(invalid("spec.ipFamilyPolicy", policy, detail))
    for i, ip in enumerate(ips):
        if ip == NONE:
            break
        if i >= len(families):
            family = family_of(ip)
            if family in cluster:
                families.append(family)
            else:
                found.append(invalid(f"spec.clusterIPs[{i}]", ips, f"{family} is not configured on this cluster"))
    _raise(service, found)
    if spec.get("clusterIP") == NONE and not spec.get("selector"):
        families = families or [cluster[0]]
        if len(families) < 2 and policy != "SingleStack":
            families.append(other(families[0]))
        spec["ipFamilies"] = families
        return
    if policy == "RequireDualStack" and len(cluster) < 2:
        detail = "this cluster is not configured for dual-stack services"
        found.append(invalid("spec.ipFamilyPolicy", policy, detail))
    for i, family in enumerate(families):
        if family not in cluster:
            found.append(invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
    _raise(service, found)
    families = families or [cluster[0]]
    if policy != "SingleStack" and len(families) == 1 and len(cluster) == 2:
        families.append(other(families[0]))
    spec["ipFamilies"] = families


def _raise(service: Obj, found: ErrorList) -> None:
    if found:
        raise errors.invalid("", "Service", service["metadata"].get("name", ""), found)


def _default_policy(spec: Obj, old: Obj | None) -> str:
    if old is not None and old["spec"].get("ipFamilyPolicy") is not None:
        return str(old["spec"]["ipFamilyPolicy"])
    headless_without_selector = spec.get("clusterIP") == NONE and not spec.get("selector")
    return "RequireDualStack" if headless_without_selector else "SingleStack"


def unchanged_preference(service: Obj, old: Obj | None) -> bool:
    """A PreferDualStack service keeps what it has when the cluster's families change: only its author changes it."""
    if old is None:
        return False
    new_spec, old_spec = service["spec"], old["spec"]
    if new_spec.get("ipFamilyPolicy") != "PreferDualStack" or old_spec.get("type") != new_spec.get("type"):
        return False
    return (
        new_spec.get("type") in _WITH_ADDRESS
        and old_spec.get("ipFamilyPolicy") in (None, "PreferDualStack")
        and same(new_spec, old_spec, "clusterIPs")
        and same(new_spec, old_spec, "ipFamilies")
    )


def same(spec: Obj, old_spec: Obj, field: str) -> bool:
    return (spec.get(field) or []) == (old_spec.get(field) or [])


def _reduce(spec: Obj, old_spec: Obj, policy: str) -> ErrorList:
    found: ErrorList = []
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        values, old_values = spec.get(field) or [], old_spec.get(field) or []
        if policy == "SingleStack":
            if values == old_values and len(values) > 1:
                spec[field] = values[:1]
        elif values and len(values) < len(old_values):
            detail = f"must be 'SingleStack' to release the secondary {what}"
            found.append(invalid("spec.ipFamilyPolicy", policy, detail))
    return found
