"""Volumes of CSI drivers that have to be attached to a node are attached where a pod needs them, and detached afterwards.

Source: upstream's pkg/controller/volume/attachdetach and pkg/volume/csi. A driver's attacher outside acts on VolumeAttachments
and says in their status that it did; a node's status lists what is attached to it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get
from pilothouse.controllers import pods as p
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.protection import claims_of

_NODE_KEEPS: Final = "volumes.kubernetes.io/controller-managed-attach-detach"


class AttachDetachController(Controller):
    """Keys are names of nodes."""

    name = "persistentvolume-attach-detach-controller"
    component = "attachdetach-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("", "v1", "nodes")
        self.pods = self.informer("", "v1", "pods")
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self.volumes = self.informer("", "v1", "persistentvolumes")
        self.drivers = self.informer("storage.k8s.io", "v1", "csidrivers")
        self.attachments = self.informer("storage.k8s.io", "v1", "volumeattachments")
        p.index_by_node(self.pods)
        self.attachments.add_index(p.BY_NODE, lambda a: (a["spec"].get("nodeName") or "",))
        self._api = self.client.resource("storage.k8s.io", "v1", "volumeattachments")
        self._nodes_api = self.client.resource("", "v1", "nodes")
        self.pods.add_handler(self._pod_changed, lambda _, new: self._pod_changed(new), self._pod_changed)
        self.attachments.add_handler(self._attachment_changed, self._attachment_updated, self._attachment_changed)
        self.claims.add_handler(updated=self._claim_updated)
        self.nodes.add_handler(self._node_added)

    def _pod_changed(self, pod: Obj) -> None:
        if pod["spec"].get("nodeName") and (pod["spec"].get("volumes") and self._needs_look(pod)):
            self.enqueue(pod["spec"]["nodeName"])

    def _needs_look(self, pod: Obj) -> bool:
        return any(v.get("persistentVolumeClaim") or v.get("ephemeral") or v.get("csi") for v in pod["spec"]["volumes"])

    def _attachment_changed(self, attachment: Obj) -> None:
        self.enqueue(attachment["spec"].get("nodeName") or "")

    def _attachment_updated(self, old: Obj, new: Obj) -> None:
        if old.get("status") != new.get("status") or p.is_deleted(old) != p.is_deleted(new):
            self._attachment_changed(new)

    def _claim_updated(self, old: Obj, new: Obj) -> None:
        if old["spec"].get("volumeName") != new["spec"].get("volumeName"):
            key = f"{new['metadata']['namespace']}/{new['metadata']['name']}"
            for pod in self.pods.lister.list(new["metadata"]["namespace"]):
                if key in claims_of(pod):
                    self._pod_changed(pod)

    def _node_added(self, node: Obj) -> None:
        self.enqueue(node)

    async def reconcile(self, key: str) -> None:
        node = self.nodes.lister.get("", key)
        present = {a["metadata"]["name"]: a for a in self.attachments.lister.by_index(p.BY_NODE, key)}
        wanted = self._wanted(key) if node is not None else {}
        in_use = set((get(node, "status", "volumesInUse") or ()) if node is not None else ())
        for name, volume in wanted.items():
            if name not in present:
                await self._attach(name, key, volume)
        for name, attachment in present.items():
            volume_name = get(attachment, "spec", "source", "persistentVolumeName")
            behind = self.volumes.lister.get("", volume_name) if volume_name else None
            csi = behind["spec"].get("csi") if behind is not None else None
            # Whoever made one under another name, or for a volume that nobody knows, keeps it.
            ours = csi is not None and name == attachment_name(csi["volumeHandle"], csi["driver"], key)
            mounted = behind is not None and csi is not None and unique_name(behind) in in_use
            if ours and name not in wanted and not mounted and not p.is_deleted(attachment):
                await self._detach(name)
        if node is not None:
            await self._report(node, list(present.values()))

    def _wanted(self, node: str) -> dict[str, Obj]:
        """The volumes that pods on the node need attached, by the names of their attachments."""
        out: dict[str, Obj] = {}
        for pod in self.pods.lister.by_index(p.BY_NODE, node):
            if p.is_terminal(pod):
                continue
            for key in claims_of(pod):
                claim = self.claims.lister.by_key(key)
                name = get(claim, "spec", "volumeName") if claim is not None else None
                volume = self.volumes.lister.get("", name) if name else None
                csi = volume["spec"].get("csi") if volume is not None else None
                if volume is not None and csi is not None and self._is_attached(csi["driver"]):
                    out[attachment_name(csi["volumeHandle"], csi["driver"], node)] = volume
        return out

    def _is_attached(self, driver: str) -> bool:
        """The driver's volumes have to be attached; those of an unknown one have."""
        found = self.drivers.lister.get("", driver)
        return found is None or get(found, "spec", "attachRequired") is not False

    async def _attach(self, name: str, node: str, volume: Obj) -> None:
        attachment = {
            "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name},
            "spec": {
                "attacher": volume["spec"]["csi"]["driver"], "nodeName": node,
                "source": {"persistentVolumeName": volume["metadata"]["name"]},
            },
        }  # fmt: skip
        try:
            await self._api.create(attachment)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _detach(self, name: str) -> None:
        try:
            await self._api.delete(name)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _report(self, node: Obj, present: list[Obj]) -> None:
        """Lists in the node's status what is attached; a kubelet waits for that before it mounts."""
        attached = []
        for attachment in present:
            name = get(attachment, "spec", "source", "persistentVolumeName")
            volume = self.volumes.lister.get("", name) if name else None
            if volume is not None and volume["spec"].get("csi") and get(attachment, "status", "attached"):
                attached.append({"name": unique_name(volume), "devicePath": ""})
        attached.sort(key=lambda a: str(a["name"]))
        old = get(node, "status", "volumesAttached", default=[])
        if attached == sorted(old, key=lambda a: str(a.get("name"))):
            return
        change = {"metadata": {"uid": node["metadata"]["uid"]}, "status": {"volumesAttached": attached or None}}
        try:
            await self._nodes_api.patch(node["metadata"]["name"], "", change, "merge", "status")
        except StatusError as error:
            if error.code != 404:
                raise


def attachment_name(handle: str, driver: str, node: str) -> str:
    """Upstream's name of a VolumeAttachment: attachers outside may know it."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node}".encode()).hexdigest()


def unique_name(volume: Obj) -> str:
    """The name of a CSI volume in nodes' statuses."""
    csi = volume["spec"]["csi"]
    return f"kubernetes.io/csi/{csi['driver']}^{csi['volumeHandle']}"
