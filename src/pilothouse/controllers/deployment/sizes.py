"""How many replicas each ReplicaSet of a deployment may have: surge, unavailability, proportion."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pilothouse.api.objects import Obj, get
from pilothouse.controllers.deployment.revisions import MAX_REPLICAS, size_annotation
from pilothouse.controllers.intorpercent import scaled


def replicas(obj: Obj) -> int:
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def status_of(replica_set: Obj | None, field: str) -> int:
    return int(get(replica_set, "status", field, default=0))


def total(replica_sets: Iterable[Obj | None]) -> int:
    """Replicas asked for in all."""
    return sum(replicas(rs) for rs in replica_sets if rs is not None)


def active(replica_sets: Iterable[Obj | None]) -> list[Obj]:
    """Those that have replicas asked for."""
    return [rs for rs in replica_sets if rs is not None and replicas(rs) > 0]


def is_rolling(deployment: Obj) -> bool:
    return bool(get(deployment, "spec", "strategy", "type", default="RollingUpdate") == "RollingUpdate")


def fenceposts(deployment: Obj) -> tuple[int, int]:
    """(surge, unavailable): how many pods more and fewer than asked for there may be while it rolls. Never both 0."""
    rolling = get(deployment, "spec", "strategy", "rollingUpdate", default={})
    wanted = replicas(deployment)
    try:
        surge = scaled(rolling.get("maxSurge"), wanted, up=True)
        unavailable = scaled(rolling.get("maxUnavailable"), wanted, up=False)
    except ValueError:
        return 0, 0
    return surge, unavailable if surge or unavailable else 1


def max_surge(deployment: Obj) -> int:
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Obj) -> int:
    wanted = replicas(deployment)
    return min(fenceposts(deployment)[1], wanted) if is_rolling(deployment) and wanted else 0


def new_replicas(deployment: Obj, everything: Iterable[Obj | None], new: Obj) -> int:
    """The size that the new ReplicaSet may have now."""
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    surge = scaled(get(deployment, "spec", "strategy", "rollingUpdate", "maxSurge"), wanted, up=True)
    room = wanted + surge - total(everything)
    return replicas(new) if room <= 0 else replicas(new) + min(room, wanted - replicas(new))


def proportion(replica_set: Obj, deployment: Obj, to_add: int, added: int) -> int:
    """The share of `to_add` (negative: to take away) that goes to one of several active ReplicaSets, by its size."""
    if replicas(replica_set) == 0 or to_add == 0 or to_add == added:
        return 0
    share, rest = _fraction(replica_set, deployment), to_add - added
    return min(share, rest) if to_add > 0 else max(share, rest)


def _fraction(replica_set: Obj, deployment: Obj) -> int:
    size = replicas(replica_set)
    if replicas(deployment) == 0:
        return -size
    before = size_annotation(replica_set, MAX_REPLICAS) or status_of(deployment, "replicas")
    if not before:
        return 0
    exact = size * (replicas(deployment) + max_surge(deployment)) / before
    return math.floor(exact + 0.5) - size
