"""Pods' generic ephemeral volumes: a claim of the pod's own for each.

Source: upstream's pkg/controller/volume/ephemeral (KEP-1698).
"""

from __future__ import annotations

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import controller_ref, is_deleted


class EphemeralVolumeController(Controller):
    name = "ephemeral-volume-controller"
    component = "ephemeral_volume"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.informer("", "v1", "pods")
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self._api = self.client.resource("", "v1", "persistentvolumeclaims")
        self.pods.add_handler(self._pod_added)
        self.claims.add_handler(deleted=self._claim_gone)

    def _pod_added(self, pod: Obj) -> None:
        if not is_deleted(pod) and any(v.get("ephemeral") for v in pod["spec"].get("volumes") or ()):
            self.enqueue(pod)

    def _claim_gone(self, claim: Obj) -> None:
        owner = controller_of(claim)
        if owner is not None and owner.get("kind") == "Pod":
            self.enqueue(f"{claim['metadata']['namespace']}/{owner['name']}")

    async def reconcile(self, key: str) -> None:
        pod = self.pods.lister.by_key(key)
        if pod is None or is_deleted(pod):
            return
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("ephemeral"):
                try:
                    await self._provide(pod, volume)
                except StatusError as error:
                    text = f"ephemeral volume {volume['name']}: {error}"
                    self.recorder.event(pod, "Warning", "FailedBinding", text)
                    raise

    async def _provide(self, pod: Obj, volume: Obj) -> None:
        metadata = pod["metadata"]
        name = f"{metadata['name']}-{volume['name']}"
        found = self.claims.lister.get(metadata["namespace"], name)
        if found is not None:
            owner = controller_of(found)
            if owner is None or owner.get("uid") != metadata["uid"]:
                where = f"PVC {metadata['namespace']}/{name}"
                raise StatusError(
                    409,
                    "Conflict",
                    f"{where} was not created for pod {metadata['namespace']}/{metadata['name']} (pod is not owner)",
                )
            return
        template = volume["ephemeral"].get("volumeClaimTemplate") or {}
        described = {k: v for k, v in (template.get("metadata") or {}).items() if k in ("labels", "annotations")}
        claim = {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": copy(template.get("spec") or {}),
            "metadata": {
                **copy(described), "name": name, "namespace": metadata["namespace"],
                "ownerReferences": [controller_ref({"apiVersion": "v1", "kind": "Pod", **pod})],
            },
        }  # fmt: skip
        try:
            await self._api.create(claim)
        except StatusError as error:
            error.message = f"create PVC {name}: {error.message}"
            error.args = (error.message,)
            raise
