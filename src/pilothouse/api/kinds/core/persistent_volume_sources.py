"""What backs a PersistentVolume: one function a type of volume, as a rule of its own.

Source: the API reference of PersistentVolumeSpec and upstream's pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.storage.parameters import driver_name
from pilothouse.api.objects import Obj

_HOST_PATH_TYPES: Final = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_IQN: Final = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)\Z")
_EUI: Final = re.compile(r"eui.[A-Za-z0-9]{16}\Z")
_NAA: Final = re.compile(r"naa.[A-Za-z0-9]{32}\Z")
_MANAGED_DISK: Final = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_DISK: Final = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def _all_required(source: Obj, path: str, *wanted: str) -> ErrorList:
    return [field.required(f"{path}.{name}") for name in wanted if not source.get(name)]


def no_backsteps(target: str, path: str) -> ErrorList:
    return [field.invalid(path, target, "must not contain '..'")] if ".." in target.split("/") else []


def host_path(source: Obj, path: str) -> ErrorList:
    target = source.get("path") or ""
    if not target:
        return [field.required(f"{path}.path")]
    found = no_backsteps(target, f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        found.append(field.not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return found


def _partition(source: Obj, path: str) -> ErrorList:
    partition = source.get("partition") or 0
    if 0 <= partition <= 255:
        return []
    return [field.invalid(f"{path}.partition", partition, names.in_range(1, 255))]


def gce_persistent_disk(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "pdName") + _partition(source, path)


def aws_elastic_block_store(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "volumeID") + _partition(source, path)


def _glusterfs(source: Obj, path: str) -> ErrorList:
    found = _all_required(source, path, "endpoints", "path")
    namespace = source.get("endpointsNamespace")
    if namespace is None:
        return found
    at = f"{path}.endpointsNamespace"
    if not namespace:
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        return [*found, field.invalid(at, namespace, detail)]
    return found + [field.invalid(at, namespace, d) for d in names.dns1123_label(namespace)]


def flocker(source: Obj, path: str) -> ErrorList:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    found: ErrorList = []
    if not name and not uuid:
        found.append(field.required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        found.append(field.invalid(path, "resource", detail))
    if "/" in name:
        found.append(field.invalid(f"{path}.datasetName", name, "must not contain '/'"))
    return found


def nfs(source: Obj, path: str) -> ErrorList:
    target = source.get("path") or ""
    found = _all_required(source, path, "server", "path")
    if not target.startswith("/"):
        found.append(field.invalid(f"{path}.path", target, "must be an absolute path"))
    return found


def _rbd(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "monitors", "image")


def quobyte(source: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    registry = source.get("registry") or ""
    pairs = "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        found.append(field.required(f"{path}.registry", pairs))
    elif len((source.get("tenant") or "").encode()) >= 65:
        detail = "must be a UUID and may not exceed a length of 64 characters"
        found.append(field.required(f"{path}.tenant", detail))
    else:
        wrong = [pair for pair in registry.split(",") if not _is_host_port(pair)]
        found += [field.invalid(f"{path}.registry", registry, pairs) for _ in wrong]
    return found + _all_required(source, path, "volume")


def _is_host_port(text: str) -> bool:
    """As Go's net.SplitHostPort takes it apart."""
    host, colon, port = text.rpartition(":")
    if not colon or "[" in port or "]" in port:
        return False
    if host.startswith("["):
        return host.endswith("]") and host.count("[") == 1 and host.count("]") == 1
    return ":" not in host and "[" not in host and "]" not in host


def _cephfs(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "monitors")


def _is_initiator(text: str) -> bool:
    """Of one of the three forms, as upstream matches it: an iqn anywhere in the text."""
    if text.startswith("iqn"):
        return _IQN.search(text) is not None
    if text.startswith("eui"):
        return _EUI.match(text) is not None
    return text.startswith("naa") and _NAA.match(text) is not None


def _iscsi(source: Obj, volume: str, path: str) -> ErrorList:
    found = _all_required(source, path, "targetPortal")
    portal, iqn, initiator = source.get("targetPortal") or "", source.get("iqn") or "", source.get("initiatorName")
    if initiator is not None and len(f"{volume}:{portal}".encode()) > 64:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
            "if iscsi.initiatorName is specified."
        )
        found.append(field.invalid(f"{path}.targetportal", portal, detail))
    if not iqn:
        found.append(field.required(f"{path}.iqn"))
    elif not _is_initiator(iqn):
        found.append(field.invalid(f"{path}.iqn", iqn, "must be valid format"))
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        found.append(field.invalid(f"{path}.lun", lun, names.in_range(0, 255)))
    secret = source.get("secretRef")
    if secret is None and (source.get("chapAuthDiscovery") or source.get("chapAuthSession")):
        found.append(field.required(f"{path}.secretRef"))
    if secret is not None:
        found += _all_required(secret, f"{path}.secretRef", "name")
    if initiator is not None and not _is_initiator(initiator):
        found.append(field.invalid(f"{path}.initiatorname", initiator, "must be valid format"))
    return found


def _secret(source: Obj, path: str) -> ErrorList:
    secret = source.get("secretRef")
    return [] if secret is None else _all_required(secret, f"{path}.secretRef", "name", "namespace")


def _cinder(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "volumeID") + _secret(source, path)


