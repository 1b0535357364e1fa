"""TaintNodesByCondition: a new node takes no pods until it is known to be ready."""

from __future__ import annotations

from pilothouse.apiserver.admission.plugin import CREATE, Plugin
from pilothouse.apiserver.contracts import AdmissionRequest

_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    resources = frozenset({("", "nodes")})
    operations = CREATE

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        spec = request.obj.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(t.get("key") == _TAINT["key"] and t.get("effect") == _TAINT["effect"] for t in taints):
            spec["taints"] = [*taints, dict(_TAINT)]
