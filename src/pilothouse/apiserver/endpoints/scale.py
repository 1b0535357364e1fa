"""scale: how many replicas a workload should have and has, as autoscaling/v1 Scale.

Source: upstream's registry/apps/*/storage and registry/core/replicationcontroller/storage (scaleFrom…, scaleUpdatedObjectInfo).
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import errors, field
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import SubresourceStrategy

_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
API_VERSION: Final = "autoscaling/v1"


def selector_text(selector: Any) -> str:
    """A LabelSelector in the one-line form: requirements in order of their keys."""
    if not isinstance(selector, dict):
        return ""
    found = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, values = one.get("key", ""), ",".join(sorted(one.get("values") or ()))
        match one.get("operator"):
            case "In":
                found.append((key, f"{key} in ({values})"))
            case "NotIn":
                found.append((key, f"{key} notin ({values})"))
            case "Exists":
                found.append((key, key))
            case _:
                found.append((key, f"!{key}"))
    return ",".join(text for _, text in sorted(found, key=lambda f: f[0]))


def make(obj: Obj, selector: str) -> Obj:
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    shown: Obj = {"replicas": status.get("replicas", 0)}
    if selector:
        shown["selector"] = selector
    replicas = spec.get("replicas")
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {name: meta[name] for name in _METADATA if name in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": shown,
    }


def _read(obj: Obj) -> Obj:
    return make(obj, selector_text((obj.get("spec") or {}).get("selector")))


def _read_controller(obj: Obj) -> Obj:
    selector = (obj.get("spec") or {}).get("selector") or {}
    return make(obj, ",".join(f"{key}={value}" for key, value in sorted(selector.items())))


def wanted(scale: Obj) -> int:
    """The replicas that a Scale asks for. Raises 422 for fewer than none."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        error = field.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("autoscaling", "Scale", scale["metadata"].get("name", ""), [error])
    return int(replicas)


def _strategy(group: str, resource: str, *, controller: bool = False) -> SubresourceStrategy:
    def write(obj: Obj, scale: Obj) -> None:
        replicas = wanted(scale)
        meta, sent = obj["metadata"], scale["metadata"]
        if sent.get("uid") and sent["uid"] != meta.get("uid"):
            prefix = "controllers" if controller else resource
            why = (
                f"StorageError: invalid object, Code: 4, Key: /registry/{prefix}/{meta['namespace']}/{meta['name']}, "
                f"ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {sent['uid']}, "
                f"UID in object meta: {meta.get('uid', '')}"
            )
            raise errors.conflict(group, resource, meta["name"], why)
        obj["spec"] = {**(obj.get("spec") or {}), "replicas": replicas}
        meta["resourceVersion"] = sent.get("resourceVersion", "")

    return SubresourceStrategy(
        read=_read_controller if controller else _read, write=write, moved_fields=("spec.replicas", "spec.replicas")
    )


REPLICATION_CONTROLLER: Final = _strategy("", "replicationcontrollers", controller=True)
DEPLOYMENT: Final = _strategy("apps", "deployments")
REPLICA_SET: Final = _strategy("apps", "replicasets")
STATEFUL_SET: Final = _strategy("apps", "statefulsets")
