"""DefaultIngressClass: an Ingress that names no class gets the default one."""

from __future__ import annotations

from pilothouse.apiserver.admission.plugin import CREATE, Plugin
from pilothouse.apiserver.admission.storage import newest_default
from pilothouse.apiserver.contracts import AdmissionRequest

_GROUP = "networking.k8s.io"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    resources = frozenset({(_GROUP, "ingresses")})
    operations = CREATE

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        annotations = request.obj["metadata"].get("annotations") or {}
        if spec.get("ingressClassName") is not None or "kubernetes.io/ingress.class" in annotations:
            return
        classes = self.objects.list(_GROUP, "ingressclasses")
        default = newest_default(classes, ("ingressclass.kubernetes.io/is-default-class",))
        if default:
            spec["ingressClassName"] = default
