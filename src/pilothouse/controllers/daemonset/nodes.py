"""Where a daemon's pods belong: the nodes that fit, the pod made for one of them, the node a pod is meant for."""

from __future__ import annotations

from typing import Final, NamedTuple

from pilothouse.api.objects import Obj, copy, get
from pilothouse.controllers.history import HASH_LABEL
from pilothouse.controllers.intorpercent import scaled
from pilothouse.controllers.placement import affinity_fits, untolerated
from pilothouse.controllers.pods import from_template, time_of

_GENERATION_LABEL: Final = "pod-template-generation"
_GENERATION: Final = "deprecated.daemonset.template.generation"
_NO_EXECUTE: Final = frozenset({"NoExecute"})
_KEEPS_OFF: Final = frozenset({"NoExecute", "NoSchedule"})
# Daemons run on nodes that are not well: many of them are there to make nodes well.
_TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_TOLERATED_ON_HOST: Final = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class Fit(NamedTuple):
    run: bool  # a pod is to be started there
    stay: bool  # one that is there may stay


def tolerations_of(daemon: Obj) -> list[Obj]:
    """The template's tolerations and those that every daemon pod has."""
    spec = daemon["spec"]["template"].get("spec") or {}
    tolerations: list[Obj] = list(spec.get("tolerations") or ())
    for key, effect in (*_TOLERATED, *((_TOLERATED_ON_HOST,) if spec.get("hostNetwork") else ())):
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        same = [
            at
            for at, t in enumerate(tolerations)
            if (t.get("key"), t.get("operator"), t.get("effect"), t.get("value") or "") == (key, "Exists", effect, "")
        ]
        for at in same:
            tolerations[at] = toleration
        if not same:
            tolerations.append(toleration)
    return tolerations


def fit(daemon: Obj, tolerations: list[Obj], node: Obj) -> Fit:
    """Whether a pod of the daemon belongs on the node."""
    spec = daemon["spec"]["template"].get("spec") or {}
    if spec.get("nodeName") and spec["nodeName"] != node["metadata"]["name"]:
        return Fit(False, False)
    if not affinity_fits(spec, node):
        return Fit(False, False)
    taints = node["spec"].get("taints") or ()
    if not untolerated(taints, tolerations, _KEEPS_OFF):
        return Fit(True, True)
    return Fit(False, not untolerated(taints, tolerations, _NO_EXECUTE))


def pod_for(daemon: Obj, node_name: str, digest: str, tolerations: list[Obj]) -> Obj:
    """A new pod that only the node of that name can take."""
    pod = from_template(daemon["spec"]["template"], daemon)
    labels = pod["metadata"].setdefault("labels", {})
    generation = generation_of(daemon)
    if generation:
        labels[_GENERATION_LABEL] = generation
    labels[HASH_LABEL] = digest
    spec = pod["spec"]
    spec["tolerations"] = copy(tolerations)
    pin = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node_name]}]}]
    required = (
        spec.setdefault("affinity", {})
        .setdefault("nodeAffinity", {})
        .setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    required["nodeSelectorTerms"] = pin
    return pod


def generation_of(daemon: Obj) -> str:
    """The template's generation by the older API's annotation; empty where there is none."""
    text = str((daemon["metadata"].get("annotations") or {}).get(_GENERATION, ""))
    return text if text.isascii() and text.isdigit() else ""


def is_updated(daemon: Obj, pod: Obj, digest: str) -> bool:
    labels = pod["metadata"].get("labels") or {}
    generation = generation_of(daemon)
    return labels.get(HASH_LABEL) == digest or bool(generation and labels.get(_GENERATION_LABEL) == generation)


def target_node(pod: Obj) -> str:
    """The node that the pod is on or is pinned to; empty where there is none."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    required = get(
        pod["spec"], "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", default={}
    )
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("operator") == "In":
                values: list[str] = field.get("values") or []
                return str(values[0]) if len(values) == 1 else ""
    return ""


def oldest_first(pod: Obj) -> tuple[bool, float, str]:
    """Sort key: those that are on their node first, then the oldest."""
    metadata = pod["metadata"]
    return not pod["spec"].get("nodeName"), time_of(metadata.get("creationTimestamp")), metadata["name"]


def is_rolling(daemon: Obj) -> bool:
    return bool(get(daemon, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate")


def bounds(daemon: Obj, nodes: int) -> tuple[int, int]:
    """(surge, unavailable) for a rolling update over so many nodes; never both 0. Raises ValueError."""
    if not is_rolling(daemon):
        return 0, 0
    rolling = get(daemon, "spec", "updateStrategy", "rollingUpdate", default={})
    surge = scaled(rolling.get("maxSurge"), nodes, up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), nodes, up=True)
    return surge, unavailable if unavailable or surge or not nodes else 1


def allows_surge(daemon: Obj) -> bool:
    try:
        return bounds(daemon, 1)[0] > 0
    except ValueError:
        return False
