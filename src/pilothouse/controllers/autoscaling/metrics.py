"""Sizes by the use of processor and memory, from the resource metrics API.

Source: upstream's pkg/controller/podautoscaler (replica_calculator.go, metrics).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get
from pilothouse.api.podrequests import of_pod, parsed
from pilothouse.api.quantity import Quantity
from pilothouse.client import Client
from pilothouse.controllers import pods as p

_CPU_START_S: Final = 300.0
_READINESS_S: Final = 30.0


class MetricError(Exception):
    """A metric that cannot be had: upstream's words."""


@dataclass(frozen=True, slots=True)
class Sample:
    milli: int
    at_s: float
    window_s: float


@dataclass(frozen=True, slots=True)
class Proposal:
    replicas: int
    utilization: int | None  # percent of what is requested
    average_milli: int


async def samples(client: Client, namespace: str, selector: str, resource: str, container: str) -> dict[str, Sample]:
    """What each pod uses of a resource, in thousandths. Raises MetricError."""
    try:
        found = await client.resource("metrics.k8s.io", "v1beta1", "pods").list(namespace, label_selector=selector)
    except StatusError as error:
        text = str(error)
        if error.code == 404:
            text = "the server could not find the requested resource (get pods.metrics.k8s.io)"
        raise MetricError(f"unable to fetch metrics from resource metrics API: {text}") from error
    items = found.get("items") or []
    if not items:
        raise MetricError("no metrics returned from resource metrics API")
    out = {}
    for item in items:
        containers = item.get("containers") or ()
        usages = [c.get("usage") or {} for c in containers if not container or c.get("name") == container]
        if usages and all(resource in usage for usage in usages):
            milli = sum(Quantity.parse(str(usage[resource])).milli() for usage in usages)
            out[item["metadata"]["name"]] = Sample(
                milli, p.time_of(item.get("timestamp")), _seconds(item.get("window"))
            )
    return out


def _seconds(text: object) -> float:
    """Of a duration as Go writes it: `30s`, `1m0s`."""
    total, number = 0.0, ""
    for c in str(text or ""):
        if c.isdigit() or c == ".":
            number += c
        elif number:
            total += float(number) * {"h": 3600.0, "m": 60.0, "s": 1.0}.get(c, 0.0)
            number = ""
    return total or 60.0


@dataclass(slots=True)
class _Groups:
    ready: int
    unready: set[str]
    missing: set[str]


def _group(pods: Iterable[Obj], found: dict[str, Sample], resource: str, now_s: float) -> _Groups:
    """Sorts the pods; takes the samples of those that do not count out of `found`."""
    groups = _Groups(0, set(), set())
    for pod in pods:
        name = pod["metadata"]["name"]
        if p.is_deleted(pod) or p.phase(pod) == "Failed":
            found.pop(name, None)
        elif p.phase(pod) in ("Pending", ""):
            groups.unready.add(name)
        elif name not in found:
            groups.missing.add(name)
        elif resource == "cpu" and _is_unready(pod, found[name], now_s):
            groups.unready.add(name)
        else:
            groups.ready += 1
    for name in groups.unready:
        found.pop(name, None)
    return groups


def _is_unready(pod: Obj, sample: Sample, now_s: float) -> bool:
    """A pod that starts uses more than it will: that does not count."""
    condition, started = p.condition(pod, "Ready"), get(pod, "status", "startTime")
    if condition is None or not started:
        return True
    started_s, changed_s = p.time_of(started), p.time_of(condition.get("lastTransitionTime"))
    is_false = condition.get("status") == "False"
    if started_s + _CPU_START_S > now_s:
        return is_false or sample.at_s < changed_s + sample.window_s
    return is_false and started_s + _READINESS_S > changed_s


def _requests(pods: Iterable[Obj], resource: str, container: str) -> dict[str, int]:
    out = {}
    for pod in pods:
        spec, name = pod["spec"], pod["metadata"]["name"]
        if container or not get(spec, "resources", "requests"):
            inits = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
            total, seen = 0, not container
            for c in [*(spec.get("containers") or ()), *inits]:
                if container and c["name"] != container:
                    continue
                seen = True
                amount = parsed(get(c, "resources", "requests")).get(resource)
                if amount is None:
                    raise MetricError(f"missing request for {resource} in container {c['name']} of Pod {name}")
                total += amount.milli()
            if not seen:
                raise MetricError(f"container {container} not found in Pod {name}")
            out[name] = total
        else:
            amount = of_pod(spec, "requests", overhead=False).get(resource)
            if amount is None:
                raise MetricError(f"missing pod-level request for {resource} in Pod {name}")
            out[name] = amount.milli()
    return out


def propose(
    found: dict[str, Sample], pods: list[Obj], resource: str, container: str, current: int, now_s: float, *,
    utilization: int | None, average_milli: int, tolerances: tuple[float, float],
) -> Proposal:  # fmt: skip
    """The size at which the pods use as much as they should: `utilization` percent of their requests, or `average_milli`.

    Raises MetricError.
    """
    if not pods:
        raise MetricError("no pods returned by selector while calculating replica count")
    groups = _group(pods, found, resource, now_s)
    used = {name: sample.milli for name, sample in found.items()}
    if not used:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    requests = _requests(pods, resource, container) if utilization is not None else {}

    def ratio() -> tuple[float, int | None, int]:
        if utilization is None:
            average = sum(used.values()) // len(used)
            return average / average_milli, None, average
        known = [name for name in used if name in requests]
        requested = sum(requests[name] for name in known)
        if not requested:
            raise MetricError("no metrics returned matched known pods")
        total = sum(used[name] for name in known)
        percent = total * 100 // requested
        return percent / utilization, percent, total // len(known)

    def is_within(value: float) -> bool:
        return 1.0 - tolerances[0] <= value <= 1.0 + tolerances[1]

    share, percent, average = ratio()
    with_unready = bool(groups.unready) and share > 1.0
    if not with_unready and not groups.missing:
        wanted = current if is_within(share) else math.ceil(share * groups.ready)
        return Proposal(wanted, percent, average)
    for name in groups.missing:  # of what is not known the harmless is taken to be true
        if share < 1.0:
            used[name] = (
                requests.get(name, 0) * max(100, utilization) // 100 if utilization is not None else average_milli
            )
        elif share > 1.0:
            used[name] = 0
    if with_unready:
        used.update(dict.fromkeys(groups.unready, 0))
    new_share, _, _ = ratio()
    if is_within(new_share) or (share < 1.0 < new_share) or (new_share < 1.0 < share):
        return Proposal(current, percent, average)
    wanted = math.ceil(new_share * len(used))
    if (new_share < 1.0 and wanted > current) or (new_share > 1.0 and wanted < current):
        wanted = current  # the replicas differ from the pods that are there: never against the direction
    return Proposal(wanted, percent, average)
