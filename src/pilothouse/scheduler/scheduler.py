"""`Scheduler`: takes pods from the queue one by one, finds their nodes, and binds them while the next one is looked at.

Source: upstream's pkg/scheduler (schedule_one.go, eventhandlers.go): a pod is assumed on its node before it is bound, so that
the next pod sees it there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, key_of
from pilothouse.client import Client, EventsRecorder, Informers
from pilothouse.clock import Clock
from pilothouse.scheduler import framework, plugins, preemption
from pilothouse.scheduler.cache import Cache, PodInfo
from pilothouse.scheduler.framework import Cycle
from pilothouse.scheduler.plugins.volume_binding import SELECTED_NODE, VolumeBinding, is_bound
from pilothouse.scheduler.queue import SchedulingQueue

log = logging.getLogger(__name__)

DEFAULT_NAME: Final = "default-scheduler"
_BINDINGS_MAX: Final = 64
_VOLUMES_S: Final = 600.0
_POLL_S: Final = 0.2
# What the plugins read beside pods and nodes, and what may make a waiting pod fit.
_WATCHED: Final = (
    ("", "services"), ("", "namespaces"), ("", "persistentvolumeclaims"), ("", "persistentvolumes"), ("apps", "replicasets"),
    ("apps", "statefulsets"), ("storage.k8s.io", "storageclasses"), ("policy", "poddisruptionbudgets"),
)  # fmt: skip
_WAKING: Final = frozenset({"persistentvolumeclaims", "persistentvolumes", "storageclasses"})


class Scheduler:
    """`run()` schedules until cancelled. The informers are started by whoever made them."""

    def __init__(self, client: Client, informers: Informers, clock: Clock, *, name: str = DEFAULT_NAME) -> None:
        self.client, self.clock, self.name = client, clock, name
        self._informers = informers
        self._pods, self._nodes = informers.of("", "v1", "pods"), informers.of("", "v1", "nodes")
        self._others = [informers.of(group, "v1", resource) for group, resource in _WATCHED]
        self._pods_api = client.resource("", "v1", "pods")
        self._claims_api = client.resource("", "v1", "persistentvolumeclaims")
        self.cache = Cache()
        self.queue = SchedulingQueue(clock)
        self._plugins = plugins.default()
        self._assumed: dict[str, str] = {}  # pod's key → uid, until the informer shows the binding
        self._start = 0  # the node that is looked at first: each gets its turn
        self._recorder = EventsRecorder(client, clock, name)

    async def run(self) -> None:
        for informer in (self._pods, self._nodes, *self._others):
            await informer.wait_synced()
        self._nodes.add_handler(self._node_added, self._node_updated, self._node_deleted)
        self._pods.add_handler(self._pod_added, lambda _, pod: self._pod_added(pod), self._pod_deleted)
        for informer in self._others:
            if informer.resource in _WAKING:
                informer.add_handler(lambda _: self.queue.wake(), lambda *_: self.queue.wake())
        self._recorder.start()
        limit = asyncio.Semaphore(_BINDINGS_MAX)
        try:
            async with asyncio.TaskGroup() as bindings:
                while True:
                    pod = await self.queue.pop()
                    await limit.acquire()
                    task = bindings.create_task(self._one(pod), name=f"schedule {key_of(pod)}")
                    task.add_done_callback(lambda _: limit.release())
                    await self.clock.sleep(0)
        finally:
            await self._recorder.stop()

    # What the informers bring

    def _node_added(self, node: Obj) -> None:
        self.cache.set_node(node)
        self.queue.wake()

    def _node_updated(self, old: Obj, new: Obj) -> None:
        self.cache.set_node(new)
        if _placing(old) != _placing(new):
            self.queue.wake()

    def _node_deleted(self, node: Obj) -> None:
        self.cache.remove_node(node["metadata"]["name"])

    def _pod_added(self, pod: Obj) -> None:
        key = key_of(pod)
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            self._forget(key)
            return
        if pod["spec"].get("nodeName"):
            self._assumed.pop(key, None)
            self.queue.remove(key)
            self.cache.add_pod(pod)
            return
        mine = pod["spec"].get("schedulerName", DEFAULT_NAME) == self.name
        if mine and key not in self._assumed and not pod["metadata"].get("deletionTimestamp"):
            self.queue.add(pod)
        elif pod["metadata"].get("deletionTimestamp"):
            self.queue.remove(key)

    def _pod_deleted(self, pod: Obj) -> None:
        self._forget(key_of(pod))

    def _forget(self, key: str) -> None:
        self._assumed.pop(key, None)
        self.queue.remove(key)
        self.cache.remove_pod(key)
        self.queue.wake()

    # One pod

    async def _one(self, pod: Obj) -> None:
        """Everything up to the first await is one cycle: no other pod comes in between."""
        try:
            if pod["spec"].get("schedulingGates"):
                text = "Scheduling is blocked due to non-empty scheduling gates"
                await self._unscheduled(pod, "SchedulingGated", text)
                self.queue.park(pod)
                return
            cycle = Cycle(PodInfo(pod), self.cache, self._informers)
            nominated = (pod.get("status") or {}).get("nominatedNodeName") or ""
            outcome = framework.find(self._plugins, cycle, self.clock.random, nominated, self._start)
            self._start = (self._start + outcome.examined) % max(len(self.cache.nodes), 1)
            if outcome.node is None:
                await self._failed(cycle, outcome)
            else:
                await self._bind(cycle, outcome.node.name)
        except StatusError as error:
            if error.code not in (404, 409):
                log.warning("pod %s: %s", key_of(pod), error)
            self.queue.park(pod, failed=True)
        except Exception:
            log.exception("pod %s", key_of(pod))
            self.queue.park(pod, failed=True)

    async def _bind(self, cycle: Cycle, node: str) -> None:
        pod = cycle.pod
        key, metadata = cycle.info.key, pod["metadata"]
        self.cache.add_pod({**pod, "spec": {**pod["spec"], "nodeName": node}})
        self._assumed[key] = cycle.info.uid
        try:
            await self._bind_volumes(cycle, node)
            target = {"apiVersion": "v1", "kind": "Node", "name": node}
            binding = {
                "apiVersion": "v1", "kind": "Binding", "target": target,
                "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            }  # fmt: skip
            await self._pods_api.create_subresource(metadata["name"], metadata["namespace"], "binding", binding)
        except BaseException:
            if self._assumed.pop(key, None) is not None:
                self.cache.remove_pod(key)
            raise
        self.queue.remove(key)
        text = f"Successfully assigned {key} to {node}"
        self._recorder.event(pod, "Normal", "Scheduled", text, action="Binding")

    async def _bind_volumes(self, cycle: Cycle, node: str) -> None:
        """Claims that waited for a consumer are told its node, and waited for."""
        _, waiting = cycle.state.get(VolumeBinding.name, ([], []))
        if not waiting:
            return
        namespace = cycle.info.namespace
        for claim in waiting:
            change = {"metadata": {"annotations": {SELECTED_NODE: node}}}
            await self._claims_api.patch(claim["metadata"]["name"], namespace, change)
        lister = self._informers.of("", "v1", "persistentvolumeclaims").lister
        async with self.clock.timeout(_VOLUMES_S):
            for claim in waiting:
                while (now := lister.get(namespace, claim["metadata"]["name"])) is None or not is_bound(now):
                    await self.clock.sleep(_POLL_S)

    async def _failed(self, cycle: Cycle, outcome: framework.Outcome) -> None:
        pod, message = cycle.pod, outcome.message
        nominated = ""
        if outcome.reasons:
            victims, text = preemption.find(self._plugins, cycle, outcome.reasons)
            if victims is not None:
                nominated = victims.node
                await self._preempt(pod, victims)
            elif text:
                message = f"{message} {text}"
        self._recorder.event(pod, "Warning", "FailedScheduling", message, action="Scheduling")
        await self._unscheduled(pod, "Unschedulable", message, nominated)
        self.queue.park(pod)

    async def _preempt(self, pod: Obj, victims: preemption.Victims) -> None:
        for victim in victims.pods:
            about = victim.pod["metadata"]
            if about.get("deletionTimestamp"):
                continue
            text = f"Preempted by pod {pod['metadata']['uid']} on node {victims.node}"
            self._recorder.event(victim.pod, "Normal", "Preempted", text, action="Preempting", related=pod)
            condition = {
                "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
                "message": f"{self.name}: preempting to accommodate a higher priority pod",
                "lastTransitionTime": self.clock.timestamp(),
            }  # fmt: skip
            try:
                await self._pods_api.patch(
                    about["name"], about["namespace"], {"status": {"conditions": [condition]}}, "strategic", "status"
                )
                await self._pods_api.delete(about["name"], about["namespace"], uid=about["uid"])
            except StatusError as error:
                if error.code not in (404, 409):
                    raise

    async def _unscheduled(self, pod: Obj, reason: str, message: str, nominated: str = "") -> None:
        """The condition PodScheduled, written where it says something new."""
        status = pod.get("status") or {}
        old: Obj = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {})
        if (old.get("reason"), old.get("message")) == (reason, message) and not nominated:
            return
        stamp = self.clock.timestamp()
        condition = {
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": old.get("lastTransitionTime", stamp) if old.get("status") == "False" else stamp,
        }  # fmt: skip
        change: Obj = {"status": {"conditions": [condition]}}
        if nominated:
            change["status"]["nominatedNodeName"] = nominated
        metadata = pod["metadata"]
        await self._pods_api.patch(metadata["name"], metadata["namespace"], change, "strategic", "status")


def _placing(node: Obj) -> tuple[object, ...]:
    """What of a node decides about pods."""
    spec, status = node["spec"], node.get("status") or {}
    return (
        node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), status.get("allocatable"),
    )  # fmt: skip
