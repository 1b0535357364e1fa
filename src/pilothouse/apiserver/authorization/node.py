"""The node authorizer: what a kubelet may see and do: what its own pods use.

Source: upstream's documentation "Using Node Authorization", and its reasons' texts. Where upstream keeps a graph of all pods,
a request's namespace is searched: everything that a node is refused or granted by it is namespaced, or names its claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.authorization.rules import Rule
from pilothouse.apiserver.contracts import Attributes, Decision, Objects

_PREFIX = "system:node:"
_ALLOW = Decision(True)
_NO = Decision(None)
_READ = frozenset({"get", "list", "watch"})
_OWN_OBJECT = frozenset({"get", "create", "update", "patch", "delete"})


def node_of(user: UserInfo) -> str | None:
    """The node that the user is; None for any other."""
    if not user.name.startswith(_PREFIX) or "system:nodes" not in user.groups:
        return None
    return user.name[len(_PREFIX) :]


def _no(reason: str) -> Decision:
    return Decision(None, reason)


class NodeAuthorizer:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def authorize(self, attributes: Attributes) -> Decision:
        node = node_of(attributes.user)
        if node is None:
            return _NO
        if not node:
            return _no(f'unknown node for user "{attributes.user.name}"')
        if attributes.resource_request:
            judge = _JUDGES.get((attributes.group, attributes.resource))
            if judge is not None:
                return judge(self, node, attributes)
        return _ALLOW if any(rule.allows(attributes) for rule in _node_rules()) else _NO

    # Reading what belongs to the node's pods

    def _related(self, node: str, a: Attributes) -> Decision:
        if not a.name:
            return _no("No Object name found")
        found = _RELATIONS[(a.group, a.resource)](self._objects, node, a.namespace, a.name)
        return _ALLOW if found else _no(f"no relationship found between node '{node}' and this object")

    def _get(self, node: str, a: Attributes) -> Decision:
        if a.verb != "get":
            return _no("can only get individual resources of this type")
        if a.subresource:
            return _no("cannot get subresource")
        return self._related(node, a)

    def _read_namespaced(self, node: str, a: Attributes) -> Decision:
        if a.verb not in _READ:
            return _no("can only read resources of this type")
        if a.subresource:
            return _no("cannot read subresource")
        if not a.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(node, a)

    def _claim(self, node: str, a: Attributes) -> Decision:
        if a.subresource != "status":
            return self._get(node, a)
        if a.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return self._related(node, a)

    def _service_account(self, node: str, a: Attributes) -> Decision:
        if a.verb == "get" and not a.subresource:
            return self._read_namespaced(node, a)
        if a.verb != "create" or not a.name:
            return _no("can only create tokens for individual service accounts")
        if a.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._related(node, a)

    # Objects of the node's own

    def _lease(self, node: str, a: Attributes) -> Decision:
        if a.verb not in _OWN_OBJECT:
            return _no("can only get, create, update, patch, or delete a node lease")
        if a.namespace != "kube-node-lease":
            return _no('can only access leases in the "kube-node-lease" system namespace')
        if a.verb != "create" and a.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOW

    def _csi_node(self, node: str, a: Attributes) -> Decision:
        if a.subresource:
            return _no("cannot authorize CSINode subresources")
        if a.verb not in _OWN_OBJECT:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if a.verb != "create" and a.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOW

    def _resource_slice(self, node: str, a: Attributes) -> Decision:
        if a.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if a.verb == "create":
            return _ALLOW
        if a.verb in ("get", "update", "patch", "delete"):
            return self._related(node, a)
        if a.verb in ("watch", "list", "deletecollection"):
            if _selects(a, "spec.nodeName", node):
                return _ALLOW
            return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _no(
            "only the following verbs are allowed for a ResourceSlice: "
            "get, watch, list, create, update, patch, delete, deletecollection"
        )

    def _certificate_request(self, node: str, a: Attributes) -> Decision:
        if a.subresource:
            return _no("nodes may not access the status subresource of PodCertificateRequests")
        if a.verb == "create":
            return _ALLOW
        if a.verb == "get":
            return self._related(node, a)
        if a.verb in ("list", "watch"):
            if _selects(a, "spec.nodeName", node):
                return _ALLOW
            return _no("can only list/watch podcertificaterequests with nodeName field selector")
        return _no(f"nodes may not {a.verb} podcertificaterequests")

    def _node(self, node: str, a: Attributes) -> Decision:
        if a.subresource == "status":
            return _ALLOW if a.verb in ("update", "patch") else _NO
        if a.subresource:
            return _NO
        if a.verb in ("create", "update", "patch"):
            return _ALLOW
        if a.verb in _READ:
            if a.name == node:
                return _ALLOW
            what = f"'{a.name}'" if a.name else "all nodes"
            return _no(f"node '{node}' cannot read {what}, only its own Node object")
        return _NO

    def _pod(self, node: str, a: Attributes) -> Decision:
        if a.subresource == "status":
            return _ALLOW if a.verb in ("update", "patch") else _NO
        if a.subresource == "eviction":
            return _ALLOW if a.verb == "create" else _NO
        if a.subresource:
            return _NO
        if a.verb == "get":
            return self._get(node, a)
        if a.verb in ("list", "watch"):
            if _selects(a, "spec.nodeName", node):
                return _ALLOW
            return (
                self._related(node, a) if a.name else _no("can only list/watch pods with spec.nodeName field selector")
            )
        return _ALLOW if a.verb in ("create", "delete") else _NO


_JUDGES: dict[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], Decision]] = {
    ("", "secrets"): NodeAuthorizer._read_namespaced,
    ("", "configmaps"): NodeAuthorizer._read_namespaced,
    ("", "persistentvolumeclaims"): NodeAuthorizer._claim,
    ("", "persistentvolumes"): NodeAuthorizer._get,
    ("resource.k8s.io", "resourceclaims"): NodeAuthorizer._get,
    ("storage.k8s.io", "volumeattachments"): NodeAuthorizer._get,
    ("", "serviceaccounts"): NodeAuthorizer._service_account,
    ("coordination.k8s.io", "leases"): NodeAuthorizer._lease,
    ("storage.k8s.io", "csinodes"): NodeAuthorizer._csi_node,
    ("resource.k8s.io", "resourceslices"): NodeAuthorizer._resource_slice,
    ("", "nodes"): NodeAuthorizer._node,
    ("", "pods"): NodeAuthorizer._pod,
    ("certificates.k8s.io", "podcertificaterequests"): NodeAuthorizer._certificate_request,
}


def _selects(a: Attributes, field: str, value: str) -> bool:
    """Whether the request's field selector lets through only what has the value."""
    for term in a.field_selector.split(","):
        name, _, wanted = term.partition("=")
        if name == field and wanted.removeprefix("=") == value:
            return True
    return False


