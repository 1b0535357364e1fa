"""The fields of pods that stand behind feature gates.

Source: upstream's pkg/api/pod (DropDisabledPodFields, DropDisabledTemplateFields, dropDisabledPodStatusFields).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilothouse.api import gates
from pilothouse.api.kinds.common.gated import Gated, Places, drop, fields, in_use
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.objects import Obj

_OLD_ANNOTATIONS: Final = (
    "pod.beta.kubernetes.io/init-containers",
    "pod.alpha.kubernetes.io/init-containers",
    "pod.beta.kubernetes.io/init-container-statuses",
    "pod.alpha.kubernetes.io/init-container-statuses",
)
_STATUSES: Final = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_FILES: Final = ("secret", "configMap", "downwardAPI")
_VOLUMES: Final = ("secret", "configMap", "downwardAPI", "projected")
_PROJECTIONS: Final = (
    "secret", "downwardAPI", "configMap", "serviceAccountToken", "clusterTrustBundle", "podCertificate",
)  # fmt: skip
_HTTP: Final = (*containers.PROBES, *(f"lifecycle.{hook}" for hook in containers.HOOKS))


def _each(among: tuple[str, ...], *paths: str) -> Places:
    return fields(*(f"{name}.{path}" for name in among for path in paths))


def _restart_rules(spec: Obj) -> Iterator[tuple[Obj, str]]:
    """A sidecar's policy is older than the rules."""
    for container in containers.every(spec):
        yield container, "restartPolicyRules"
    for container in containers.every(spec, "containers", "ephemeralContainers"):
        yield container, "restartPolicy"
    for container in containers.every(spec, "initContainers"):
        if not containers.is_restartable(container):
            yield container, "restartPolicy"


def _file_users(spec: Obj) -> Iterator[tuple[Obj, str]]:
    """Of a volume with several sources, which is refused later, upstream looks at the first alone."""
    for volume in spec.get("volumes") or ():
        name = next((n for n in _VOLUMES if volume.get(n) is not None), "")
        if not name:
            continue
        yield volume[name], "defaultUser"
        yield from _item_users(volume[name])
        for projection in volume[name].get("sources") or () if name == "projected" else ():
            inner = next((n for n in _PROJECTIONS if projection.get(n) is not None), "")
            if inner in _FILES:
                yield from _item_users(projection[inner])
            elif inner:
                yield projection[inner], "user"


def _item_users(source: Obj) -> Iterator[tuple[Obj, str]]:
    for item in source.get("items") or ():
        yield item, "user"


_SPEC: Final = (
    Gated("PodLevelResources", fields("resources")),
    Gated("MatchLabelKeysInPodTopologySpread", fields("topologySpreadConstraints.matchLabelKeys")),
    Gated("ClusterTrustBundleProjection", fields("volumes.projected.sources.clusterTrustBundle")),
    Gated("PodCertificateRequest", fields("volumes.projected.sources.podCertificate")),
    Gated("AtomicWriteVolumeUserFields", _file_users),
    Gated("GenericWorkload", fields("schedulingGroup")),
    Gated("GRPCContainerProbeTLS", _each(containers.FIELDS, *(f"{probe}.grpc.mode" for probe in containers.PROBES))),
    Gated("EvictionRequestAPI", fields("evictionResponders")),
    Gated("ContainerRestartRules", _restart_rules),
    Gated("EmptyDirVolumeMode", fields("volumes.emptyDir.mode")),
    Gated("VolumeBindMountOptions", _each(containers.FIELDS, "volumeMounts.bindMountOptions")),
    Gated("EnvFiles", _each(containers.FIELDS, "env.valueFrom.fileKeyRef")),
    Gated("H2CContainerProbe", _each(containers.FIELDS, *(f"{handler}.httpGet.protocol" for handler in _HTTP))),
)
_STATUS: Final = (
    Gated("InPlacePodLevelResourcesVerticalScaling", fields("resources", "allocatedResources")),
    Gated("ResourceHealthStatus", _each(_STATUSES, "allocatedResourcesStatus")),
    Gated("ResourceHealthStatusMessage", _each(_STATUSES, "allocatedResourcesStatus.resources.message")),
    Gated("ImageVolumeWithDigest", _each(_STATUSES, "volumeMounts.volumeStatus")),
    Gated("DRANodeAllocatableResources", fields("nodeAllocatableResourceClaimStatuses")),
    Gated("CSIVolumeHealth", fields("volumeHealth")),
)
_stop_signals: Final = _each(containers.FIELDS, "lifecycle.stopSignal")


def drop_disabled(spec: Obj | None, metadata: Obj | None, old_spec: Obj | None) -> None:
    """Changes spec and its metadata's annotations; `old_spec` is that of the stored object, None on create."""
    annotations = (metadata or {}).get("annotations")
    if annotations:
        for name in _OLD_ANNOTATIONS:
            annotations.pop(name, None)
    if not spec:
        return
    drop(_SPEC, spec, old_spec)
    if not gates.is_open("ContainerStopSignals") and not in_use(_stop_signals, old_spec):
        _drop_stop_signals(spec)


def _drop_stop_signals(spec: Obj) -> None:
    """A lifecycle that only had a signal goes with it."""
    for container in containers.every(spec):
        lifecycle = container.get("lifecycle") or {}
        if lifecycle.get("stopSignal") is not None:
            del lifecycle["stopSignal"]
            if not any(v is not None for v in lifecycle.values()):
                del container["lifecycle"]


def drop_disabled_template(template: Obj | None, old: Obj | None) -> None:
    """The same of a pod template."""
    if template is not None:
        drop_disabled(template.get("spec"), template.get("metadata"), (old or {}).get("spec"))


def drop_disabled_status(status: Obj, old: Obj) -> None:
    """Changes a pod's status."""
    drop(_STATUS, status, old)
