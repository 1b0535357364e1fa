"""DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable, unless it says otherwise."""

from __future__ import annotations

from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, PODS, Plugin
from pilothouse.apiserver.contracts import AdmissionRequest

_TOLERATION_S = 300
_KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    resources = frozenset({PODS})
    operations = CREATE_UPDATE

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        spec = request.obj["spec"]
        present = spec.get("tolerations") or []
        missing = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_S}
            for key in _KEYS
            if not any(t.get("key") in (None, "", key) and t.get("effect") in (None, "", "NoExecute") for t in present)
        ]
        if missing:
            spec["tolerations"] = [*present, *missing]
