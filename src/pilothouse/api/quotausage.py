"""What an object uses of a ResourceQuota, and which quotas it falls under.

Source: upstream's documentation "Resource Quotas", and pkg/quota/v1/evaluator/core.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.objects import Obj, get
from pilothouse.api.podrequests import Amounts, add, of_pod, parsed
from pilothouse.api.quantity import Quantity
from pilothouse.clock.timestamps import parse_time

_ONE: Final = Quantity.parse("1")
_ZERO: Final = Quantity.parse("0")
# Resources that quotas may also name without "count/".
_ALIASES: Final = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets", "services", "pods",
                             "persistentvolumeclaims"})  # fmt: skip
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD = frozenset({"pods", *_COMPUTE, *(f"{k}.{n}" for k in ("requests", "limits") for n in _COMPUTE)})
_MUST_SAY = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_BY_CLASS = ".storageclass.storage.k8s.io/"


def count_name(group: str, resource: str) -> str:
    return f"count/{resource}.{group}" if group else f"count/{resource}"


def limits_of(group: str, resource: str, names: list[str]) -> list[str]:
    """Those of a quota's resources that objects of the resource use (upstream's MatchingResources)."""
    if group:
        own = {count_name(group, resource)}
    elif resource == "pods":
        return [n for n in names if n == "count/pods" or n in _POD or _is_pod_prefix(n)]
    elif resource == "services":
        own = {"count/services", "services", "services.loadbalancers", "services.nodeports"}
    elif resource == "persistentvolumeclaims":
        own = {"count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"}
        return [n for n in names if n in own or n.partition(_BY_CLASS)[2] in own]
    else:
        own = {count_name("", resource)} | ({resource} & _ALIASES)
    return [n for n in names if n in own]


def _is_pod_prefix(name: str) -> bool:
    if name.startswith(("hugepages-", "requests.hugepages-")):
        return True
    rest = name.removeprefix("requests.")
    if rest == name:
        return False
    return rest.startswith("deviceclass.resource.kubernetes.io/") or ("/" in rest and "kubernetes.io/" not in rest)


def usage(group: str, resource: str, obj: Obj, now_s: float) -> Amounts:
    if group:
        return {count_name(group, resource): _ONE}
    if resource == "pods":
        return _pod(obj, now_s)
    if resource == "services":
        return _service(obj.get("spec") or {})
    if resource == "persistentvolumeclaims":
        return _claim(obj)
    found = {count_name("", resource): _ONE}
    if resource in _ALIASES:
        found[resource] = _ONE
    return found


def _pod(pod: Obj, now_s: float) -> Amounts:
    found = {"count/pods": _ONE}
    if get(pod, "status", "phase") in ("Failed", "Succeeded") or _overdue(pod, now_s):
        return found
    found.update(compute(of_pod(pod["spec"], "requests"), of_pod(pod["spec"], "limits")))
    return found


def _overdue(pod: Obj, now_s: float) -> bool:
    """Deleted, and longer ago than it was given."""
    meta = pod["metadata"]
    deleted, grace_s = meta.get("deletionTimestamp"), meta.get("deletionGracePeriodSeconds")
    return bool(deleted) and grace_s is not None and now_s > parse_time(deleted) + grace_s


def compute(requests: Amounts, limits: Amounts) -> Amounts:
    """A pod's or container's resources by the names that quotas give them."""
    found = {"pods": _ONE}
    for name in _COMPUTE:
        if name in requests:
            found[name] = found[f"requests.{name}"] = requests[name]
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    for name, quantity in requests.items():
        if name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = quantity
        elif "/" in name and "kubernetes.io/" not in name:
            found[f"requests.{name}"] = quantity
    return found


def _count(number: int) -> Quantity:
    return Quantity.parse(str(number))


def _service(spec: Obj) -> Amounts:
    ports = spec.get("ports") or []
    found = {
        "count/services": _ONE, "services": _ONE, "services.loadbalancers": _ZERO, "services.nodeports": _ZERO,
    }  # fmt: skip
    kind = spec.get("type")
    if kind == "NodePort":
        found["services.nodeports"] = _count(len(ports))
    elif kind == "LoadBalancer":
        given = [p for p in ports if p.get("nodePort")]
        chosen = given if spec.get("allocateLoadBalancerNodePorts") is False else ports
        found["services.nodeports"] = _count(len(chosen))
        found["services.loadbalancers"] = _ONE
    return found


def _claim(claim: Obj) -> Amounts:
    found = {"persistentvolumeclaims": _ONE, "count/persistentvolumeclaims": _ONE}
    beta = get(claim, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class")
    name = beta if beta is not None else get(claim, "spec", "storageClassName", default="")
    if name:
        found[f"{name}{_BY_CLASS}persistentvolumeclaims"] = _ONE
    wanted = parsed(get(claim, "spec", "resources", "requests")).get("storage")
    if wanted is not None:
        held = parsed(get(claim, "status", "allocatedResources")).get("storage")
        if held is not None and held.amount > wanted.amount:
            wanted = held
        wanted = wanted.round_up(0)
        found["requests.storage"] = wanted
        if name:
            found[f"{name}{_BY_CLASS}requests.storage"] = wanted
    return found


def unsaid(pod: Obj, limited: list[str]) -> str:
    """What each container must say because a quota limits it: upstream's words; empty where all is said."""
    spec = pod["spec"]
    if any(get(spec, "resources", kind) for kind in ("requests", "limits")):
        return ""
    missing: dict[str, set[str]] = {}
    required = _MUST_SAY.intersection(limited)
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            said = compute(*(parsed(get(container, "resources", kind)) for kind in ("requests", "limits")))
            for name in required - said.keys():
                missing.setdefault(name, set()).add(container.get("name", ""))
    if not missing:
        return ""
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


