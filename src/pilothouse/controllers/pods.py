"""What the workload controllers know of pods: is one ready, which goes first, how is one made from a template.

Source: upstream's pkg/controller/controller_utils.go and pkg/api/v1/pod.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy, get
from pilothouse.client import Client, Informer, Recorder
from pilothouse.clock import parse_time

BY_CONTROLLER: Final = "controller"
"""The index of objects by their controller's uid; those without one are under `orphans_of(namespace)`."""

BY_NODE: Final = "node"
"""The index of pods by `spec.nodeName`."""

_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


def orphans_of(namespace: str) -> str:
    return f"orphans/{namespace}"


def controller_keys(obj: Obj) -> tuple[str]:
    ref = controller_of(obj)
    return (ref["uid"],) if ref is not None else (orphans_of(obj["metadata"].get("namespace", "")),)


def index_by_controller(informer: Informer) -> None:
    informer.add_index(BY_CONTROLLER, controller_keys)


def index_by_node(pods: Informer) -> None:
    pods.add_index(BY_NODE, lambda pod: (pod["spec"].get("nodeName") or "",))


def candidates(informer: Informer, owner: Obj, *, orphans: bool = True) -> list[Obj]:
    """The objects that `owner` controls, and those of its namespace that nobody does."""
    metadata = owner["metadata"]
    found = informer.lister.by_index(BY_CONTROLLER, metadata["uid"])
    if orphans:
        found += informer.lister.by_index(BY_CONTROLLER, orphans_of(metadata.get("namespace", "")))
    return found


def phase(pod: Obj) -> str:
    return str(get(pod, "status", "phase", default=""))


def is_terminal(pod: Obj) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_deleted(obj: Obj) -> bool:
    """Someone asked for its deletion."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_active(pod: Obj) -> bool:
    return not is_terminal(pod) and not is_deleted(pod)


def is_terminating(pod: Obj) -> bool:
    return not is_terminal(pod) and is_deleted(pod)


def condition(obj: Obj, kind: str) -> Obj | None:
    """The condition of a type in the object's status."""
    for found in get(obj, "status", "conditions", default=()):
        if found.get("type") == kind:
            out: Obj = found
            return out
    return None


def is_ready(pod: Obj) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def time_of(value: object) -> float:
    """Seconds of a metav1.Time; 0 where it is absent or broken."""
    if not isinstance(value, str):
        return 0.0
    try:
        return parse_time(value)
    except ValueError:
        return 0.0


def ready_since(pod: Obj) -> float:
    """When it became ready; 0 where it is not or does not say."""
    ready = condition(pod, "Ready")
    return time_of(ready.get("lastTransitionTime")) if ready is not None and ready.get("status") == "True" else 0.0


def is_available(pod: Obj, min_ready_s: int, now_s: float) -> bool:
    """Ready, for `min_ready_s` at least."""
    if not is_ready(pod):
        return False
    since = ready_since(pod)
    return min_ready_s == 0 or (since > 0 and since + min_ready_s <= now_s)


def next_availability(pods: Iterable[Obj], min_ready_s: int, now_s: float) -> float | None:
    """Seconds until the next ready pod is available; None where none is on the way."""
    if min_ready_s <= 0:
        return None
    waits = [since + min_ready_s - now_s for pod in pods if (since := ready_since(pod))]
    return min((wait for wait in waits if wait > 0), default=None)


def restarts(pod: Obj) -> tuple[int, int]:
    """The most restarts of a container, and of a sidecar."""
    status = pod.get("status") or {}
    regular = max((s.get("restartCount", 0) for s in status.get("containerStatuses") or ()), default=0)
    sidecars = {c["name"] for c in get(pod, "spec", "initContainers", default=()) if c.get("restartPolicy") == "Always"}
    found = (s.get("restartCount", 0) for s in status.get("initContainerStatuses") or () if s.get("name") in sidecars)
    return regular, max(found, default=0)


def _deletion_cost(pod: Obj) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(_DELETION_COST, "0")
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits[0] == "0") or text == "-0":
        return 0
    value = int(text) if len(digits) <= 10 else 1 << 40
    return value if -(1 << 31) <= value < 1 << 31 else 0


