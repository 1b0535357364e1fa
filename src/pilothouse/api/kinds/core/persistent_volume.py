"""PersistentVolume."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import node_labels, nodes
from pilothouse.api.kinds.common.diffs import diff
from pilothouse.api.kinds.common.quantities import round_list
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import immutable, keep, update_without_generation
from pilothouse.api.kinds.core.access_modes import short_modes
from pilothouse.api.kinds.core.persistent_volume_sources import NAMES
from pilothouse.api.kinds.core.persistent_volume_spec import persistent_volume_spec
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, copy, meta
from pilothouse.api.printing import age

_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_OPTIONS_ANNOTATION: Final = "volume.beta.kubernetes.io/mount-options"
_DEPRECATED_ANNOTATIONS: Final = {
    _CLASS_ANNOTATION: 'deprecated since v1.8; use "storageClassName" attribute instead',
    _OPTIONS_ANNOTATION: 'deprecated since v1.31; use "mountOptions" attribute instead',
}
_DEPRECATED_SOURCES: Final = {  # field: (its name in the warning, since, gone in)
    "cephfs": ("cephfs", "v1.28", "v1.31"),
    "photonPersistentDisk": ("photonPersistentDisk", "v1.11", "v1.16"),
    "scaleIO": ("scaleIO", "v1.16", "v1.22"),
    "storageos": ("storageOS", "v1.22", "v1.25"),
    "glusterfs": ("glusterfs", "v1.25", "v1.26"),
    "rbd": ("rbd", "v1.28", "v1.31"),
}
_WITH_MOUNT_OPTIONS: Final = (
    "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "iscsi", "cinder", "cephfs",
    "azureFile", "vsphereVolume", "azureDisk", "photonPersistentDisk",
)  # fmt: skip
_SOURCE_DEFAULTS: Final[dict[str, Obj]] = {
    "hostPath": {"type": ""},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "iscsi": {"iscsiInterface": "default"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
_GA_LABELS: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _default(obj: Obj) -> None:
    status, spec = obj.setdefault("status", {}), obj.setdefault("spec", {})
    if not status.get("phase"):
        status["phase"] = "Pending"
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    round_list(spec.get("capacity"))
    for source, defaults in _SOURCE_DEFAULTS.items():
        found = spec.get(source)
        if found is not None:
            for name, value in defaults.items():
                if found.get(name) is None or (found[name] == "" and source not in ("azureDisk", "hostPath")):
                    found[name] = value


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Pending"}


def _stamp(new: Obj, old: Obj | None, now: str) -> None:
    """When the phase last changed; a writer of the status may say so itself."""
    status = new.setdefault("status", {})
    if old is None:
        status["lastPhaseTransitionTime"] = now
        return
    before = old.get("status") or {}
    told, was = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
    if (status.get("phase") or "") == (before.get("phase") or ""):
        if told is None and was is not None:
            status["lastPhaseTransitionTime"] = was
    elif told is None or told == was:
        status["lastPhaseTransitionTime"] = now


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")


def _own(obj: Obj, *, allow_invalid_values: bool = False) -> ErrorList:
    spec, name = obj.get("spec") or {}, meta(obj).get("name") or ""
    return persistent_volume_spec(spec, name, "spec", allow_invalid_values=allow_invalid_values)


def _mount_options(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    if any(spec.get(name) is not None for name in _WITH_MOUNT_OPTIONS):
        return []
    if _OPTIONS_ANNOTATION not in (meta(obj).get("annotations") or {}):
        return []
    path = f"metadata.annotations.{_OPTIONS_ANNOTATION}"
    return [field.forbidden(path, "may not specify mount options for this volume type")]


def _validate(obj: Obj) -> ErrorList:
    return _own(obj) + _mount_options(obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    affinity, was = spec.get("nodeAffinity"), before.get("nodeAffinity")
    own = _own(new, allow_invalid_values=nodes.has_invalid_values((was or {}).get("required")))
    found = own + _mount_options(new) + own  # upstream asks twice
    found += _source_change(spec, before)
    found += immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if was is not None and not gates.is_open("MutablePVNodeAffinity") and not _same_affinity(affinity, was):
        value = None if affinity is None else internal("core/v1.VolumeNodeAffinity", affinity)
        detail = "field is immutable, except for updating from beta label to GA"
        found.append(field.invalid("nodeAffinity", value, detail))
    if before.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        detail = "update from non-nil value to nil is forbidden"
        found.append(field.forbidden("spec.volumeAttributesClassName", detail))
    return found


def _source_change(spec: Obj, before: Obj) -> ErrorList:
    new = {name: spec[name] for name in NAMES if spec.get(name) is not None}
    old = {name: before[name] for name in NAMES if before.get(name) is not None}
    csi, csi_before = new.get("csi"), old.get("csi")
    if csi is not None and csi_before is not None and csi_before.get("controllerExpandSecretRef") is None:
        new["csi"] = {k: v for k, v in csi.items() if k != "controllerExpandSecretRef"}  # may be added once
    if new.keys() == old.keys() and same(new, old):
        return []
    type_name = "core/v1.PersistentVolumeSource"
    changed = diff(internal(type_name, old), internal(type_name, new))
    detail = f"spec.persistentvolumesource is immutable after creation\n{changed}"
    return [field.forbidden("spec.persistentvolumesource", detail)]


def _same_affinity(new: Obj | None, old: Obj) -> bool:
    """Equal but for labels that left beta."""
    if new is None or (new.get("required") is None) != (old.get("required") is None):
        return False
    graduated = copy(old)
    terms = (graduated.get("required") or {}).get("nodeSelectorTerms") or []
    new_terms = (new.get("required") or {}).get("nodeSelectorTerms") or []
    for term, new_term in zip(terms, new_terms, strict=False):
        for part in ("matchExpressions", "matchFields"):
            for was, now in zip(term.get(part) or (), new_term.get(part) or (), strict=False):
                if _GA_LABELS.get(was.get("key") or "", "") == (
                    now.get("key") or ""
                ):  # upstream takes no key for graduated, too
                    was["key"] = now.get("key")
    return same(new, graduated)


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    return [] if meta(new).get("resourceVersion") else [field.required("resourceVersion")]


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    spec, annotations = new.get("spec") or {}, meta(new).get("annotations") or {}
    out = [f"metadata.annotations[{k}]: {told}" for k, told in _DEPRECATED_ANNOTATIONS.items() if k in annotations]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        out.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for i, term in enumerate(required.get("nodeSelectorTerms") or ()):
        path = f"spec.nodeAffinity.required.nodeSelectorTerms[{i}].matchExpressions"
        out += node_labels.of_expressions(term.get("matchExpressions"), path)
    for name, (shown, since, gone) in _DEPRECATED_SOURCES.items():
        if spec.get(name) is not None:
            out.append(f"spec.{shown}: deprecated in {since}, non-functional in {gone}+")
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, meta(obj)
    claim = spec.get("claimRef")
    beta_class = (metadata.get("annotations") or {}).get(_CLASS_ANNOTATION)
    mode, attributes = spec.get("volumeMode"), spec.get("volumeAttributesClassName")
    return [
        metadata.get("name", ""),
        (spec.get("capacity") or {}).get("storage") or "0",
        short_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if metadata.get("deletionTimestamp") else status.get("phase") or "",
        "" if claim is None else f"{claim.get('namespace') or ''}/{claim.get('name') or ''}",
        spec.get("storageClassName") or "" if beta_class is None else beta_class,
        "<unset>" if attributes is None else attributes,
        status.get("reason") or "",
        age(obj, now_s),
        "<unset>" if mode is None else mode,
    ]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=update_without_generation,
    prepare_status=_prepare_status,
    stamp=_stamp,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=_warnings,
    row=_row,
)
