"""What admission does for volumes: the default class, protection while in use, and who may grow.

Source: upstream's documentation "Admission Controllers in Kubernetes".
"""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.api.objects import Obj, get
from pilothouse.api.quantity import Quantity
from pilothouse.apiserver.admission.plugin import CREATE, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest
from pilothouse.clock import parse_time

_CLAIMS = ("", "persistentvolumeclaims")
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_FINALIZERS = {
    ("", "persistentvolumes"): "kubernetes.io/pv-protection",
    _CLAIMS: "kubernetes.io/pvc-protection",
    ("storage.k8s.io", "volumeattributesclasses"): "kubernetes.io/vac-protection",
}


def newest_default(classes: Iterable[Obj], annotations: tuple[str, ...]) -> str:
    """The name of the class that is marked as the default; the newest of several, then the first by name."""
    found = [
        c for c in classes if any((c["metadata"].get("annotations") or {}).get(a) == "true" for a in annotations)
    ]  # fmt: skip
    found.sort(key=lambda c: (-parse_time(c["metadata"]["creationTimestamp"]), c["metadata"]["name"]))
    return str(found[0]["metadata"]["name"]) if found else ""


def _class_of(claim: Obj) -> str | None:
    beta: str | None = get(claim, "metadata", "annotations", _BETA_CLASS)
    own: str | None = get(claim, "spec", "storageClassName")
    return beta if beta is not None else own


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    resources = frozenset({_CLAIMS})
    operations = CREATE

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or _class_of(request.obj) is not None:
            return
        default = newest_default(self.objects.list("storage.k8s.io", "storageclasses"), _DEFAULT)
        if default:
            request.obj["spec"]["storageClassName"] = default


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"
    resources = frozenset(_FINALIZERS)
    operations = CREATE

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        finalizer = _FINALIZERS[request.gvr.group, request.gvr.resource]
        meta = request.obj["metadata"]
        present = meta.get("finalizers") or []
        if finalizer not in present:
            meta["finalizers"] = [*present, finalizer]


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    resources = frozenset({_CLAIMS})
    operations = frozenset({"UPDATE"})

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None or request.old is None:
            return
        new, old = (_size(claim) for claim in (request.obj, request.old))
        if new <= old:
            return
        if get(request.old, "status", "phase") != "Bound":
            raise forbidden(request, "Only bound persistent volume claims can be expanded")
        name = _class_of(request.obj)
        found = self.objects.get("storage.k8s.io", "storageclasses", "", name) if name else None
        if found is None or name != _class_of(request.old) or not found.get("allowVolumeExpansion"):
            raise forbidden(
                request,
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize",
            )


def _size(claim: Obj) -> int:
    text = get(claim, "spec", "resources", "requests", "storage", default="0")
    try:
        return Quantity.parse(str(text)).milli()
    except ValueError:
        return 0
