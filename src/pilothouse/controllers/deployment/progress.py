"""What a deployment reports: its counts, and the conditions that `kubectl rollout status` reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.clock import Clock
from pilothouse.controllers import status as st
from pilothouse.controllers.deployment.sizes import max_unavailable, replicas, status_of, total
from pilothouse.controllers.pods import time_of

TIMED_OUT: Final = "ProgressDeadlineExceeded"
AVAILABLE: Final = "NewReplicaSetAvailable"
_FOREVER: Final = (1 << 31) - 1


def condition(clock: Clock, kind: str, status: str, reason: str, message: str) -> Obj:
    now = clock.timestamp()
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def conditions_of(obj: Obj) -> list[Obj]:
    found: list[Obj] = (obj.get("status") or {}).get("conditions") or []
    return found


def has_deadline(deployment: Obj) -> bool:
    return deployment["spec"].get("progressDeadlineSeconds", _FOREVER) not in (None, _FOREVER)


def is_complete(deployment: Obj, status: Obj) -> bool:
    wanted = replicas(deployment)
    counts = (status.get(k, 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
    return all(n == wanted for n in counts) and status.get("observedGeneration", 0) >= deployment["metadata"].get(
        "generation", 0
    )


def _is_progressing(old: Obj, new: Obj) -> bool:
    def stale(status: Obj) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return stale(new) < stale(old) or any(new.get(k, 0) > old.get(k, 0) for k in grown)


def _has_timed_out(deployment: Obj, conditions: list[Obj], now_s: float) -> bool:
    found = st.find(conditions, "Progressing")
    if found is None or found.get("reason") == AVAILABLE:
        return False
    if found.get("reason") == TIMED_OUT:
        return True
    deadline_s: int = deployment["spec"]["progressDeadlineSeconds"]
    return time_of(found.get("lastUpdateTime")) + deadline_s < now_s


def counts(deployment: Obj, everything: Sequence[Obj | None], new: Obj | None, clock: Clock) -> Obj:
    """The status without what is known of progress: counts, and the Available condition."""
    present = [rs for rs in everything if rs is not None]
    available = sum(status_of(rs, "availableReplicas") for rs in present)
    terminating: int | None = 0
    for replica_set in present:
        found = (replica_set.get("status") or {}).get("terminatingReplicas")
        if found is None and status_of(replica_set, "observedGeneration"):
            terminating = None
        elif terminating is not None:
            terminating += found or 0
    status: Obj = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": sum(status_of(rs, "replicas") for rs in present),
        "updatedReplicas": status_of(new, "replicas"),
        "readyReplicas": sum(status_of(rs, "readyReplicas") for rs in present),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(present) - available),
    }
    status = {k: v for k, v in status.items() if v}
    if terminating is not None:
        status["terminatingReplicas"] = terminating
    collisions = (deployment.get("status") or {}).get("collisionCount")
    if collisions is not None:
        status["collisionCount"] = collisions
    if available >= replicas(deployment) - max_unavailable(deployment):
        truth, reason, message = "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
    else:
        truth, reason, message = "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    status["conditions"] = st.put(conditions_of(deployment), condition(clock, "Available", truth, reason, message))
    return status


def with_progress(deployment: Obj, status: Obj, everything: Sequence[Obj | None], new: Obj | None, clock: Clock) -> Obj:
    """`status` with the conditions Progressing and ReplicaFailure."""
    conditions: list[Obj] = status["conditions"]
    old_status = deployment.get("status") or {}
    if not has_deadline(deployment):
        conditions = st.without(conditions, "Progressing")
    current = st.find(conditions_of(deployment), "Progressing")
    done = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == AVAILABLE
    )
    if has_deadline(deployment) and not done:
        name = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
        if is_complete(deployment, status):
            message = f"{name} has successfully progressed."
            conditions = st.put(conditions, condition(clock, "Progressing", "True", AVAILABLE, message))
        elif _is_progressing(old_status, status):
            made = condition(clock, "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
            if current is not None:
                if current.get("status") == "True":
                    made["lastTransitionTime"] = current.get("lastTransitionTime")
                conditions = st.without(conditions, "Progressing")
            conditions = st.put(conditions, made)
        elif _has_timed_out(deployment, conditions, clock.now()):
            message = f"{name} has timed out progressing."
            conditions = st.put(conditions, condition(clock, "Progressing", "False", TIMED_OUT, message))
    failure = _replica_failure(everything, new)
    if failure is not None:
        conditions = st.put(conditions, failure)
    else:
        conditions = st.without(conditions, "ReplicaFailure")
    out = {k: v for k, v in status.items() if k != "conditions"}
    if conditions:
        out["conditions"] = conditions
    return out


def _replica_failure(everything: Sequence[Obj | None], new: Obj | None) -> Obj | None:
    """The failure of the new ReplicaSet to make pods, else of any."""
    for replica_set in (new, *everything):
        if replica_set is None:
            continue
        found = st.find(conditions_of(replica_set), "ReplicaFailure")
        if found is not None:
            since = found.get("lastTransitionTime")
            return {
                "type": "ReplicaFailure",
                "status": found.get("status"),
                "lastUpdateTime": since,
                "lastTransitionTime": since,
                "reason": found.get("reason", ""),
                "message": found.get("message", ""),
            }
    return None


def next_check_s(deployment: Obj, status: Obj, now_s: float) -> float | None:
    """Seconds until the deadline has to be looked at again; None where it has not."""
    current = st.find(conditions_of(deployment), "Progressing")
    if not has_deadline(deployment) or current is None:
        return None
    if is_complete(deployment, status) or current.get("reason") == TIMED_OUT:
        return None
    deadline_s: int = deployment["spec"]["progressDeadlineSeconds"]
    return time_of(current.get("lastUpdateTime")) + deadline_s - now_s
