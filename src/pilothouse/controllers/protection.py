"""Claims that pods use, volumes that claims are bound to, and classes of attributes that either names, are deleted only when
they are free.

Source: upstream's pkg/controller/volume/pvcprotection, pvprotection and vacprotection.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, get
from pilothouse.client.client import ResourceClient
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_deleted, is_terminal

CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"
CLASS_FINALIZER: Final = "kubernetes.io/vac-protection"
BY_CLAIM: Final = "claim"
"""The index of pods by the keys of the claims that they use."""

_BY_CLASS: Final = "attributes class"
_UNUSED: Final = "Unused"


def claims_of(pod: Obj) -> list[str]:
    """The keys of the claims that the pod names, its own ephemeral ones too."""
    metadata, out = pod["metadata"], []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            out.append(f"{metadata['namespace']}/{volume['persistentVolumeClaim'].get('claimName', '')}")
        elif volume.get("ephemeral"):
            out.append(f"{metadata['namespace']}/{metadata['name']}-{volume['name']}")
    return out


def uses(pod: Obj, claim: Obj) -> bool:
    """The pod names the claim; an ephemeral one has to be its own."""
    name = claim["metadata"]["name"]
    for volume in pod["spec"].get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name:
            return True
        if volume.get("ephemeral") and f"{pod['metadata']['name']}-{volume['name']}" == name:
            owner = controller_of(claim)
            if owner is not None and owner.get("uid") == pod["metadata"]["uid"]:
                return True
    return False


async def _finalize_with(api: ResourceClient, obj: Obj, finalizers: list[str]) -> None:
    try:
        await api.update({**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})
    except StatusError as error:
        if error.code != 404:
            raise


class ClaimProtectionController(Controller):
    name = "persistentvolumeclaim-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self.pods = self.informer("", "v1", "pods")
        self.pods.add_index(BY_CLAIM, claims_of)
        self._api = self.client.resource("", "v1", "persistentvolumeclaims")
        self._pods_api = self.client.resource("", "v1", "pods")
        self.claims.add_handler(self.enqueue, lambda _, new: self.enqueue(new))
        self.pods.add_handler(self._pod_changed, self._pod_updated, self._pod_changed)

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        if is_terminal(old) != is_terminal(new) or old["spec"].get("nodeName") != new["spec"].get("nodeName"):
            self._pod_changed(new)

    def _pod_changed(self, pod: Obj) -> None:
        for key in claims_of(pod):
            self.enqueue(key)

    async def reconcile(self, key: str) -> None:
        claim = self.claims.lister.by_key(key)
        if claim is None:
            return
        finalizers = claim["metadata"].get("finalizers") or []
        if is_deleted(claim):
            if CLAIM_FINALIZER in finalizers and not await self._is_used(claim):
                await _finalize_with(self._api, claim, [f for f in finalizers if f != CLAIM_FINALIZER])
            return
        if get(claim, "status", "phase") == "Bound":
            await self._say_unused(claim)
        if CLAIM_FINALIZER not in finalizers:
            await _finalize_with(self._api, claim, [*finalizers, CLAIM_FINALIZER])

    async def _is_used(self, claim: Obj) -> bool:
        """A pod on a node has it mounted, or will; the server itself is asked before a claim is let go."""
        metadata = claim["metadata"]
        cached = self.pods.lister.by_index(BY_CLAIM, f"{metadata['namespace']}/{metadata['name']}")
        if any(self._holds(pod, claim) for pod in cached):
            return True
        live = (await self._pods_api.list(metadata["namespace"])).get("items") or []
        return any(self._holds(pod, claim) for pod in live)

    @staticmethod
    def _holds(pod: Obj, claim: Obj) -> bool:
        return bool(pod["spec"].get("nodeName")) and uses(pod, claim)

    async def _say_unused(self, claim: Obj) -> None:
        """Tells since when no pod names the claim (KEP-5541)."""
        metadata, status = claim["metadata"], claim["status"]
        pods = self.pods.lister.by_index(BY_CLAIM, f"{metadata['namespace']}/{metadata['name']}")
        used = any(not is_terminal(pod) and uses(pod, claim) for pod in pods)
        conditions = status.get("conditions") or []
        old = next((c for c in conditions if c.get("type") == _UNUSED), None)
        truth = "False" if used else "True"
        if old is not None and (old.get("status") == truth or (used and old.get("status") != "True")):
            return
        reason, message = (
            ("PodUsingPVC", "A pod is currently referencing this PVC")
            if used
            else ("NoPodsUsingPVC", "No pods are currently referencing this PVC")
        )
        made = {
            "type": _UNUSED, "status": truth, "lastTransitionTime": self.clock.timestamp(), "reason": reason,
            "message": message, "lastProbeTime": None,
        }  # fmt: skip
        rest = [c for c in conditions if c.get("type") != _UNUSED]
        await self._api.update({**claim, "status": {**status, "conditions": [*rest, made]}}, "status")


class VolumeProtectionController(Controller):
    name = "persistentvolume-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.volumes = self.informer("", "v1", "persistentvolumes")
        self._api = self.client.resource("", "v1", "persistentvolumes")
        self.volumes.add_handler(self.enqueue, lambda _, new: self.enqueue(new))

    async def reconcile(self, key: str) -> None:
        volume = self.volumes.lister.get("", key)
        if volume is None:
            return
        finalizers = volume["metadata"].get("finalizers") or []
        if is_deleted(volume):
            if VOLUME_FINALIZER not in finalizers or get(volume, "status", "phase") == "Bound":
                return
            finalizers = [f for f in finalizers if f != VOLUME_FINALIZER]
        elif VOLUME_FINALIZER in finalizers:
            return
        else:
            finalizers = [*finalizers, VOLUME_FINALIZER]
        await _finalize_with(self._api, volume, finalizers)


class ClassProtectionController(Controller):
    name = "volumeattributesclass-protection-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.classes = self.informer("storage.k8s.io", "v1", "volumeattributesclasses")
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self.volumes = self.informer("", "v1", "persistentvolumes")
        self._api = self.client.resource("storage.k8s.io", "v1", "volumeattributesclasses")
        self.classes.add_handler(self.enqueue, lambda _, new: self.enqueue(new))
        for informer in (self.claims, self.volumes):
            informer.add_index(_BY_CLASS, classes_of)
            informer.add_handler(updated=self._left, deleted=lambda old: self._left(old, None))

    def _left(self, old: Obj, new: Obj | None) -> None:
        for name in classes_of(old):
            if new is None or name not in classes_of(new):
                self.enqueue(name)

    async def reconcile(self, key: str) -> None:
        found = self.classes.lister.get("", key)
        if found is None:
            return
        finalizers = found["metadata"].get("finalizers") or []
        if not is_deleted(found):
            if CLASS_FINALIZER not in finalizers:
                await _finalize_with(self._api, found, [*finalizers, CLASS_FINALIZER])
        elif CLASS_FINALIZER in finalizers and not any(
            informer.lister.by_index(_BY_CLASS, key) for informer in (self.claims, self.volumes)
        ):
            await _finalize_with(self._api, found, [f for f in finalizers if f != CLASS_FINALIZER])


def classes_of(obj: Obj) -> list[str]:
    """The VolumeAttributesClasses that a claim or volume has, had, or is on its way to."""
    named = (
        get(obj, "spec", "volumeAttributesClassName"),
        get(obj, "status", "currentVolumeAttributesClassName"),
        get(obj, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return sorted({name for name in named if name})
