"""PodResizeValidator: a running pod can only be resized to what its node could hold (KEP-1287)."""

from __future__ import annotations

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get
from pilothouse.api.podrequests import of_pod
from pilothouse.api.quantity import Quantity
from pilothouse.apiserver.admission.plugin import PODS, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest


class PodResizeValidator(Plugin):
    name = "PodResizeValidator"
    resources = frozenset({PODS})
    subresources = frozenset({"resize"})
    operations = frozenset({"UPDATE"})

    async def validate(self, request: AdmissionRequest) -> None:
        new, old = request.obj, request.old
        node_name = get(new, "spec", "nodeName", default="")
        if new is None or old is None or not node_name:
            return
        if new["metadata"].get("generation") == old["metadata"].get("generation"):
            return
        node = self.objects.get("", "nodes", "", node_name)
        if node is None:
            raise forbidden(request, f'node "{node_name}" not found')
        system = get(node, "metadata", "labels", "kubernetes.io/os", default="linux")
        if system != "linux":
            why = f'pod resize is only supported on linux nodes, node "{node_name}" is "{system}"'
            raise _caused(request, why, "UnsupportedPlatform")
        over = _over(new, get(node, "status", "allocatable", default={}))
        if over:
            why = f"node didn't have enough allocatable resources: {over}"
            raise _caused(request, why, "NodeCapacity")


def _caused(request: AdmissionRequest, why: str, reason: str) -> StatusError:
    error = forbidden(request, why)
    error.details = {**(error.details or {}), "causes": [{"reason": reason}]}
    return error


def _over(pod: Obj, allocatable: Obj) -> str:
    requests = of_pod(pod["spec"], "requests")
    found = []
    for name, exponent in (("cpu", -3), ("memory", 0)):
        wanted = requests.get(name, Quantity.parse("0"))
        present = Quantity.parse(str(allocatable.get(name, "0")))
        if wanted.amount > present.amount:
            found.append(f"{name}, requested: {wanted.scaled(exponent)}, allocatable: {present.scaled(exponent)}")
    return "; ".join(found)
