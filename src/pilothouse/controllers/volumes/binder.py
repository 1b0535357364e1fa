"""Claims are bound to volumes, one to one, and volumes are released when their claim is gone.

Source: upstream's pkg/controller/volume/persistentvolume (its pv_controller.go describes the two-way pointers). Volumes are made
by provisioners outside; of deletions only those of volumes that nobody else would delete are done here.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get, key_of
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_deleted, time_of
from pilothouse.controllers.protection import claims_of
from pilothouse.controllers.volumes import match

_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
_PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
_PROVISIONERS: Final = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_VOLUME: Final = "volume/"
_RESYNC_S: Final = 15.0


class VolumeBinder(Controller):
    """Keys are claims', and `volume/name`. One worker: two claims must not be given one volume."""

    name = "persistentvolume-binder-controller"
    component = "persistentvolume-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self.volumes = self.informer("", "v1", "persistentvolumes")
        self.classes = self.informer("storage.k8s.io", "v1", "storageclasses")
        self.pods = self.informer("", "v1", "pods")
        self._claims_api = self.client.resource("", "v1", "persistentvolumeclaims")
        self._volumes_api = self.client.resource("", "v1", "persistentvolumes")
        self._resync_s: float = context.option("pvclaimbinder-sync-period", _RESYNC_S)
        self._latest: dict[str, Obj] = {}  # what was written and not yet seen: key → object
        self.claims.add_handler(self._claim_seen, lambda _, new: self._claim_seen(new), self._claim_gone)
        self.volumes.add_handler(self._volume_seen, lambda _, new: self._volume_seen(new), self._volume_gone)
        self.loops = [self._resync_often]

    # What is there

    def _claim_seen(self, claim: Obj) -> None:
        self.enqueue(claim)

    def _claim_gone(self, claim: Obj) -> None:
        self._latest.pop(key_of(claim), None)
        if claim["spec"].get("volumeName"):
            self.enqueue(f"{_VOLUME}{claim['spec']['volumeName']}")

    def _volume_seen(self, volume: Obj) -> None:
        key = f"{_VOLUME}{volume['metadata']['name']}"
        self.enqueue(key)
        ref = volume["spec"].get("claimRef")
        if ref is not None:
            self.enqueue(f"{ref.get('namespace', '')}/{ref.get('name', '')}")
        elif get(volume, "status", "phase") == "Available":
            self._wake_unbound()

    def _volume_gone(self, volume: Obj) -> None:
        self._latest.pop(f"{_VOLUME}{volume['metadata']['name']}", None)
        ref = volume["spec"].get("claimRef")
        if ref is not None:
            self.enqueue(f"{ref.get('namespace', '')}/{ref.get('name', '')}")

    def _wake_unbound(self) -> None:
        for claim in self.claims.lister.list():
            if not claim["spec"].get("volumeName"):
                self.enqueue(claim)

    async def _resync_often(self) -> None:
        while True:
            await self.clock.sleep(self._resync_s)
            self._wake_unbound()

    def _claim(self, key: str) -> Obj | None:
        return self._newer(key, self.claims.lister.by_key(key))

    def _volume(self, name: str) -> Obj | None:
        return self._newer(_VOLUME + name, self.volumes.lister.get("", name))

    def _newer(self, key: str, found: Obj | None) -> Obj | None:
        """What the cache has, or what was written since."""
        written = self._latest.get(key)
        if found is None or written is None or _version(found) < _version(written):
            return written if found is not None and written is not None else found
        del self._latest[key]
        return found

    async def _put_claim(self, claim: Obj, subresource: str = "") -> Obj:
        written = await self._claims_api.update(claim, subresource)
        self._latest[key_of(written)] = written
        return written

    async def _put_volume(self, volume: Obj, subresource: str = "") -> Obj:
        written = await self._volumes_api.update(volume, subresource)
        self._latest[_VOLUME + written["metadata"]["name"]] = written
        return written

    async def reconcile(self, key: str) -> None:
        try:
            if key.startswith(_VOLUME):
                volume = self._volume(key.removeprefix(_VOLUME))
                if volume is not None:
                    await self._sync_volume(volume)
                return
            claim = self._claim(key)
            if claim is not None:
                if _COMPLETED in _annotations(claim):
                    await self._sync_bound(claim)
                else:
                    await self._sync_unbound(claim)
        except StatusError:
            # What was written last may be what conflicts: the next look starts from what the cache has.
            self._latest.pop(key, None)
            raise

    # Claims

    async def _sync_unbound(self, claim: Obj) -> None:
        name = claim["spec"].get("volumeName")
        if name:
            await self._sync_named(claim, name)
            return
        delayed = self._is_delayed(claim)
        volumes = [self._volume(v["metadata"]["name"]) or v for v in self.volumes.lister.list()]
        found = match.best(claim, volumes, delayed=delayed)
        if found is not None:
            await self._bind(found, claim)
            return
        if is_deleted(claim) or await self._assign_class(claim):
            return
        class_name = match.class_of(claim)
        if delayed and _SELECTED_NODE not in _annotations(claim):
            reason, text = self._why_waiting(claim)
            self.recorder.event(claim, "Normal", reason, text)
        elif class_name:
            await self._ask_provisioner(claim, class_name)
            return
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self.recorder.event(claim, "Normal", "FailedBinding", text)
        await self._set_claim_phase(claim, "Pending", None)

    async def _sync_named(self, claim: Obj, name: str) -> None:
        """The claim names its volume, and waits for that alone."""
        volume = self._volume(name)
        if volume is None:
            await self._set_claim_phase(claim, "Pending", None)
            return
        if volume["spec"].get("claimRef") is None:
            why = match.why_not(volume, claim)
            if not why:
                await self._bind(volume, claim)
                return
            text = f'Cannot bind to requested volume "{name}": {why}'
            self.recorder.event(claim, "Warning", "VolumeMismatch", text)
            await self._set_claim_phase(claim, "Pending", None)
        elif match.is_bound_to(volume, claim):
            await self._bind(volume, claim)
        else:
            text = f'volume "{name}" already bound to a different claim.'
            self.recorder.event(claim, "Warning", "FailedBinding", text)
            if _BY_CONTROLLER not in _annotations(claim):
                await self._set_claim_phase(claim, "Pending", None)

    async def _sync_bound(self, claim: Obj) -> None:
        name = claim["spec"].get("volumeName")
        volume = self._volume(name) if name else None
        if volume is None:
            what = "its PersistentVolume" if name else "reference to PersistentVolume"
            text = f"Bound claim has lost {what}. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", text)
            return
        ref = volume["spec"].get("claimRef")
        if ref is None or ref.get("uid") == claim["metadata"]["uid"]:
            await self._bind(volume, claim)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", text)

    async def _lose(self, claim: Obj, reason: str, text: str) -> None:
        if get(claim, "status", "phase") != "Lost":
            await self._set_claim_phase(claim, "Lost", None)
            self.recorder.event(claim, "Warning", reason, text)

    def _is_delayed(self, claim: Obj) -> bool:
        """The volume is chosen with the node; until then nothing is bound or made."""
        if _SELECTED_NODE in _annotations(claim):
            return True
        found = self.classes.lister.get("", match.class_of(claim))
        return found is not None and found.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _why_waiting(self, claim: Obj) -> tuple[str, str]:
        key = key_of(claim)
        names = [
            pod["metadata"]["name"]
            for pod in self.pods.lister.list(claim["metadata"]["namespace"])
            if not pod["spec"].get("nodeName") and key in claims_of(pod)
        ]
        if not names:
            return "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
        if len(names) == 1:
            return "WaitForPodScheduled", f"waiting for pod {names[0]} to be scheduled"
        return "WaitForPodScheduled", f"waiting for pods {','.join(names)} to be scheduled"

    async def _assign_class(self, claim: Obj) -> bool:
        """Gives a claim without a class the default one, should there be one by now (KEP-3333)."""
        if claim["spec"].get("storageClassName") is not None or match.BETA_CLASS in _annotations(claim):
            return False
        defaults = [
            c for c in self.classes.lister.list() if any(_annotations(c).get(a) == "true" for a in _DEFAULT_CLASS)
        ]
        if not defaults:
            return False
        newest = min(defaults, key=lambda c: (-time_of(c["metadata"].get("creationTimestamp")), c["metadata"]["name"]))
        await self._put_claim({**claim, "spec": {**claim["spec"], "storageClassName": newest["metadata"]["name"]}})
        return True

    async def _ask_provisioner(self, claim: Obj, class_name: str) -> None:
        """Leaves the claim to the class's provisioner."""
        found = self.classes.lister.get("", class_name)
        if found is None:
            text = f'storageclass.storage.k8s.io "{class_name}" not found'
            self.recorder.event(claim, "Warning", "ProvisioningFailed", text)
            return
        provisioner = found.get("provisioner") or ""
        if provisioner.startswith("kubernetes.io/"):  # upstream's own, of which none is left
            text = f"no volume plugin matched name: {provisioner}"
            self.recorder.event(claim, "Warning", "ProvisioningFailed", text)
            return
        annotations = _annotations(claim)
        if any(annotations.get(a) != provisioner for a in _PROVISIONERS):
            annotations = {**annotations, **dict.fromkeys(_PROVISIONERS, provisioner)}
            claim = await self._put_claim({**claim, "metadata": {**claim["metadata"], "annotations": annotations}})
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered."
        )
        self.recorder.event(claim, "Normal", "ExternalProvisioning", text)

    # Binding: the volume points to the claim first, so that no other claim takes it

    async def _bind(self, volume: Obj, claim: Obj) -> None:
        volume = await self._point_volume(volume, claim)
        volume = await self._set_volume_phase(volume, "Bound")
        claim = await self._point_claim(claim, volume)
        await self._set_claim_phase(claim, "Bound", volume)

    async def _point_volume(self, volume: Obj, claim: Obj) -> Obj:
        metadata, ref = claim["metadata"], volume["spec"].get("claimRef")
        new = {
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": metadata["name"],
            "namespace": metadata["namespace"], "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"],
        }  # fmt: skip
        if ref is not None and ref.get("uid") == metadata["uid"]:
            return volume
        annotations = _annotations(volume)
        if ref is None:
            annotations = {**annotations, _BY_CONTROLLER: "yes"}
        changed = {**volume["metadata"], "annotations": annotations}
        return await self._put_volume({**volume, "metadata": changed, "spec": {**volume["spec"], "claimRef": new}})

    async def _point_claim(self, claim: Obj, volume: Obj) -> Obj:
        annotations, name = dict(_annotations(claim)), volume["metadata"]["name"]
        if claim["spec"].get("volumeName") != name:
            annotations.setdefault(_BY_CONTROLLER, "yes")
        annotations.setdefault(_COMPLETED, "yes")
        if annotations == _annotations(claim) and claim["spec"].get("volumeName") == name:
            return claim
        changed = {**claim["metadata"], "annotations": annotations}
        return await self._put_claim({**claim, "metadata": changed, "spec": {**claim["spec"], "volumeName": name}})

    async def _set_claim_phase(self, claim: Obj, phase: str, volume: Obj | None) -> None:
        old = claim.get("status") or {}
        new: dict[str, Any] = {**old, "phase": phase}
        if volume is None:
            for field in ("accessModes", "capacity", "currentVolumeAttributesClassName"):
                new.pop(field, None)
        else:
            new["accessModes"] = volume["spec"].get("accessModes")
            if old.get("phase") != phase:
                new["capacity"] = volume["spec"].get("capacity")
                attributes = volume["spec"].get("volumeAttributesClassName")
                if old.get("phase") == "Pending" and attributes:
                    new["currentVolumeAttributesClassName"] = attributes
        if new != old:
            await self._put_claim({**claim, "status": new}, "status")

    async def _set_volume_phase(self, volume: Obj, phase: str, message: str = "", reason: str = "") -> Obj:
        old = volume.get("status") or {}
        if old.get("phase") == phase and (not message or old.get("message") == message):
            return volume
        new = {k: v for k, v in old.items() if k not in ("message", "reason")} | {"phase": phase}
        if message:
            new["message"] = message
        written = await self._put_volume({**volume, "status": new}, "status")
        if reason:
            self.recorder.event(volume, "Warning", reason, message)
        return written

    # Volumes

    async def _sync_volume(self, volume: Obj) -> None:
        ref = volume["spec"].get("claimRef")
        if ref is None or not ref.get("uid"):
            await self._set_volume_phase(volume, "Available")
            return
        claim = await self._claim_of(volume, ref)
        name = volume["metadata"]["name"]
        if claim is None:
            if get(volume, "status", "phase") not in ("Released", "Failed"):
                volume = await self._set_volume_phase(volume, "Released")
            await self._reclaim(volume)
        elif not claim["spec"].get("volumeName"):
            if match.mode_of(claim) != match.mode_of(volume):
                text = (
                    f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{claim["metadata"]["name"]}" '
                    "due to incompatible volumeMode."
                )
                self.recorder.event(volume, "Warning", "VolumeMismatch", text)
                text = f'Cannot bind PersistentVolume "{name}" to requested PersistentVolumeClaim due to incompatible volumeMode.'
                self.recorder.event(claim, "Warning", "VolumeMismatch", text)
                return
            self.enqueue(claim)
        elif claim["spec"]["volumeName"] == name:
            await self._set_volume_phase(volume, "Bound")
        elif (
            _PROVISIONED_BY in _annotations(volume) and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        ):
            if get(volume, "status", "phase") not in ("Released", "Failed"):
                volume = await self._set_volume_phase(volume, "Released")
            await self._reclaim(volume)
        else:
            await self._unbind(volume)

    async def _claim_of(self, volume: Obj, ref: Obj) -> Obj | None:
        """The claim that the volume is bound to, as the server itself has it where the cache does not."""
        claim = self._claim(f"{ref['namespace']}/{ref['name']}")
        if claim is not None and claim["metadata"]["uid"] == ref["uid"]:
            return claim
        if claim is None and get(volume, "status", "phase") in ("Released", "Failed"):
            return None
        try:
            claim = await self._claims_api.get(ref["name"], ref["namespace"])
        except StatusError as error:
            if error.code != 404:
                raise
            return None
        return claim if claim["metadata"]["uid"] == ref["uid"] else None

    async def _unbind(self, volume: Obj) -> None:
        """The volume was bound to a claim that is bound to another one."""
        metadata, spec = volume["metadata"], volume["spec"]
        if _BY_CONTROLLER in _annotations(volume):
            annotations = {k: v for k, v in _annotations(volume).items() if k != _BY_CONTROLLER}
            metadata = {**metadata, "annotations": annotations}
            spec = {k: v for k, v in spec.items() if k != "claimRef"}
        else:
            spec = {**spec, "claimRef": {k: v for k, v in spec["claimRef"].items() if k != "uid"}}
        await self._set_volume_phase(
            await self._put_volume({**volume, "metadata": metadata, "spec": spec}), "Available"
        )

    async def _reclaim(self, volume: Obj) -> None:
        """What becomes of a volume whose claim is gone. There are no volume plugins here that could wipe or delete data: what a
        provisioner made, that provisioner deletes."""
        policy, name = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain", volume["metadata"]["name"]
        if policy == "Recycle":
            text = "No recycler plugin found for the volume!"
            await self._set_volume_phase(volume, "Failed", text, "VolumeFailedRecycle")
        elif policy == "Delete" and not is_deleted(volume):
            path = get(volume, "spec", "hostPath", "path", default="")
            if path.startswith(
                "/tmp/"
            ):  # upstream's one plugin that deletes; of simulated nodes there is nothing to wipe
                await self._volumes_api.delete(name)
            elif path:
                text = f"host_path deleter only supports /tmp/.+ but received provided {path}"
                await self._set_volume_phase(volume, "Failed", text, "VolumeFailedDelete")
            elif _PROVISIONED_BY not in _annotations(volume) and not volume["spec"].get("csi"):
                text = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
                await self._set_volume_phase(volume, "Failed", text, "VolumeFailedDelete")


def _annotations(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _version(obj: Obj) -> int:
    text = obj["metadata"].get("resourceVersion") or ""
    return int(text) if text.isdigit() else 0