@cache
def _node_rules() -> tuple[Rule, ...]:
    """The fixed rules for all that is not subdivided: those of the ClusterRole system:node, as this version has it."""
    from pilothouse.apiserver.bootstrap.desired import fixed

    role = next(d.obj for d in fixed() if d.resource == "clusterroles" and d.obj["metadata"]["name"] == "system:node")
    return tuple(Rule(rule) for rule in role["rules"])


# How objects belong to a node


def _pods(objects: Objects, node: str, namespace: str) -> Iterator[Obj]:
    """The node's pods of the namespace. A mirror pod, which a node makes itself, gives it nothing."""
    for pod in objects.list("", "pods", namespace):
        if pod["spec"].get("nodeName") == node and "kubernetes.io/config.mirror" not in (
            pod["metadata"].get("annotations") or ()
        ):
            yield pod


def _containers(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _environment(spec: Obj, from_: str, key: str) -> Iterator[str]:
    for container in _containers(spec):
        for source in container.get("envFrom") or ():
            yield get(source, from_, "name", default="")
        for variable in container.get("env") or ():
            yield get(variable, "valueFrom", key, "name", default="")


_SECRET_VOLUMES = (
    ("azureFile", "secretName"), ("cephfs", "secretRef", "name"), ("cinder", "secretRef", "name"),
    ("csi", "nodePublishSecretRef", "name"), ("flexVolume", "secretRef", "name"), ("iscsi", "secretRef", "name"),
    ("rbd", "secretRef", "name"), ("scaleIO", "secretRef", "name"), ("secret", "secretName"),
    ("storageos", "secretRef", "name"),
)  # fmt: skip


def secret_names(pod: Obj) -> Iterator[str]:
    spec = pod["spec"]
    for reference in spec.get("imagePullSecrets") or ():
        yield reference.get("name", "")
    yield from _environment(spec, "secretRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        for path in _SECRET_VOLUMES:
            yield get(volume, *path, default="")
        for source in get(volume, "projected", "sources", default=()):
            yield get(source, "secret", "name", default="")


def config_map_names(pod: Obj) -> Iterator[str]:
    spec = pod["spec"]
    yield from _environment(spec, "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or ():
        yield get(volume, "configMap", "name", default="")
        for source in get(volume, "projected", "sources", default=()):
            yield get(source, "configMap", "name", default="")


def claim_names(pod: Obj) -> Iterator[str]:
    for volume in pod["spec"].get("volumes") or ():
        yield get(volume, "persistentVolumeClaim", "claimName", default="")
        if volume.get("ephemeral") is not None:
            yield f"{pod['metadata']['name']}-{volume.get('name', '')}"


def resource_claim_names(pod: Obj) -> Iterator[str]:
    for claim in pod["spec"].get("resourceClaims") or ():
        yield claim.get("resourceClaimName") or ""
    for status in get(pod, "status", "resourceClaimStatuses", default=()):
        yield status.get("resourceClaimName") or ""
    yield get(pod, "status", "extendedResourceClaimStatus", "resourceClaimName", default="")


def _named_by(names: Callable[[Obj], Iterator[str]]) -> Callable[[Objects, str, str, str], bool]:
    def related(objects: Objects, node: str, namespace: str, name: str) -> bool:
        return any(name in names(pod) for pod in _pods(objects, node, namespace))

    return related


_uses_claim = _named_by(claim_names)
_VOLUME_SECRETS = (
    ("azureFile", "secretName", "secretNamespace"), ("cephfs", "secretRef"), ("cinder", "secretRef"),
    ("csi", "nodePublishSecretRef"), ("csi", "nodeStageSecretRef"), ("csi", "nodeExpandSecretRef"),
    ("flexVolume", "secretRef"), ("rbd", "secretRef"), ("scaleIO", "secretRef"), ("iscsi", "secretRef"),
    ("storageos", "secretRef"),
)  # fmt: skip


def _volume_secrets(volume: Obj) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the secrets that a kubelet needs for a persistent volume."""
    home = get(volume, "spec", "claimRef", "namespace", default="")
    for source, field, *rest in _VOLUME_SECRETS:
        reference = get(volume, "spec", source, field)
        if rest and reference:
            yield get(volume, "spec", source, rest[0], default=home), reference
        elif isinstance(reference, dict):
            yield reference.get("namespace") or home, reference.get("name", "")


def _uses_volume(objects: Objects, node: str, volume: Obj) -> bool:
    claim = get(volume, "spec", "claimRef", default={})
    return _uses_claim(objects, node, claim.get("namespace", ""), claim.get("name", ""))


def _volume(objects: Objects, node: str, namespace: str, name: str) -> bool:
    volume = objects.get("", "persistentvolumes", "", name)
    return volume is not None and _uses_volume(objects, node, volume)


_secret_of_pod = _named_by(secret_names)


def _secret(objects: Objects, node: str, namespace: str, name: str) -> bool:
    return _secret_of_pod(objects, node, namespace, name) or any(
        (namespace, name) in _volume_secrets(volume) and _uses_volume(objects, node, volume)
        for volume in objects.list("", "persistentvolumes")
    )


def _service_account_of(pod: Obj) -> Iterator[str]:
    yield pod["spec"].get("serviceAccountName", "")


def _pod_on(objects: Objects, node: str, namespace: str, name: str) -> bool:
    return bool(get(objects.get("", "pods", namespace, name), "spec", "nodeName") == node)


def _bound_by(group: str, resource: str) -> Callable[[Objects, str, str, str], bool]:
    def related(objects: Objects, node: str, namespace: str, name: str) -> bool:
        return bool(get(objects.get(group, resource, namespace, name), "spec", "nodeName") == node)

    return related


_RELATIONS: dict[tuple[str, str], Callable[[Objects, str, str, str], bool]] = {
    ("", "secrets"): _secret,
    ("", "configmaps"): _named_by(config_map_names),
    ("", "persistentvolumeclaims"): _uses_claim,
    ("", "persistentvolumes"): _volume,
    ("", "serviceaccounts"): _named_by(_service_account_of),
    ("", "pods"): _pod_on,
    ("resource.k8s.io", "resourceclaims"): _named_by(resource_claim_names),
    ("resource.k8s.io", "resourceslices"): _bound_by("resource.k8s.io", "resourceslices"),
    ("storage.k8s.io", "volumeattachments"): _bound_by("storage.k8s.io", "volumeattachments"),
    ("certificates.k8s.io", "podcertificaterequests"): _bound_by("certificates.k8s.io", "podcertificaterequests"),
}
