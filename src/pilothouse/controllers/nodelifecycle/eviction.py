"""Pods are deleted from nodes whose NoExecute taints they do not tolerate, or no longer.

Source: upstream's pkg/controller/tainteviction.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, key_of
from pilothouse.controllers import pods as p
from pilothouse.controllers import status as st
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.placement import tolerates

_CONDITION: Final = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


def evictions(node: Obj) -> list[Obj]:
    return [t for t in node["spec"].get("taints") or () if t.get("effect") == "NoExecute"]


def tolerated_s(pod: Obj, taints: list[Obj]) -> float | None:
    """For how long the pod bears the taints; None: for ever."""
    used = []
    for taint in taints:
        fitting = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
        if not fitting:
            return 0.0
        used.append(fitting[0])
    limits = [t["tolerationSeconds"] for t in used if t.get("tolerationSeconds") is not None]
    return max(0.0, float(min(limits))) if limits else None


class TaintEvictionController(Controller):
    """Keys are `namespace/name` of pods whose time has come; `node/name` of nodes to look at."""

    name = "taint-eviction-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("", "v1", "nodes")
        self.pods = self.informer("", "v1", "pods")
        p.index_by_node(self.pods)
        self._api = self.client.resource("", "v1", "pods")
        self._since: dict[str, float] = {}  # pod → since when its node is tainted
        self._due: dict[str, float] = {}  # pod → when it is to be deleted
        self.nodes.add_handler(self._node_changed, self._node_updated)
        self.pods.add_handler(self._pod_changed, self._pod_updated, lambda pod: self._cancel(key_of(pod)))

    def _node_updated(self, old: Obj, new: Obj) -> None:
        if evictions(old) != evictions(new):
            self._node_changed(new)

    def _node_changed(self, node: Obj) -> None:
        taints = evictions(node)
        for pod in self.pods.lister.by_index(p.BY_NODE, node["metadata"]["name"]):
            self._consider(pod, taints)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        before, after = old["spec"], new["spec"]
        if before.get("nodeName") != after.get("nodeName") or before.get("tolerations") != after.get("tolerations"):
            self._pod_changed(new)

    def _pod_changed(self, pod: Obj) -> None:
        node = self.nodes.lister.get("", pod["spec"].get("nodeName") or "")
        if node is not None:
            taints = evictions(node)
            if taints:
                self._consider(pod, taints)

    def _consider(self, pod: Obj, taints: list[Obj]) -> None:
        """Plans the pod's eviction by the taints, or takes the plan back."""
        key = key_of(pod)
        bears_s = tolerated_s(pod, taints)
        if bears_s is None:
            self._cancel(key)
            return
        now_s = self.clock.monotonic()
        due_s = (self._since.get(key, now_s) if bears_s else now_s) + bears_s
        if bears_s and key in self._due and due_s < now_s + bears_s and self._due[key] <= due_s:
            return  # planned already, and not for later
        self._since.setdefault(key, now_s)
        self._due[key] = due_s
        if due_s <= now_s:
            self.enqueue(key)
        else:
            self.enqueue_after(key, due_s - now_s)

    def _cancel(self, key: str) -> None:
        self._since.pop(key, None)
        if self._due.pop(key, None) is not None:
            self._say(key, "Cancelling deletion of Pod")

    def _say(self, key: str, what: str) -> None:
        namespace, _, name = key.partition("/")
        about = {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": namespace}
        self.recorder.event_about(about, "Normal", "TaintManagerEviction", f"{what} {key}")

    async def reconcile(self, key: str) -> None:
        due_s = self._due.get(key)
        if due_s is None:
            return
        wait_s = due_s - self.clock.monotonic()
        if wait_s > 1e-6:  # put off meanwhile
            self.enqueue_after(key, wait_s)
            return
        namespace, _, name = key.partition("/")
        if not self.queue.failures(key):
            self._say(key, "Marking for deletion Pod")
        try:
            await self._evict(namespace, name)
        except StatusError as error:
            if error.code != 404:
                raise
        self._due.pop(key, None)
        self._since.pop(key, None)

    async def _evict(self, namespace: str, name: str) -> None:
        pod = await self._api.get(name, namespace)
        metadata = pod["metadata"]
        old = (pod.get("status") or {}).get("conditions") or []
        made = {**_CONDITION, "lastTransitionTime": self.clock.timestamp()}
        if metadata.get("generation"):
            made["observedGeneration"] = metadata["generation"]
        new = st.put(old, made)
        if new is not old:
            change = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": new}}
            await self._api.patch(name, namespace, change, "strategic", "status")
        await self._api.delete(name, namespace)