def _log_age(since: float, now_s: float) -> int:
    age_ns = (now_s - since) * 1e9
    return int(math.log2(age_ns)) if age_ns > 0 else -1


def deletion_order(pods: Sequence[Obj], related: Iterable[Obj], now_s: float) -> list[Obj]:
    """The pods in the order in which to delete them: unassigned, pending and unready ones first, then the cheapest, those
    that share their node with the most `related` pods, the youngest (by powers of two of their age) and the most restarted."""
    on_node: dict[str, int] = {}
    for pod in related:
        if is_active(pod):
            node = pod["spec"].get("nodeName") or ""
            on_node[node] = on_node.get(node, 0) + 1

    def youngest(a: float, b: float) -> int:
        if a == 0 or b == 0:  # upstream's afterOrZero: the one without a time goes first
            return -1 if a == 0 else 1
        return _log_age(a, now_s) - _log_age(b, now_s)

    def compare(a: Obj, b: Obj) -> int:
        node_a, node_b = a["spec"].get("nodeName") or "", b["spec"].get("nodeName") or ""
        if bool(node_a) != bool(node_b):
            return -1 if not node_a else 1
        difference = _PHASE_ORDER.get(phase(a), 0) - _PHASE_ORDER.get(phase(b), 0)
        if difference:
            return difference
        ready_a, ready_b = is_ready(a), is_ready(b)
        if ready_a != ready_b:
            return -1 if not ready_a else 1
        difference = _deletion_cost(a) - _deletion_cost(b) or on_node.get(node_b, 0) - on_node.get(node_a, 0)
        if difference:
            return difference
        uid_order = -1 if a["metadata"].get("uid", "") < b["metadata"].get("uid", "") else 1
        if ready_a:
            since_a, since_b = ready_since(a), ready_since(b)
            if since_a != since_b:
                return youngest(since_a, since_b) or uid_order
        (restarts_a, sidecars_a), (restarts_b, sidecars_b) = restarts(a), restarts(b)
        difference = restarts_b - restarts_a or sidecars_b - sidecars_a
        if difference:
            return difference
        made_a, made_b = (
            time_of(a["metadata"].get("creationTimestamp")),
            time_of(b["metadata"].get("creationTimestamp")),
        )
        return (youngest(made_a, made_b) or uid_order) if made_a != made_b else 0

    return sorted(pods, key=cmp_to_key(compare))


def controller_ref(owner: Obj) -> Obj:
    """The owner reference by which `owner` controls an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def from_template(template: Obj, owner: Obj) -> Obj:
    """A new pod of a template, controlled by `owner`, its name for the server to generate. The caller may change it."""
    source = template.get("metadata") or {}
    metadata: Obj = {"generateName": owner["metadata"]["name"] + "-", "namespace": owner["metadata"]["namespace"]}
    for field in ("labels", "annotations", "finalizers"):
        if source.get(field):
            metadata[field] = copy(source[field])
    metadata["ownerReferences"] = [controller_ref(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy(template.get("spec") or {})}


def is_namespace_terminating(error: StatusError) -> bool:
    """The namespace is going away: nothing can be created in it, and trying again is of no use."""
    causes = (error.details or {}).get("causes") or ()
    return any(c.get("reason") == "NamespaceTerminating" for c in causes)


class PodControl:
    """Creates and deletes pods in an owner's name, with the events that say so."""

    def __init__(self, client: Client, recorder: Recorder) -> None:
        self.pods = client.resource("", "v1", "pods")
        self._recorder = recorder

    async def create(self, pod: Obj, owner: Obj) -> Obj:
        try:
            made = await self.pods.create(pod)
        except StatusError as error:
            if not is_namespace_terminating(error):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return made

    async def delete(self, pod: Obj, owner: Obj) -> bool:
        """False where the pod was gone already."""
        metadata = pod["metadata"]
        try:
            await self.pods.delete(metadata["name"], metadata["namespace"])
        except StatusError as error:
            if error.code == 404:
                return False
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            error.message = f"unable to delete pods: {error.message}"
            error.args = (error.message,)
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata['name']}")
        return True
