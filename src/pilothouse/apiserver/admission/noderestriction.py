"""NodeRestriction: a kubelet writes only its own node and the pods on it.

Source: upstream's documentation "Admission Controllers in Kubernetes", and plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from pilothouse.api.errors import not_found
from pilothouse.api.objects import Obj, get, meta
from pilothouse.apiserver.admission.certificates import subject_of
from pilothouse.apiserver.admission.plugin import PODS, Plugin, forbidden
from pilothouse.apiserver.authorization.node import claim_names, config_map_names, node_of, secret_names
from pilothouse.apiserver.contracts import AdmissionRequest, Attributes

_MIRROR = "kubernetes.io/config.mirror"
_SET_BY_KUBELET: Final = frozenset({
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "kubernetes.io/os", "kubernetes.io/arch",
    "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
})  # fmt: skip
_KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESTRICTED_DOMAIN = "node-restriction.kubernetes.io"
_KUBELET_SIGNERS = frozenset({"kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"})
_OWN_LEASE = "can only access node lease with the same name as the requesting node"
_OWN_CSI_NODE = "can only access CSINode with the same name as the requesting node"


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    subresources = None
    operations = frozenset({"CREATE", "UPDATE", "DELETE"})

    async def mutate(self, request: AdmissionRequest) -> None:
        node = node_of(request.user)
        if node is None:
            return
        if not node:
            raise forbidden(request, f'could not determine node from user "{request.user.name}"')
        judge = _JUDGES.get((request.gvr.group, request.gvr.resource))
        if judge is not None:
            why = await judge(self, node, request)
            if why:
                raise forbidden(request, why)

    # Each says why not; empty where nothing is against it.

    async def _pod(self, node: str, request: AdmissionRequest) -> str:
        if request.subresource == "status":
            return self._pod_status(node, request)
        if request.subresource == "eviction":
            name = request.name or meta(request.obj or {}).get("name", "")
            pod = await self._present_pod(request, name)
            on = get(pod, "spec", "nodeName")
            return "" if on == node else f"node {node} can only evict pods with spec.nodeName set to itself"
        if request.subresource:
            return f"unexpected pod subresource \"{request.subresource}\", only 'status' and 'eviction' are allowed"
        if request.operation == "CREATE":
            return await self._mirror_pod(node, request.obj or {})
        if request.operation == "DELETE":
            pod = await self._present_pod(request, request.name)
            on = get(pod, "spec", "nodeName")
            return "" if on == node else f'node "{node}" can only delete pods with spec.nodeName set to itself'
        return f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods'

    async def _present_pod(self, request: AdmissionRequest, name: str) -> Obj:
        pod = self.objects.get(*PODS, request.namespace, name)
        if pod is None:
            raise not_found("", "pods", name)
        return pod

    async def _mirror_pod(self, node: str, pod: Obj) -> str:
        who = f'node "{node}"'
        if _MIRROR not in (meta(pod).get("annotations") or ()):
            return f'pod does not have "{_MIRROR}" annotation, {who} can only create mirror pods'
        if get(pod, "spec", "nodeName") != node:
            return f"{who} can only create pods with spec.nodeName set to itself"
        owners = meta(pod).get("ownerReferences") or []
        if len(owners) > 1:
            return f"{who} can only create pods with a single owner reference set to itself"
        own = {"apiVersion": "v1", "kind": "Node", "name": node}
        if not owners or any(owners[0].get(field) != value for field, value in own.items()):
            return f"{who} can only create pods with an owner reference set to itself"
        if not owners[0].get("controller"):
            return f"{who} can only create pods with a controller owner reference set to itself"
        if owners[0].get("blockOwnerDeletion"):
            return f"{who} must not set blockOwnerDeletion on an owner reference"
        present = self.objects.get("", "nodes", "", node)
        if present is None:
            raise not_found("", "nodes", node)
        uid = owners[0].get("uid", "")
        if uid != present["metadata"]["uid"]:
            return f"node {node} UID mismatch: expected {uid} got {present['metadata']['uid']}"
        referenced = _referenced(pod)
        return f"{who} can not create pods that reference {referenced}" if referenced else ""

    def _pod_status(self, node: str, request: AdmissionRequest) -> str:
        if request.operation != "UPDATE":
            return f'unexpected operation "{request.operation}"'
        new, old, who = request.obj or {}, request.old or {}, f'node "{node}"'
        if get(old, "spec", "nodeName") != node:
            return f"{who} can only update pod status for pods with spec.nodeName set to itself"
        if (meta(new).get("labels") or {}) != (meta(old).get("labels") or {}):
            return f"{who} cannot update labels through pod status"
        kept = {
            "resourceClaimStatuses": "resource claim statues",
            "extendedResourceClaimStatus": "extended resource claim status",
            "nodeAllocatableResourceClaimStatuses": "node allocatable resource claim statuses",
        }
        for field, what in kept.items():
            if (get(new, "status", field) or None) != (get(old, "status", field) or None):
                return f"{who} cannot update {what}"
        return ""

    async def _node(self, node: str, request: AdmissionRequest) -> str:
        name = request.name or meta(request.obj or {}).get("name", "")
        if name != node:
            return f'node "{node}" is not allowed to modify node "{name}"'
        new, old = request.obj or {}, request.old or {}
        labels, old_labels = meta(new).get("labels") or {}, meta(old).get("labels") or {}
        who = f'node "{node}"'
        if request.operation == "CREATE":
            forbidden_labels = _forbidden_labels(labels, {})
            listed = ", ".join(forbidden_labels)
            return f"{who} is not allowed to set the following labels: {listed}" if listed else ""
        if request.operation == "UPDATE":
            if (get(new, "spec", "taints") or []) != (get(old, "spec", "taints") or []):
                return f"{who} is not allowed to modify taints"
            if (meta(new).get("ownerReferences") or []) != (meta(old).get("ownerReferences") or []):
                return f"{who} is not allowed to modify ownerReferences"
            listed = ", ".join(_forbidden_labels(labels, old_labels))
            return f"is not allowed to modify labels: {listed}" if listed else ""
        return ""

    async def _claim(self, node: str, request: AdmissionRequest) -> str:
        if request.subresource != "status":
            return "may only update PVC status"
        if request.operation != "UPDATE":
            return f'unexpected operation "{request.operation}"'
        changed = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")

        def kept(claim: Obj) -> Obj:
            own = {k: v for k, v in meta(claim).items() if k not in ("resourceVersion", "managedFields")}
            status = {k: v for k, v in (claim.get("status") or {}).items() if k not in changed}
            return {**claim, "metadata": own, "status": status}

        if kept(request.obj or {}) != kept(request.old or {}):
            return f'node "{node}" is not allowed to update fields other than status.quantity and status.conditions'
        return ""

    async def _service_account(self, node: str, request: AdmissionRequest) -> str:
        if request.operation != "CREATE" or request.subresource != "token":
            return ""
        spec = (request.obj or {}).get("spec") or {}
        ref = spec.get("boundObjectRef") or {}
        if ref.get("apiVersion") != "v1" or ref.get("kind") != "Pod" or not ref.get("name"):
            return "node requested token not bound to a pod"
        if not ref.get("uid"):
            return "node requested token with a pod binding without a uid"
        pod = await self._present_pod(request, ref["name"])
        if ref["uid"] != pod["metadata"]["uid"]:
            return (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        if get(pod, "spec", "nodeName") != node:
            return "node requested token bound to a pod scheduled on a different node"
        return await self._audience(request, pod, spec.get("audiences") or [])

    async def _audience(self, request: AdmissionRequest, pod: Obj, audiences: list[str]) -> str:
        if len(audiences) > 1:
            return "node may only request 0 or 1 audiences"
        audience = audiences[0] if audiences else ""
        if audience in self._audiences(pod):
            return ""
        ask = Attributes(
            request.user, "request-serviceaccounts-token-audience", "", True, request.gvr.group, request.gvr.version,
            audience, "", request.namespace, request.name,
        )  # fmt: skip
        if (await self.cluster.authorizer.authorize(ask)).allowed:
            return ""
        return f'{request.user.name} is not authorized to request tokens for audience "{audience}"'

    def _audiences(self, pod: Obj) -> Iterator[str]:
        """Those that the pod's volumes ask for: projected tokens, and tokens for the drivers of its volumes."""
        for volume in get(pod, "spec", "volumes", default=[]):
            for source in get(volume, "projected", "sources", default=[]):
                if source.get("serviceAccountToken") is not None:
                    yield source["serviceAccountToken"].get("audience", "")
            driver = get(volume, "csi", "driver") or self._driver_of_claim(pod, volume)
            if driver:
                found = self.objects.get("storage.k8s.io", "csidrivers", "", driver)
                for wanted in get(found, "spec", "tokenRequests", default=[]):
                    yield wanted.get("audience", "")

    def _driver_of_claim(self, pod: Obj, volume: Obj) -> str:
        namespace = pod["metadata"]["namespace"]
        name = get(volume, "persistentVolumeClaim", "claimName", default="")
        if volume.get("ephemeral") is not None:
            name = f"{pod['metadata']['name']}-{volume['name']}"
        claim = self.objects.get("", "persistentvolumeclaims", namespace, name) if name else None
        bound = get(claim, "spec", "volumeName", default="")
        found = self.objects.get("", "persistentvolumes", "", bound) if bound else None
        return str(get(found, "spec", "csi", "driver", default=""))

    async def _lease(self, node: str, request: AdmissionRequest) -> str:
        if request.namespace != "kube-node-lease":
            return 'can only access leases in the "kube-node-lease" system namespace'
        return "" if self._written_name(request) == node else _OWN_LEASE

    async def _csi_node(self, node: str, request: AdmissionRequest) -> str:
        return "" if self._written_name(request) == node else _OWN_CSI_NODE

    def _written_name(self, request: AdmissionRequest) -> str:
        return str(meta(request.obj or {}).get("name", "") if request.operation == "CREATE" else request.name)

    async def _resource_slice(self, node: str, request: AdmissionRequest) -> str:
        for operation, obj in (("create", request.obj), ("delete", request.old)):
            if request.operation == operation.upper() and get(obj, "spec", "nodeName") != node:
                return f"can only {operation} ResourceSlice with the same NodeName as the requesting node"
        return ""

    async def _signing_request(self, node: str, request: AdmissionRequest) -> str:
        spec = (request.obj or {}).get("spec") or {}
        if request.operation != "CREATE" or spec.get("signerName") not in _KUBELET_SIGNERS:
            return ""
        try:
            name = subject_of(spec.get("request") or "")[0]
        except ValueError as error:
            return f"unable to parse csr: {error}"
        wanted = f"system:node:{node}"
        return "" if name == wanted else f"can only create a node CSR with CN={wanted}"


