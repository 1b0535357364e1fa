"""PodTopologyLabels: a bound pod carries its node's zone and region (KEP-4742)."""

from __future__ import annotations

from pilothouse.api import gates
from pilothouse.api.objects import get
from pilothouse.apiserver.admission.plugin import CREATE, PODS, Plugin
from pilothouse.apiserver.contracts import AdmissionRequest

_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    name = "PodTopologyLabels"
    resources = frozenset({PODS})
    subresources = frozenset({"", "binding"})
    operations = CREATE

    async def mutate(self, request: AdmissionRequest) -> None:
        obj = request.obj
        if obj is None or not gates.is_open("PodTopologyLabelsAdmission"):
            return
        if request.subresource:
            target = obj.get("target") or {}
            node = target.get("name", "") if target.get("kind") == "Node" else ""
        else:
            node = get(obj, "spec", "nodeName", default="")
        found = self.objects.get("", "nodes", "", node) if node else None
        if found is None:
            return
        labels = found["metadata"].get("labels") or {}
        copied = {name: labels[name] for name in _LABELS if name in labels}
        if copied:
            meta = obj.setdefault("metadata", {})
            meta["labels"] = {**(meta.get("labels") or {}), **copied}
