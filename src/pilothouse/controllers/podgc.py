"""Pods that nobody else would clean up: finished ones past a number, those of nodes that are gone, and those that were
deleted before they had a node.

Source: upstream's pkg/controller/podgc.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.batches import all_of

_PERIOD_S: Final = 20.0
_QUARANTINE_S: Final = 40.0
_THRESHOLD: Final = 12_500
_OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"


class PodGarbageCollector(Controller):
    name = "pod-garbage-collector-controller"
    workers = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer("", "v1", "pods")
        self.nodes = self.informer("", "v1", "nodes")
        self._api = self.client.resource("", "v1", "pods")
        self._nodes_api = self.client.resource("", "v1", "nodes")
        self._threshold = context.option("terminated-pod-gc-threshold", _THRESHOLD)
        self._missing_since: dict[str, float] = {}
        self.loops = [self._collect_often]

    async def _collect_often(self) -> None:
        while True:
            await self.collect()
            await self.clock.sleep(_PERIOD_S)

    async def collect(self) -> None:
        """One round over all pods."""
        pods = self.pods.lister.list()
        doomed: dict[str, tuple[Obj, Obj | None]] = {}
        for pod in self._too_many_finished(pods):
            doomed[pod["metadata"]["uid"]] = (pod, None)
        for pod in pods:
            node = pod["spec"].get("nodeName") or ""
            if p.is_deleted(pod) and (not node or self._out_of_service(node)):
                doomed.setdefault(pod["metadata"]["uid"], (pod, None))
        lost = await self._lost_nodes({pod["spec"].get("nodeName") or "" for pod in pods})
        for pod in pods:
            if pod["spec"].get("nodeName") in lost:
                condition = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                }
                doomed[pod["metadata"]["uid"]] = (pod, condition)
        await all_of([self._end(pod, condition) for pod, condition in doomed.values()])

    def _too_many_finished(self, pods: list[Obj]) -> list[Obj]:
        if self._threshold <= 0:
            return []
        finished = [pod for pod in pods if p.phase(pod) not in ("Pending", "Running", "Unknown", "")]
        excess = len(finished) - self._threshold
        if excess <= 0:
            return []

        def order(pod: Obj) -> tuple[bool, float, str]:
            evicted = (pod.get("status") or {}).get("reason") == "Evicted" and p.phase(pod) == "Failed"
            return not evicted, p.time_of(pod["metadata"].get("creationTimestamp")), pod["metadata"]["name"]

        return sorted(finished, key=order)[:excess]

    def _out_of_service(self, name: str) -> bool:
        """An administrator has tainted the node as shut down for good, and it is not ready."""
        node = self.nodes.lister.get("", name)
        if node is None or p.is_ready(node):
            return False
        return any(t.get("key") == _OUT_OF_SERVICE for t in node["spec"].get("taints") or ())

    async def _lost_nodes(self, named: set[str]) -> set[str]:
        """The nodes that pods name and that have not existed for a while, as the server itself confirms."""
        now_s = self.clock.monotonic()
        missing = {name for name in named if name and self.nodes.lister.get("", name) is None}
        self._missing_since = {name: self._missing_since.get(name, now_s) for name in missing}
        lost = set()
        for name, since_s in list(self._missing_since.items()):
            if now_s - since_s < _QUARANTINE_S:
                continue
            try:
                await self._nodes_api.get(name)
            except StatusError as error:
                if error.code == 404:
                    lost.add(name)
                else:
                    self.log.warning("node %s: %s", name, error)
        return lost

    async def _end(self, pod: Obj, condition: Obj | None) -> None:
        """Marks the pod failed, so that its owner sees that it ended, and deletes it at once."""
        metadata = pod["metadata"]
        try:
            if not p.is_terminal(pod):
                status: Obj = {"phase": "Failed"}
                generation = metadata.get("generation")
                if generation:
                    status["observedGeneration"] = generation
                if condition is not None:
                    made = {**condition, "lastTransitionTime": self.clock.timestamp()}
                    if generation:
                        made["observedGeneration"] = generation
                    status["conditions"] = st.put((pod.get("status") or {}).get("conditions") or [], made)
                change = {"metadata": {"uid": metadata["uid"]}, "status": status}
                await self._api.patch(metadata["name"], metadata["namespace"], change, "strategic", "status")
            await self._api.delete(metadata["name"], metadata["namespace"], grace_period_s=0)
        except StatusError as error:
            if error.code != 404:
                self.log.warning("pod %s/%s: %s", metadata["namespace"], metadata["name"], error)
