"""Which faults the stored object has already: they may stay on update.

Source: upstream's pkg/api/pod (GetValidationOptionsFromPodSpecAndMeta).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from pilothouse.api import gates
from pilothouse.api.kinds.common import nodes, selectors
from pilothouse.api.kinds.common.resources import huge_page_amount, is_huge_page
from pilothouse.api.kinds.core.podspec import containers, forms, spread
from pilothouse.api.kinds.core.podspec.leniency import DELETION_COST, Leniency, is_deletion_cost
from pilothouse.api.kinds.core.podspec.security import host_sysctl
from pilothouse.api.objects import Obj, meta

_MERGED_KEYS: Final = frozenset({"MatchLabelKeysInPodTopologySpread", "MatchLabelKeysInPodTopologySpreadSelectorMerge"})


@lru_cache(maxsize=16)
def _open(opened: frozenset[str], in_pod: bool) -> Leniency:
    """What feature gates let in."""
    return Leniency(
        in_pod=in_pod,
        deletion_cost="PodDeletionCost" not in opened,
        spread_keys=not opened >= _MERGED_KEYS,
        user_namespaces_with_host_network="UserNamespacesHostNetworkSupport" in opened,
        comparing_tolerations="TaintTolerationComparisonOperators" in opened,
        env_files="EnvFiles" in opened,
        restarting_all="RestartAllContainersOnContainerExits" in opened,
    )


def leniency(old: Obj | None, *, in_pod: bool = False) -> Leniency:
    """`old`: the stored pod or template, None on create."""
    lenient = _open(gates.opened(), in_pod)
    if old is None:
        return lenient
    spec: Obj = old.get("spec") or {}
    own_users = spec.get("hostUsers") is False
    constraints = spec.get("topologySpreadConstraints") or ()
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    cost = (meta(old).get("annotations") or {}).get(DELETION_COST)
    return replace(
        lenient,
        deletion_cost=lenient.deletion_cost or (cost is not None and not is_deletion_cost(cost)),
        selector_values=any(selectors.has_invalid_values(s) for s in _affinity_selectors(spec)),
        node_affinity_values=nodes.has_invalid_values(affinity.get("requiredDuringSchedulingIgnoredDuringExecution")),
        huge_pages=_has_indivisible_pages(spec),
        spread_selectors=any(selectors.label_selector(c.get("labelSelector"), "") for c in constraints),
        spread_keys=not any(map(spread.violates_old_keys, constraints))
        if lenient.spread_keys
        else any(map(spread.violates_keys, constraints)),
        token_paths=any(forms.descending_unreserved(p, "") for p in _token_paths(spec)),
        host_sysctls=any(host_sysctl(s.get("name") or "", spec, "") for s in sysctls),
        user_namespaces_with_devices=own_users and any(c.get("volumeDevices") for c in containers.every(spec)),
        user_namespaces_with_host_network=lenient.user_namespaces_with_host_network
        or (own_users and bool(spec.get("hostNetwork"))),
        comparing_tolerations=lenient.comparing_tolerations
        or any(t.get("operator") in ("Lt", "Gt") for t in spec.get("tolerations") or ()),
        env_files=lenient.env_files or any(map(_reads_env_files, containers.every(spec))),
        restarting_all=lenient.restarting_all
        or any(map(_restarts_all, containers.every(spec, "initContainers", "containers"))),
        restarting_init_containers=any(map(_restarts_on_resize, containers.every(spec, "initContainers"))),
        empty_image_volumes=any(
            v.get("image") is not None and not v["image"].get("reference") for v in spec.get("volumes") or ()
        ),
        sys_admin=any(map(_is_admin_without_escalation, containers.every(spec))),
    )


def _affinity_selectors(spec: Obj) -> Iterator[Obj | None]:
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        own = affinity.get(name) or {}
        terms: list[Any] = list(own.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        weighted = own.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in terms + [w.get("podAffinityTerm") or {} for w in weighted]:
            yield term.get("labelSelector")
            yield term.get("namespaceSelector")


def _has_indivisible_pages(spec: Obj) -> bool:
    for container in containers.every(spec, "initContainers", "containers"):
        for part in ("limits", "requests"):
            amounts = (container.get("resources") or {}).get(part) or {}
            if any(is_huge_page(n) and huge_page_amount(n, q, "") for n, q in amounts.items()):
                return True
    return False


def _token_paths(spec: Obj) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                yield source["serviceAccountToken"].get("path") or ""


def _restarts_on_resize(container: Obj) -> bool:
    policies = container.get("resizePolicy") or ()
    return not containers.is_restartable(container) and any(
        p.get("restartPolicy") == "RestartContainer" for p in policies
    )


def _reads_env_files(container: Obj) -> bool:
    return any((e.get("valueFrom") or {}).get("fileKeyRef") is not None for e in container.get("env") or ())


def _restarts_all(container: Obj) -> bool:
    """Also the rules of a sidecar came with that feature."""
    rules = container.get("restartPolicyRules") or ()
    return any(r.get("action") == "RestartAllContainers" for r in rules) or (
        bool(rules) and containers.is_restartable(container)
    )


def _is_admin_without_escalation(container: Obj) -> bool:
    security = container.get("securityContext") or {}
    added = (security.get("capabilities") or {}).get("add") or ()
    return security.get("allowPrivilegeEscalation") is False and "CAP_SYS_ADMIN" in added
