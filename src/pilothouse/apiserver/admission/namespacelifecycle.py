"""NamespaceLifecycle: nothing is created where there is no namespace, or in one that is ending; some may not end.

Source: upstream's documentation "Admission Controllers in Kubernetes".
"""

from __future__ import annotations

from pilothouse.api.errors import not_found
from pilothouse.api.objects import get
from pilothouse.apiserver.admission.plugin import Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest

_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_NAMESPACES = ("", "namespaces")
_ACCESS_REVIEW = ("authorization.k8s.io", "localsubjectaccessreviews")


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"
    subresources = None
    operations = frozenset({"CREATE", "DELETE"})

    async def mutate(self, request: AdmissionRequest) -> None:
        gvr = request.gvr
        resource = (gvr.group, gvr.resource)
        if resource == _NAMESPACES:
            if request.operation == "DELETE" and request.name in _IMMORTAL:
                raise forbidden(request, "this namespace may not be deleted")
            return
        if not request.namespace or request.operation == "DELETE" or resource == _ACCESS_REVIEW:
            return
        namespace = self.objects.get("", "namespaces", "", request.namespace)
        if namespace is None:
            namespace = await self.objects.get_live("", "namespaces", "", request.namespace)
        if namespace is None:
            raise not_found("", "namespaces", request.namespace)
        if get(namespace, "status", "phase") == "Terminating":
            where = f"namespace {request.namespace}"
            error = forbidden(request, f"unable to create new content in {where} because it is being terminated")
            cause = {
                "reason": "NamespaceTerminating", "message": f"{where} is being terminated", "field": "metadata.namespace",
            }  # fmt: skip
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error
