"""Fields of features that upstream 1.37 leaves off: dropped, unless the stored object has them already.

Source: upstream's pkg/api/pod (DropDisabledPodFields) and pkg/features. One entry a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.objects import Obj

_Place = tuple[Obj, str]
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


class _Feature(NamedTuple):
    places: Callable[[Obj], Iterator[_Place]]
    """(holder, field) of every place where the feature can stand."""


def _scheduling_group(spec: Obj) -> Iterator[_Place]:
    yield spec, "schedulingGroup"


def _eviction_responders(spec: Obj) -> Iterator[_Place]:
    yield spec, "evictionResponders"


def _grpc_tls(spec: Obj) -> Iterator[_Place]:
    for container in containers.every(spec):
        for action in containers.grpc_actions(container):
            yield action, "mode"


def _http_protocol(spec: Obj) -> Iterator[_Place]:
    for container in containers.every(spec):
        for action in containers.http_actions(container):
            yield action, "protocol"


def _empty_dir_mode(spec: Obj) -> Iterator[_Place]:
    for volume in spec.get("volumes") or ():
        if volume.get("emptyDir"):
            yield volume["emptyDir"], "mode"


def _bind_mount_options(spec: Obj) -> Iterator[_Place]:
    for container in containers.every(spec):
        for mount in container.get("volumeMounts") or ():
            yield mount, "bindMountOptions"


def _file_users(spec: Obj) -> Iterator[_Place]:
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


def _item_users(source: Obj) -> Iterator[_Place]:
    for item in source.get("items") or ():
        yield item, "user"


_FEATURES: Final = tuple(
    map(
        _Feature,
        (
            _scheduling_group, _eviction_responders, _grpc_tls, _http_protocol, _empty_dir_mode, _bind_mount_options,
            _file_users,
        ),
    )
)  # fmt: skip


def drop_disabled(spec: Obj | None, metadata: Obj | None, old_spec: Obj | None) -> None:
    """Changes spec and its metadata's annotations; `old_spec` is that of the stored object, None on create."""
    annotations = (metadata or {}).get("annotations")
    if annotations:
        for name in _OLD_ANNOTATIONS:
            annotations.pop(name, None)
    if not spec:
        return
    for feature in _FEATURES:
        used = [place for place in feature.places(spec) if place[0].get(place[1]) is not None]
        if used and not _in_use(feature, old_spec):
            for holder, name in used:
                del holder[name]
    _drop_stop_signals(spec, old_spec)


def _in_use(feature: _Feature, spec: Obj | None) -> bool:
    return spec is not None and any(holder.get(name) is not None for holder, name in feature.places(spec))


def _drop_stop_signals(spec: Obj, old_spec: Obj | None) -> None:
    """A lifecycle that only had a signal goes with it."""

    def holders(of: Obj) -> Iterator[Obj]:
        for container in containers.every(of):
            if (container.get("lifecycle") or {}).get("stopSignal") is not None:
                yield container

    if old_spec is not None and any(holders(old_spec)):
        return
    for container in holders(spec):
        del container["lifecycle"]["stopSignal"]
        if not any(v is not None for v in container["lifecycle"].values()):
            del container["lifecycle"]


def drop_disabled_template(template: Obj | None, old: Obj | None) -> None:
    """The same of a pod template."""
    if template is not None:
        drop_disabled(template.get("spec"), template.get("metadata"), (old or {}).get("spec"))


def drop_disabled_status(status: Obj, old: Obj) -> None:
    """Changes a pod's status."""
    digests = [m for m in _mounts(status) if m.get("volumeStatus") is not None]
    if digests and not any(m.get("volumeStatus") is not None for m in _mounts(old)):
        for mount in digests:
            del mount["volumeStatus"]
    for name in ("nodeAllocatableResourceClaimStatuses", "volumeHealth"):
        if not old.get(name):
            status.pop(name, None)


def _mounts(status: Obj) -> Iterator[Obj]:
    for name in _STATUSES:
        for container in status.get(name) or ():
            yield from container.get("volumeMounts") or ()