_JUDGES: Final[dict[tuple[str, str], Callable[[NodeRestriction, str, AdmissionRequest], Awaitable[str]]]] = {
    PODS: NodeRestriction._pod,
    ("", "nodes"): NodeRestriction._node,
    ("", "persistentvolumeclaims"): NodeRestriction._claim,
    ("", "serviceaccounts"): NodeRestriction._service_account,
    ("coordination.k8s.io", "leases"): NodeRestriction._lease,
    ("storage.k8s.io", "csinodes"): NodeRestriction._csi_node,
    ("resource.k8s.io", "resourceslices"): NodeRestriction._resource_slice,
    ("certificates.k8s.io", "certificatesigningrequests"): NodeRestriction._signing_request,
}


def _referenced(pod: Obj) -> str:
    """The first kind of object that the pod refers to; a mirror pod refers to none."""
    if get(pod, "spec", "serviceAccountName"):
        return "serviceaccounts"
    for names, what in ((secret_names, "secrets"), (config_map_names, "configmaps")):
        if any(names(pod)):
            return what
    if any(claim_names(pod)):
        return "persistentvolumeclaims"
    return "resourceclaims" if get(pod, "spec", "resourceClaims") else ""


def _forbidden_labels(new: dict[str, str], old: dict[str, str]) -> list[str]:
    changed = {k for k in new.keys() | old.keys() if new.get(k) != old.get(k)}
    return sorted(k for k in changed if _is_forbidden(k))


def _is_forbidden(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash:
        return False
    if _in(domain, _RESTRICTED_DOMAIN):
        return True
    if not (_in(domain, "kubernetes.io") or _in(domain, "k8s.io")):
        return False
    return label not in _SET_BY_KUBELET and not any(_in(domain, own) for own in _KUBELET_DOMAINS)


def _in(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)
