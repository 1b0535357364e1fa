"""How tables show a pod: upstream's printPod."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age, since

_NONE = "<none>"


class _Restarts:
    """How often, and the last time."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count, self.last = 0, ""

    def add(self, status: Obj) -> None:
        self.count += status.get("restartCount") or 0
        ended = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last = max(self.last, ended)  # of one form and zone: the order of texts is that of time

    def text(self, now_s: float) -> str:
        return f"{self.count} ({since(self.last, now_s)} ago)" if self.count and self.last else str(self.count)


_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def conditions(pod: Obj) -> list[Obj]:
    """Of the row of a pod that has ended."""
    phase = (pod.get("status") or {}).get("phase") or ""
    if phase not in _ENDED:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}]


def row(pod: Obj, now_s: float) -> list[Any]:
    spec, status, metadata = pod.get("spec") or {}, pod.get("status") or {}, meta(pod)
    phase = status.get("phase") or ""
    reason = status.get("reason") or phase
    conditions = status.get("conditions") or ()
    if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in conditions):
        reason = "SchedulingGated"
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if containers.is_restartable(c)}
    total = len(spec.get("containers") or ()) + sum(
        containers.is_restartable(c) for c in spec.get("initContainers") or ()
    )
    starting, ready, restarts, of_sidecars = _init(spec, status, sidecars)
    if starting:
        reason = starting
    if not starting or _is_true(conditions, "Initialized"):
        restarts = of_sidecars
        reason, more = _main(status, reason, restarts)
        ready += more
    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif phase not in ("Failed", "Succeeded"):
            reason = "Terminating"
    ips = status.get("podIPs") or ()
    return [
        metadata.get("name", ""),
        f"{ready}/{total}",
        reason,
        restarts.text(now_s),
        age(pod, now_s),
        (ips[0].get("ip") if ips else "") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        _gates(spec, conditions),
    ]


def _init(spec: Obj, status: Obj, sidecars: set[Any]) -> tuple[str, int, _Restarts, _Restarts]:
    """(reason while it initializes, ready sidecars, restarts, those of sidecars)."""
    restarts, of_sidecars = _Restarts(), _Restarts()
    ready = 0
    for i, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        restarts.add(container)
        is_sidecar = container.get("name") in sidecars
        if is_sidecar:
            of_sidecars.add(container)
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if is_sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            return f"Init:{_ended(terminated)}", ready, restarts, of_sidecars
        why = (waiting or {}).get("reason")
        if why and why != "PodInitializing":
            return f"Init:{why}", ready, restarts, of_sidecars
        return f"Init:{i}/{len(spec.get('initContainers') or ())}", ready, restarts, of_sidecars
    return "", ready, restarts, of_sidecars


def _ended(terminated: Obj) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _main(status: Obj, reason: str, restarts: _Restarts) -> tuple[str, int]:
    """(reason, ready containers), counting restarts."""
    ready = 0
    failed = ""
    for container in reversed(status.get("containerStatuses") or []):
        restarts.add(container)
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = _ended(terminated)
            if terminated.get("exitCode"):
                failed = reason
        elif container.get("ready") and state.get("running") is not None:
            ready += 1
    if reason == "Completed":
        if ready and _is_true(status.get("conditions") or (), "Ready"):
            reason = "Running"
        elif failed:
            reason = failed
        elif ready:
            reason = "NotReady"
    return reason, ready


def _is_true(conditions: Any, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def _gates(spec: Obj, conditions: Any) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return _NONE
    first: dict[Any, Any] = {}
    for condition in conditions:
        first.setdefault(condition.get("type"), condition.get("status"))
    return f"{sum(first.get(g.get('conditionType')) == 'True' for g in gates)}/{len(gates)}"