def fc(source: Obj, path: str) -> ErrorList:
    wwns, wwids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    at = f"{path}.targetWWNs"
    found: ErrorList = []
    if not wwns and not wwids:
        found.append(field.required(at, "must specify either targetWWNs or wwids, but not both"))
    if wwns and wwids:
        found.append(field.invalid(at, wwns, "targetWWNs and wwids can not be specified simultaneously"))
    if wwns:
        if lun is None:
            found.append(field.required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        elif not 0 <= lun <= 255:
            found.append(field.invalid(f"{path}.lun", lun, names.in_range(0, 255)))
    return found


def flex(source: Obj, path: str) -> ErrorList:
    found = _all_required(source, path, "driver")
    for key in source.get("options") or {}:
        owner = "." + key.partition("/")[0].lower()
        if owner.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            found.append(field.invalid(f"{path}.options[{key}]", key, detail))
    return found


def _azure_file(source: Obj, path: str) -> ErrorList:
    found = _all_required(source, path, "secretName", "shareName")
    if source.get("secretNamespace") == "":
        found.append(field.required(f"{path}.secretNamespace"))
    return found


def vsphere(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "volumePath")


def photon(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "pdID")


def portworx(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "volumeID")


def azure_disk(source: Obj, path: str) -> ErrorList:
    found = _all_required(source, path, "diskName", "diskURI")
    caching, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    modes, kinds = ("None", "ReadOnly", "ReadWrite"), ("Dedicated", "Managed", "Shared")
    if caching is not None and caching not in modes:
        found.append(field.not_supported(f"{path}.cachingMode", caching, modes))
    if kind is not None and kind not in kinds:
        found.append(field.not_supported(f"{path}.kind", kind, kinds))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        found.append(field.not_supported(f"{path}.diskURI", uri, [_MANAGED_DISK]))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        found.append(field.not_supported(f"{path}.diskURI", uri, [_BLOB_DISK]))
    return found


def scale_io(source: Obj, path: str) -> ErrorList:
    return _all_required(source, path, "gateway", "system", "volumeName")


def _local(source: Obj, path: str) -> ErrorList:
    target = source.get("path") or ""
    return no_backsteps(target, f"{path}.path") if target else [field.required(f"{path}.path")]


def storage_os(source: Obj, path: str) -> ErrorList:
    found = _all_required(source, path, "volumeName")
    for name in ("volumeName", "volumeNamespace"):
        text = source.get(name) or ""
        if text:
            found += [field.invalid(f"{path}.{name}", text, d) for d in names.dns1123_label(text)]
    return found + _secret(source, path)


def _csi(source: Obj, path: str) -> ErrorList:
    found = driver_name(source.get("driver") or "", f"{path}.driver")
    found += _all_required(source, path, "volumeHandle")
    for name in (
        "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef",
    ):  # fmt: skip
        secret = source.get(name)
        if secret is not None:
            found += _secret_reference(secret, f"{path}.{name}")
    return found


def _secret_reference(secret: Obj, path: str) -> ErrorList:
    name, namespace = secret.get("name") or "", secret.get("namespace") or ""
    found: ErrorList = []
    if name:
        found += [field.invalid(f"{path}.name", name, d) for d in names.dns1123_subdomain(name)]
    else:
        found.append(field.required(f"{path}.name"))
    if namespace:
        found += [field.invalid(f"{path}.namespace", namespace, d) for d in names.dns1123_label(namespace)]
    else:
        found.append(field.required(f"{path}.namespace"))
    return found


# (field, its path where a second type is refused, its path in the type's own errors, rule), in upstream's order.
_Rule = Callable[[Obj, str], ErrorList]
_SOURCES: Final[tuple[tuple[str, str, str, _Rule], ...]] = (
    ("hostPath", "hostPath", "hostPath", host_path),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", gce_persistent_disk),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", aws_elastic_block_store),
    ("glusterfs", "glusterfs", "glusterfs", _glusterfs),
    ("flocker", "flocker", "flocker", flocker),
    ("nfs", "nfs", "nfs", nfs),
    ("rbd", "rbd", "rbd", _rbd),
    ("quobyte", "quobyte", "quobyte", quobyte),
    ("cephfs", "cephFS", "cephfs", _cephfs),
    ("iscsi", "iscsi", "iscsi", lambda source, path: _iscsi(source, "", path)),
    ("cinder", "cinder", "cinder", _cinder),
    ("fc", "fc", "fc", fc),
    ("flexVolume", "flexVolume", "flexVolume", flex),
    ("azureFile", "azureFile", "azureFile", _azure_file),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", vsphere),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", photon),
    ("portworxVolume", "portworxVolume", "portworxVolume", portworx),
    ("azureDisk", "azureDisk", "azureDisk", azure_disk),
    ("scaleIO", "scaleIO", "scaleIO", scale_io),
    ("local", "local", "local", _local),
    ("storageos", "storageos", "storageos", storage_os),
    ("csi", "csi", "csi", _csi),
)
NAMES: Final = tuple(row[0] for row in _SOURCES)


def sources(spec: Obj, volume: str, path: str, *, node_affinity: bool) -> ErrorList:
    """Exactly one type of volume; `volume` is the name of the PersistentVolume."""
    found: ErrorList = []
    count = 0
    for name, refused, own, rule in _SOURCES:
        source = spec.get(name)
        if source is None:
            continue
        if count and name != "flexVolume":
            found.append(field.forbidden(f"{path}.{refused}", "may not specify more than 1 volume type"))
            continue
        count += 1
        found += _iscsi(source, volume, f"{path}.{own}") if name == "iscsi" else rule(source, f"{path}.{own}")
        if name == "local" and not node_affinity:
            found.append(field.required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    if not count:
        found.append(field.required(path, "must specify a volume type"))
    return found
