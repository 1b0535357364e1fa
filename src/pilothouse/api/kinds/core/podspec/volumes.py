"""Volumes of pods: one rule a type. Source: the API reference of Volume and upstream's pkg/apis/core/validation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common.quantities import compare
from pilothouse.api.kinds.core import persistent_volume_sources as shared
from pilothouse.api.kinds.core.persistent_volume_claim import claim_spec
from pilothouse.api.kinds.core.podspec import forms
from pilothouse.api.kinds.core.podspec.projected import downward_files, key_paths, projected
from pilothouse.api.kinds.core.podspec.templatemeta import template_metadata
from pilothouse.api.kinds.storage.parameters import driver_name
from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from pilothouse.api.kinds.core.podspec.leniency import Leniency

_MORE_THAN_ONE: Final = "may not specify more than 1 volume type"
_INITIATORS: Final = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)\Z", re.ASCII).search,
    "eui": re.compile(r"eui.[A-Za-z0-9]{16}\Z").match,
    "naa": re.compile(r"naa.[A-Za-z0-9]{32}\Z").match,
}
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_PORTAL_MAX: Final = 64


def pull_policy(policy: str | None, path: str) -> ErrorList:
    return forms.supported(policy, path, *_PULL_POLICIES) if policy else [field.required(path)]


def volumes(spec: Obj, pod_metadata: Obj | None, path: str, lenient: Leniency) -> tuple[dict[str, Obj], ErrorList]:
    """The valid ones by name, and what is wrong with the others. `pod_metadata`: of a pod, None in a template."""
    found: ErrorList = []
    valid: dict[str, Obj] = {}
    pod = (pod_metadata or {}).get("name") or ""
    values = spec.get("volumes") or ()
    created = {f"{pod}-{v.get('name') or ''}" for v in values if pod and v.get("ephemeral") is not None}
    for i, volume in enumerate(values):
        at, name = f"{path}[{i}]", volume.get("name") or ""
        wrong = _source(volume, name, pod, at, lenient)
        wrong += forms.label(name, f"{at}.name") if name else [field.required(f"{at}.name")]
        if name in valid:
            wrong.append(field.duplicate(f"{at}.name", name))
        if wrong:
            found += wrong
        else:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in created:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            found.append(field.invalid(f"{at}.persistentVolumeClaim.claimName", claim, detail))
    return valid, found


def _source(volume: Obj, name: str, pod: str, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    count = 0
    for kind, refused, own, rule in _SOURCES:
        source = volume.get(kind)
        if source is None:
            continue
        if count:
            found.append(field.forbidden(f"{path}.{refused}", _MORE_THAN_ONE))
        else:
            count = 1
            found += rule(source, f"{path}.{own}", lenient)
            if kind == "ephemeral" and pod and name:
                claim = f"{pod}-{name}"
                details = names.dns1123_subdomain(claim)
                found += [field.invalid(f"{path}.name", name, f"PVC name {quote(claim)}: {d}") for d in details]
        if kind == "iscsi" and source.get("initiatorName") is not None:
            found += _portal(source, name, path)
    if not count:
        found.append(field.required(path, "must specify a volume type"))
    return found


def _portal(source: Obj, volume: str, path: str) -> ErrorList:
    if len(f"{volume}:{source.get('targetPortal') or ''}".encode()) <= _PORTAL_MAX:
        return []
    detail = (
        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
        "if iscsi.initiatorName is specified."
    )
    return [field.invalid(f"{path}.name", volume, detail)]


def _empty_dir(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    limit, mode = source.get("sizeLimit"), source.get("mode")
    if limit is not None and compare(limit, "0") < 0:
        found.append(field.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))
    if mode is not None and not 0 <= mode <= 0o1777:
        detail = "must be a number between 0 and 01777 (octal), both inclusive"
        found.append(field.invalid(f"{path}.mode", mode, detail))
    return found


def _git_repo(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    found = forms.all_required(source, path, "repository")
    return found + forms.descending(source.get("directory") or "", f"{path}.directory")


def _files(source: Obj, path: str, name: str) -> ErrorList:
    found = forms.all_required(source, path, name)
    found += forms.file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    found += forms.user_id(source.get("defaultUser"), f"{path}.defaultUser")
    return found + key_paths(source.get("items"), f"{path}.items")


def _downward(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    found = forms.file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    found += forms.user_id(source.get("defaultUser"), f"{path}.defaultUser")
    return found + downward_files(source.get("items"), path)


def _iscsi(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    found = forms.all_required(source, path, "targetPortal")
    name, initiator, lun = source.get("iqn") or "", source.get("initiatorName"), source.get("lun") or 0
    if name:
        found += _initiator(name, f"{path}.iqn")
    else:
        found.append(field.required(f"{path}.iqn"))
    if not 0 <= lun <= 255:
        found.append(field.invalid(f"{path}.lun", lun, names.in_range(0, 255)))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        found.append(field.required(f"{path}.secretRef"))
    return found if initiator is None else found + _initiator(initiator, f"{path}.initiatorname")


def _initiator(text: str, path: str) -> ErrorList:
    matches = _INITIATORS.get(text[:3])
    if matches is None:
        return [field.invalid(path, text, "must be valid format starting with iqn, eui, or naa")]
    return [] if matches(text) else [field.invalid(path, text, "must be valid format")]


def _cinder(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    return forms.all_required(source, path, "volumeID") + _secret_name(source, path)


def _secret_name(source: Obj, path: str) -> ErrorList:
    secret = source.get("secretRef")
    return [] if secret is None else forms.all_required(secret, f"{path}.secretRef", "name")


def _storage_os(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    found += forms.label(name, f"{path}.volumeName") if name else [field.required(f"{path}.volumeName")]
    if namespace:
        found += forms.label(namespace, f"{path}.volumeNamespace")
    return found + _secret_name(source, path)


def _csi(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    found = driver_name(source.get("driver") or "", f"{path}.driver")
    secret = source.get("nodePublishSecretRef")
    if secret is None:
        return found
    name = secret.get("name") or ""
    if not name:
        return [*found, field.required(f"{path}.nodePublishSecretRef.name")]
    return found + forms.subdomain(name, f"{path}.name")


def _ephemeral(source: Obj, path: str, _lenient: Leniency) -> ErrorList:
    claim, at = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if claim is None:
        return [field.required(at)]
    found = template_metadata(claim.get("metadata") or {}, f"{at}.metadata")
    return found + claim_spec(claim.get("spec") or {}, f"{at}.spec")


def _image(source: Obj, path: str, lenient: Leniency) -> ErrorList:
    found = [] if lenient.empty_image_volumes else forms.all_required(source, path, "reference")
    return found + pull_policy(source.get("pullPolicy"), f"{path}.pullPolicy")


_Rule = Callable[[Obj, str, "Leniency"], ErrorList]


def _plain(rule: Callable[[Obj, str], ErrorList]) -> _Rule:
    return lambda source, path, _lenient: rule(source, path)


def _wants(*wanted: str) -> _Rule:
    return lambda source, path, _lenient: forms.all_required(source, path, *wanted)


def _row(name: str, rule: _Rule, refused: str = "", own: str = "") -> tuple[str, str, str, _Rule]:
    return name, refused or name, own or name, rule


# (field, its path where a second type is refused, its path in the type's own errors, rule), in upstream's order.
_SOURCES: Final = (
    _row("emptyDir", _empty_dir),
    _row("hostPath", _plain(shared.host_path)),
    _row("gitRepo", _git_repo),
    _row("gcePersistentDisk", _plain(shared.gce_persistent_disk), own="persistentDisk"),
    _row("awsElasticBlockStore", _plain(shared.aws_elastic_block_store)),
    _row("secret", lambda source, path, _lenient: _files(source, path, "secretName")),
    _row("nfs", _plain(shared.nfs)),
    _row("iscsi", _iscsi),
    _row("glusterfs", _wants("endpoints", "path")),
    _row("flocker", _plain(shared.flocker)),
    _row("persistentVolumeClaim", _wants("claimName")),
    _row("rbd", _wants("monitors", "image")),
    _row("cinder", _cinder),
    _row("cephfs", _wants("monitors"), refused="cephFS"),
    _row("quobyte", _plain(shared.quobyte)),
    _row("downwardAPI", _downward, refused="downwarAPI"),
    _row("fc", _plain(shared.fc)),
    _row("flexVolume", _plain(shared.flex)),
    _row("configMap", lambda source, path, _lenient: _files(source, path, "name")),
    _row("azureFile", _wants("secretName", "shareName")),
    _row("vsphereVolume", _plain(shared.vsphere)),
    _row("photonPersistentDisk", _plain(shared.photon)),
    _row("portworxVolume", _plain(shared.portworx)),
    _row("azureDisk", _plain(shared.azure_disk)),
    _row("storageos", _storage_os),
    _row("projected", projected),
    _row("scaleIO", _plain(shared.scale_io)),
    _row("csi", _csi),
    _row("ephemeral", _ephemeral),
    _row("image", _image),
)
