"""VolumeBinding: claims must exist and be bound, or be such that their volume comes with the pod; bound volumes bind to places.

Source: upstream's plugins/volumebinding.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason, Unschedulable
from pilothouse.scheduler.matching import term_fits

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"


def claims_of(pod: Obj) -> list[str]:
    """The names of the claims that a pod uses, ephemeral ones too."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"].get("claimName") or "")
        elif volume.get("ephemeral"):
            found.append(f"{pod['metadata']['name']}-{volume['name']}")
    return found


def is_bound(claim: Obj) -> bool:
    annotations = claim["metadata"].get("annotations") or {}
    return bool(claim["spec"].get("volumeName")) and "pv.kubernetes.io/bind-completed" in annotations


class VolumeBinding(Plugin):
    name = "VolumeBinding"

    def prepare(self, cycle: Cycle) -> None:
        """State: (volumes whose place counts, claims that wait for this pod)."""
        names = claims_of(cycle.pod)
        if not names:
            return
        claims = cycle.informers.of("", "v1", "persistentvolumeclaims").lister
        classes = cycle.informers.of("storage.k8s.io", "v1", "storageclasses").lister
        volumes = cycle.informers.of("", "v1", "persistentvolumes").lister
        bound: list[Obj] = []
        waiting: list[Obj] = []
        for name in names:
            claim = claims.get(cycle.info.namespace, name)
            if claim is None:
                raise Unschedulable(f'persistentvolumeclaim "{name}" not found')
            if claim["metadata"].get("deletionTimestamp"):
                raise Unschedulable(f'persistentvolumeclaim "{name}" is being deleted')
            if is_bound(claim):
                volume = volumes.get("", claim["spec"]["volumeName"])
                if volume is not None:
                    bound.append(volume)
                continue
            class_ = classes.get("", claim["spec"].get("storageClassName") or "")
            if class_ is None or class_.get("volumeBindingMode") != "WaitForFirstConsumer":
                raise Unschedulable("pod has unbound immediate PersistentVolumeClaims")
            waiting.append(claim)
        cycle.state[self.name] = (bound, waiting)

    def judges(self, cycle: Cycle) -> bool:
        bound, _ = cycle.state.get(self.name, ([], []))
        return bool(bound)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        bound: list[Obj]
        bound, _ = cycle.state.get(self.name, ([], []))
        assert node.node is not None
        for volume in bound:
            required = (volume["spec"].get("nodeAffinity") or {}).get("required")
            if required and not any(term_fits(t, node.node) for t in required.get("nodeSelectorTerms") or ()):
                return Reason("node(s) didn't match PersistentVolume's node affinity", forever=True)
        return None
