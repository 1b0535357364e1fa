"""Nodes that no longer report: Ready becomes Unknown, taints keep pods away and have them evicted.

Source: upstream's pkg/controller/nodelifecycle. A look at all nodes every five seconds, at what leases and conditions said
last: a node costs two dictionary look-ups a round and has no timer of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy
from pilothouse.controllers import pods as p
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.nodelifecycle import taints, zones
from pilothouse.controllers.nodelifecycle.zones import Zone, state_of, zone_of

_LEASES: Final = "kube-node-lease"
_NO_EXECUTE: Final = "NoExecute"
_EVICTION_PERIOD_S: Final = 0.1
_TRIES: Final = 5
_RETRY_S: Final = 0.02
_EXCLUDED: Final = "node.kubernetes.io/exclude-disruption"
_CONDITIONS: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_MIRRORED_LABELS: Final = (
    ("kubernetes.io/os", "beta.kubernetes.io/os"),
    ("kubernetes.io/arch", "beta.kubernetes.io/arch"),
)


@dataclass(slots=True)
class _Health:
    """What was last seen of a node, and when (by our clock: the nodes' own may be wrong)."""

    probed_s: float
    condition: Obj | None
    renewed: str = ""


class NodeLifecycleController(Controller):
    """Keys are names of nodes, whose NoSchedule taints and labels are to be looked at, and `pod/namespace/name` of pods that
    have just come to a node."""

    name = "node-lifecycle-controller"
    component = "node-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("", "v1", "nodes")
        self.pods = self.informer("", "v1", "pods")
        self.leases = self.informer("coordination.k8s.io", "v1", "leases")
        p.index_by_node(self.pods)
        self._nodes_api = self.client.resource("", "v1", "nodes")
        self._pods_api = self.client.resource("", "v1", "pods")
        self._period_s: float = context.option("node-monitor-period", 5.0)
        # Upstream waits for 50 s since 1.32; 40 s is what this project promises.
        self._grace_s: float = context.option("node-monitor-grace-period", 40.0)
        self._startup_grace_s: float = context.option("node-startup-grace-period", 60.0)
        self._rate: float = context.option("node-eviction-rate", 0.1)
        self._second_rate: float = context.option("secondary-node-eviction-rate", 0.01)
        self._unhealthy_share: float = context.option("unhealthy-zone-threshold", 0.55)
        self._large: int = context.option("large-cluster-size-threshold", 50)
        self._health: dict[str, _Health] = {}
        self._known: dict[str, Obj] = {}
        self._zones: dict[str, Zone] = {}
        self._looking = False  # nobody is tainted before a look at all nodes has ended: it may find that all are silent
        self._pods_to_mark: set[str] = set()  # of nodes of whom not all pods could be marked
        self.nodes.add_handler(self.enqueue, self._node_updated, self._node_deleted)
        self.pods.add_handler(lambda pod: self._pod_placed(None, pod), self._pod_placed)
        self.loops = [self._monitor_often, self._taint_often]

    # Taints and labels that follow from a node at once

    def _node_updated(self, old: Obj, new: Obj) -> None:
        if any(taints.no_schedule_change(new)) or old["metadata"].get("labels") != new["metadata"].get("labels"):
            self.enqueue(new)

    def _node_deleted(self, node: Obj) -> None:
        self._pods_to_mark.discard(node["metadata"]["name"])

    def _pod_placed(self, old: Obj | None, new: Obj) -> None:
        node = new["spec"].get("nodeName")
        if node and (old is None or old["spec"].get("nodeName") != node):
            health = self._health.get(node)
            if health is not None and health.condition is not None and health.condition.get("status") != "True":
                self.queue.add(f"pod/{new['metadata']['namespace']}/{new['metadata']['name']}")

    async def reconcile(self, key: str) -> None:
        if key.startswith("pod/"):
            await self._mark_late_pod(key.removeprefix("pod/"))
            return
        node = self.nodes.lister.get("", key)
        if node is None:
            return
        try:
            add, remove = taints.no_schedule_change(node)
            if add or remove:
                await taints.swap(self._nodes_api, self.clock, node, "NoSchedule", add, remove)
            labels = node["metadata"].get("labels") or {}
            change = {
                other: labels[key]
                for key, other in _MIRRORED_LABELS
                if key in labels and labels.get(other) != labels[key]
            }
            if change:
                await self._nodes_api.patch(key, "", {"metadata": {"labels": change}}, "strategic")
        except StatusError as error:
            if error.code != 404:
                raise

    async def _mark_late_pod(self, key: str) -> None:
        pod = self.pods.lister.by_key(key)
        node = pod["spec"].get("nodeName", "") if pod is not None else ""
        health = self._health.get(node)
        if pod is None or health is None or health.condition is None or health.condition.get("status") == "True":
            return
        await self._mark_not_ready([pod])

    # Heartbeats

    async def _monitor_often(self) -> None:
        while True:
            self._looking = True
            try:
                await self.monitor()
            finally:
                self._looking = False
            await self.clock.sleep(self._period_s)

    async def monitor(self) -> None:
        """One look at all nodes."""
        nodes = self.nodes.lister.list()
        await self._classify(nodes)
        ready_of_zone: dict[str, list[bool]] = {}
        for node in nodes:
            if self._is_quiet(node):  # nothing to write: the usual case, without a task switch
                ready = p.is_ready(node)
            else:
                found = await self._examine(node)
                if found is None:
                    continue
                ready = found
            if _EXCLUDED not in (node["metadata"].get("labels") or {}):
                ready_of_zone.setdefault(zone_of(node), []).append(ready)
        await self._disrupt(ready_of_zone, nodes)

    async def _classify(self, nodes: list[Obj]) -> None:
        names = {node["metadata"]["name"] for node in nodes}
        for node in nodes:
            name = node["metadata"]["name"]
            self._zone(node)
            if name not in self._known:
                self._node_event(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
                self._known[name] = node
                await self._make_reachable(node)
        if len(self._known) != len(names):
            for name in [n for n in self._known if n not in names]:
                gone = self._known.pop(name)
                self._health.pop(name, None)
                for zone in self._zones.values():
                    zone.remove(name)
                self._node_event(gone, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")

    def _zone(self, node: Obj) -> Zone:
        return self._zones.setdefault(zone_of(node), Zone(self._rate))

    def _node_event(self, node: Obj, reason: str, message: str) -> None:
        metadata = node["metadata"]
        about = {
            "kind": "Node", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"], "namespace": "",
        }  # fmt: skip
        self.recorder.event_about(about, "Normal", reason, message)

    def _observe(self, node: Obj) -> tuple[_Health, float]:
        """Takes note of a sign of life; returns what is known and for how long silence is borne."""
        metadata = node["metadata"]
        name, now_s = metadata["name"], self.clock.now()
        condition = p.condition(node, "Ready")
        health = self._health.get(name)
        if health is None:
            since = now_s if condition is not None else p.time_of(metadata.get("creationTimestamp"))
            health = self._health[name] = _Health(since, condition)
        elif (health.condition is None) != (condition is None) or (
            health.condition is not None
            and condition is not None
            and health.condition.get("lastHeartbeatTime") != condition.get("lastHeartbeatTime")
        ):
            health.probed_s = now_s
        health.condition = condition
        lease = self.leases.lister.get(_LEASES, name)
        renewed = ((lease or {}).get("spec") or {}).get("renewTime") or ""
        if lease is not None and (not health.renewed or p.time_of(renewed) > p.time_of(health.renewed)):
            health.renewed, health.probed_s = renewed or health.renewed, now_s
        return health, self._grace_s if condition is not None else self._startup_grace_s

    def _is_quiet(self, node: Obj) -> bool:
        """The node is ready, has been heard of, and bears no taint of ours."""
        name = node["metadata"]["name"]
        health, grace_s = self._observe(node)
        return (
            self.clock.now() <= health.probed_s + grace_s
            and health.condition is not None
            and health.condition.get("status") == "True"
            and not taints.has(node, taints.UNREACHABLE, _NO_EXECUTE)
            and not taints.has(node, taints.NOT_READY, _NO_EXECUTE)
            and name not in self._zone(node).waiting
            and name not in self._pods_to_mark
        )

    async def _examine(self, node: Obj) -> bool | None:
        """Judges one node and acts; whether it is ready, None where that could not be written."""
        name = node["metadata"]["name"]
        for _ in range(_TRIES):
            try:
                observed, current, node = await self._judge(node)
                break
            except StatusError as error:
                self.log.debug("node %s: %s", name, error)
                await self.clock.sleep(_RETRY_S)
            try:
                node = await self._nodes_api.get(name)
            except StatusError:
                return None
        else:
            return None
        if current is None:
            return False
        try:
            await self._taint(node, current["status"])
            went = current["status"] != "True" and observed == "True"
            if went:
                self._node_event(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            if went or (name in self._pods_to_mark and observed != "True"):
                self._pods_to_mark.add(name)
                await self._mark_not_ready(self.pods.lister.by_index(p.BY_NODE, name))
            self._pods_to_mark.discard(name)
        except StatusError as error:
            self.log.debug("node %s: %s", name, error)
        return bool(current["status"] == "True")

    async def _judge(self, node: Obj) -> tuple[str, Obj | None, Obj]:
        """The status of Ready as it was, the condition as it is now, and the node."""
        health, grace_s = self._observe(node)
        observed = (health.condition or {}).get("status") or "Unknown"
        if self.clock.now() <= health.probed_s + grace_s:
            return observed, health.condition, node
        now, created = self.clock.timestamp(), node["metadata"].get("creationTimestamp")
        node = copy(node)
        conditions: list[Obj] = node.setdefault("status", {}).setdefault("conditions", [])
        before = copy(conditions)
        for kind in _CONDITIONS:
            found = p.condition(node, kind)
            if found is None:
                conditions.append({
                    "type": kind, "status": "Unknown", "lastHeartbeatTime": created, "lastTransitionTime": now,
                    "reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status.",
                })  # fmt: skip
            elif found.get("status") != "Unknown":
                found["status"], found["lastTransitionTime"] = "Unknown", now
                found["reason"], found["message"] = "NodeStatusUnknown", "Kubelet stopped posting node status."
        current = p.condition(node, "Ready")
        if conditions != before:
            node = await self._nodes_api.update(node, "status")
            health.condition = p.condition(node, "Ready")
        return observed, current, node

    async def _taint(self, node: Obj, status: str) -> None:
        """Has the node tainted as unfit for what runs there, soon; swaps one such taint for the other at once."""
        if status == "True":
            await self._make_reachable(node)
            return
        wanted, other = taints.NOT_READY, taints.UNREACHABLE
        if status == "Unknown":
            wanted, other = other, wanted
        metadata = node["metadata"]
        if taints.has(node, other, _NO_EXECUTE):
            await taints.swap(self._nodes_api, self.clock, node, _NO_EXECUTE, [wanted], [other])
        elif not taints.has(node, wanted, _NO_EXECUTE):
            self._zone(node).add(metadata["name"], metadata["uid"])

    async def _make_reachable(self, node: Obj) -> None:
        self._zone(node).remove(node["metadata"]["name"])
        found = [key for key in (taints.UNREACHABLE, taints.NOT_READY) if taints.has(node, key, _NO_EXECUTE)]
        if found:
            try:
                await taints.swap(self._nodes_api, self.clock, node, _NO_EXECUTE, [], found)
            except StatusError as error:
                self.log.debug("node %s: %s", node["metadata"]["name"], error)  # the next round tries again

    async def _mark_not_ready(self, pods: list[Obj]) -> None:
        failure: StatusError | None = None
        for pod in pods:
            ready = p.condition(pod, "Ready")
            if ready is None or ready.get("status") == "False":
                continue
            metadata, status = pod["metadata"], copy(pod["status"])
            for condition in status["conditions"]:
                if condition.get("type") == "Ready":
                    condition["status"], condition["lastTransitionTime"] = "False", self.clock.timestamp()
            change = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": status["conditions"]}}
            try:
                await self._pods_api.patch(metadata["name"], metadata["namespace"], change, "strategic", "status")
            except StatusError as error:
                if error.code != 404:
                    failure = failure or error
                continue
            self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
        if failure is not None:
            raise failure

    # Zones

    async def _disrupt(self, ready_of_zone: dict[str, list[bool]], nodes: list[Obj]) -> None:
        """Sets the rate of each zone by how many of its nodes are well."""
        now_s = self.clock.monotonic()
        new = {zone: state_of(ready, self._unhealthy_share) for zone, ready in ready_of_zone.items()}
        for name in [z for z in self._zones if z not in ready_of_zone]:
            if not self._zones[name].waiting:
                del self._zones[name]
        known = {name: zone for name, zone in self._zones.items() if name in new}
        all_bad = all(state == zones.FULL for state in new.values())
        were_bad = all(zone.state == zones.FULL for zone in known.values())
        if all_bad and were_bad:
            return
        if all_bad:  # it is rather we who are cut off: nothing is evicted
            for node in nodes:
                await self._make_reachable(node)
            for zone in known.values():
                zone.set_rate(0.0, now_s)
                zone.state = zones.FULL
            return
        if were_bad:  # the nodes get a new grace period, now that they can be heard again
            for node in nodes:
                health = self._health.get(node["metadata"]["name"])
                if health is not None:
                    health.probed_s = self.clock.now()
        for name, zone in known.items():
            if were_bad or zone.state != new[name]:
                zone.set_rate(self._rate_of(new[name], len(ready_of_zone[name])), now_s)
                zone.state = new[name]

    def _rate_of(self, state: str, size: int) -> float:
        if state == zones.PARTIAL:
            return self._second_rate if size > self._large else 0.0
        return self._rate

    async def _taint_often(self) -> None:
        """Taints those that wait, as fast as their zones allow; sleeps longer while nobody waits."""
        while True:
            for zone in [] if self._looking else list(self._zones.values()):
                name = zone.take(self.clock.monotonic())
                node = self.nodes.lister.get("", name) if name is not None else None
                if node is not None:
                    await self._taint_waiting(zone, node)
            waiting = any(zone.waiting for zone in self._zones.values())
            await self.clock.sleep(_EVICTION_PERIOD_S if waiting else self._period_s / 10)

    async def _taint_waiting(self, zone: Zone, node: Obj) -> None:
        status = (p.condition(node, "Ready") or {}).get("status")
        if status not in ("False", "Unknown"):
            return
        wanted, other = taints.NOT_READY, taints.UNREACHABLE
        if status == "Unknown":
            wanted, other = other, wanted
        try:
            await taints.swap(self._nodes_api, self.clock, node, _NO_EXECUTE, [wanted], [other])
        except StatusError as error:
            if error.code != 404:
                zone.add(node["metadata"]["name"], node["metadata"]["uid"])
