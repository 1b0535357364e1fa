"""What a pod, or a template of pods, is when it does not say.

Source: upstream's pkg/apis/core/v1/defaults.go. Each function changes its argument.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.kinds.common.quantities import round_list
from pilothouse.api.kinds.core.persistent_volume_claim import default_spec as default_claim_spec
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.kinds.core.podspec.images import pull_policy
from pilothouse.api.objects import Obj

_VOLUME_MODE: Final = 0o644
_TOKEN_SECONDS: Final = 3600
_GRACE_SECONDS: Final = 30
_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_STATUSES: Final = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


def _fill(target: Obj, **values: Any) -> None:
    """Sets what is absent or zero."""
    for name, value in values.items():
        if not target.get(name):
            target[name] = value


def _fill_absent(target: Obj, **values: Any) -> None:
    """Sets what is absent."""
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def template(value: Obj | None) -> None:
    """A pod template."""
    if value is not None:
        if value.get("spec") is None:
            value["spec"] = {}
        pod_spec(value["spec"])


def pod(obj: Obj) -> None:
    if obj.get("spec") is None:
        obj["spec"] = {}
    if obj.get("status") is None:
        obj["status"] = {}
    spec, status = obj["spec"], obj["status"]
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for container in containers.every(spec, "containers", "initContainers"):
        _requests(container)
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                _fill(port, hostPort=port.get("containerPort") or 0)
    _fill_absent(spec, enableServiceLinks=True)
    pod_spec(spec)
    _status(status)


def _requests(container: Obj) -> None:
    """Requests are the limits where nothing is said."""
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if limits:
        if resources.get("requests") is None:
            resources["requests"] = {}
        for name, amount in limits.items():
            resources["requests"].setdefault(name, amount)


def _status(status: Obj) -> None:
    """`podIP` is the first of `podIPs`; where they differ it is the one that counts."""
    ip, ips = status.get("podIP"), status.get("podIPs")
    if ip and (not ips or ips[0].get("ip") != ip):
        status["podIPs"] = [{"ip": ip}]
    elif not ip and ips:
        status["podIP"] = ips[0].get("ip") or ""
    for name in _STATUSES:
        for container in status.get(name) or ():
            round_list(container.get("allocatedResources"))
            _resources(container.get("resources"))
    round_list(status.get("allocatedResources"))
    _resources(status.get("resources"))


def _resources(resources: Obj | None) -> None:
    if resources:
        round_list(resources.get("limits"))
        round_list(resources.get("requests"))


def pod_spec(spec: Obj) -> None:
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec.get("serviceAccount") or ""
    spec["serviceAccount"] = spec["serviceAccountName"]
    if not spec["serviceAccount"]:
        del spec["serviceAccount"], spec["serviceAccountName"]
    _fill(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    _fill_absent(spec, terminationGracePeriodSeconds=_GRACE_SECONDS)
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    for volume in spec.get("volumes") or ():
        _volume(volume)
    for container in containers.every(spec):
        _container(container)
    round_list(spec.get("overhead"))
    _resources(spec.get("resources"))


def _container(container: Obj) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    _fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    for port in container.get("ports") or ():
        _fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source:
            _field_ref(source)
            if source.get("fileKeyRef") is not None:
                _fill_absent(source["fileKeyRef"], optional=False)
    _resources(container.get("resources"))
    for name in containers.PROBES:
        if container.get(name) is not None:
            _fill(container[name], **_PROBE)
    for action in containers.http_actions(container):
        _fill(action, path="/", scheme="HTTP")
    for action in containers.grpc_actions(container):
        _fill_absent(action, service="")


def _field_ref(source: Obj) -> None:
    if source.get("fieldRef") is not None:
        _fill(source["fieldRef"], apiVersion="v1")


def _volume(volume: Obj) -> None:
    if all(v is None for k, v in volume.items() if k != "name"):
        volume["emptyDir"] = {}
    for name in volume:
        source = volume[name]
        if isinstance(source, dict) and name in _SOURCES:
            _SOURCES[name](source)


def _image(source: Obj) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference") or "")


def _mode(source: Obj) -> None:
    _fill_absent(source, defaultMode=_VOLUME_MODE)


def _downward(source: Obj) -> None:
    _mode(source)
    for item in source.get("items") or ():
        _field_ref(item)


def _projected(source: Obj) -> None:
    _mode(source)
    for projection in source.get("sources") or ():
        for item in (projection.get("downwardAPI") or {}).get("items") or ():
            _field_ref(item)
        if projection.get("serviceAccountToken") is not None:
            _fill_absent(projection["serviceAccountToken"], expirationSeconds=_TOKEN_SECONDS)


def _ephemeral(source: Obj) -> None:
    claim = source.get("volumeClaimTemplate")
    if claim is not None:
        if claim.get("spec") is None:
            claim["spec"] = {}
        default_claim_spec(claim["spec"])


_SOURCES: Final[dict[str, Callable[[Obj], None]]] = {
    "hostPath": lambda s: _fill_absent(s, type=""),
    "image": _image,
    "secret": _mode,
    "configMap": _mode,
    "downwardAPI": _downward,
    "projected": _projected,
    "ephemeral": _ephemeral,
    "iscsi": lambda s: _fill(s, iscsiInterface="default"),
    "rbd": lambda s: _fill(s, pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": lambda s: _fill_absent(s, cachingMode="ReadWrite", fsType="ext4", readOnly=False, kind="Shared"),
    "scaleIO": lambda s: _fill(s, storageMode="ThinProvisioned", fsType="xfs"),
}
