"""Taints of nodes: which ones a node's conditions call for, and changing them.

Source: upstream's pkg/controller/nodelifecycle and pkg/controller/util/node.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.client import ResourceClient
from pilothouse.clock import Clock

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
_OF_CONDITION: Final = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS: Final = frozenset({*_OF_CONDITION.values(), _UNSCHEDULABLE})


def has(node: Obj, key: str, effect: str) -> bool:
    return any(t.get("key") == key and t.get("effect") == effect for t in node["spec"].get("taints") or ())


def no_schedule_change(node: Obj) -> tuple[list[str], list[str]]:
    """The keys of the NoSchedule taints that the node lacks by its conditions, and of those that it has without cause."""
    wanted = {}
    for condition in (node.get("status") or {}).get("conditions") or ():
        key = _OF_CONDITION.get((condition.get("type"), condition.get("status")))
        if key:
            wanted[key] = True
    if node["spec"].get("unschedulable"):
        wanted[_UNSCHEDULABLE] = True
    present = [
        t["key"] for t in node["spec"].get("taints") or () if t.get("effect") == "NoSchedule" and t.get("key") in _OURS
    ]
    return [k for k in wanted if k not in present], [k for k in present if k not in wanted]


async def swap(nodes: ResourceClient, clock: Clock, node: Obj, effect: str, add: list[str], remove: list[str]) -> bool:
    """Adds and removes taints of one effect, upon what the server has of the node; False where there was nothing to do."""
    metadata = node["metadata"]
    fresh = await nodes.get(metadata["name"])
    old = fresh["spec"].get("taints") or []
    new = [t for t in old if t.get("effect") != effect or (t.get("key") not in remove and t.get("key") not in add)]
    present = {t["key"]: t for t in old if t.get("effect") == effect}
    now = clock.timestamp()
    new += [present.get(key) or {"key": key, "effect": effect, "timeAdded": now} for key in add]
    if len(new) == len(old) and all(t in old for t in new):
        return False
    change = {
        "metadata": {"uid": metadata["uid"], "resourceVersion": fresh["metadata"]["resourceVersion"]},
        "spec": {"taints": new or None},
    }
    await nodes.patch(metadata["name"], "", change, "merge")
    return True