# Scopes


def in_scopes(quota: Obj, resource: str, obj: Obj) -> bool:
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    wanted += get(spec, "scopeSelector", "matchExpressions", default=[])
    return all(_in_scope(scope, resource, obj) for scope in wanted)


def _in_scope(scope: Obj, resource: str, obj: Obj) -> bool:
    name: str = scope.get("scopeName", "")
    if resource == "persistentvolumeclaims":
        return name == "VolumeAttributesClass" and _selected(scope, _volume_classes(obj))
    if resource != "pods":
        return False
    spec = obj["spec"]
    if name in ("Terminating", "NotTerminating"):
        deadline_s: int | None = spec.get("activeDeadlineSeconds")
        return (deadline_s is not None and deadline_s >= 0) == (name == "Terminating")
    if name in ("BestEffort", "NotBestEffort"):
        return is_best_effort(spec) == (name == "BestEffort")
    if name == "PriorityClass":
        priority = spec.get("priorityClassName")
        return _selected(scope, {priority} if priority else set())
    return name == "CrossNamespacePodAffinity" and _crosses_namespaces(spec)


def _selected(scope: Obj, present: set[str]) -> bool:
    operator: str = scope.get("operator", "")
    values = set(scope.get("values") or ())
    if operator == "Exists":
        return bool(present)
    if operator == "DoesNotExist":
        return not present
    if operator == "In":
        return bool(present & values)
    return operator == "NotIn" and (not present or bool(present - values))


def _volume_classes(claim: Obj) -> set[str]:
    names = (
        get(claim, "spec", "volumeAttributesClassName"),
        get(claim, "status", "currentVolumeAttributesClassName"),
        get(claim, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


def is_best_effort(spec: Obj) -> bool:
    """Whether nothing of the pod asks for processor or memory."""
    holders = [spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for holder in holders:
        for kind in ("requests", "limits"):
            amounts = parsed(get(holder, "resources", kind))
            if any(name in ("cpu", "memory") and q.amount for name, q in amounts.items()):
                return False
    return True


def _crosses_namespaces(spec: Obj) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = get(spec, "affinity", kind, default={})
        terms = list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        weighted = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [w.get("podAffinityTerm") or {} for w in weighted]
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False


# Sums


def more(new: Amounts, old: Amounts) -> Amounts:
    """By how much new is more than old, per resource of new."""
    found: Amounts = {}
    for name, quantity in new.items():
        before = old.get(name)
        amount = quantity.amount - (before.amount if before is not None else 0)
        if amount > 0:
            found[name] = Quantity(amount, quantity.format)
    return found


def total(used: Amounts, wanted: Amounts) -> Amounts:
    out = dict(used)
    add(out, wanted)
    return out


def pretty(amounts: Amounts) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))
