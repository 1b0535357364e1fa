"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy as plugins. What judges requests is imported with the first policy, for
CEL is no small thing.
"""

from __future__ import annotations

from pilothouse.api.objects import Obj
from pilothouse.apiserver.admission import criteria
from pilothouse.apiserver.admission.plugin import Cluster, Plugin
from pilothouse.apiserver.contracts import AdmissionRequest


class _Source:
    def __init__(self, cluster: Cluster, policies: str, bindings: str) -> None:
        self._objects, self._names = cluster.objects, (policies, bindings)
        self._at: tuple[int, ...] = (-1,)
        self._found: list[tuple[Obj, list[Obj]]] = []

    def hooks(self) -> list[tuple[Obj, list[Obj]]]:
        """(policy, its bindings), by name; policies that no binding names are left out."""
        at = tuple(self._objects.changed_at(criteria.GROUP, name) for name in self._names)
        if at != self._at:
            policies, bindings = (self._objects.list(criteria.GROUP, name) for name in self._names)
            by_policy: dict[str, list[Obj]] = {}
            for binding in criteria.sorted_by_name(bindings):
                by_policy.setdefault(binding["spec"].get("policyName") or "", []).append(binding)
            named = criteria.sorted_by_name(policies)
            self._found = [(p, b) for p in named if (b := by_policy.get(p["metadata"]["name"]))]
            self._at = at
        return self._found


class _Policies(Plugin):
    subresources = None
    operations = None
    kind: str

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._source = _Source(cluster, f"{self.kind}policies", f"{self.kind}policybindings")

    def hooks(self, request: AdmissionRequest) -> list[tuple[Obj, list[Obj]]]:
        """The policies that may have something to say of the request."""
        hooks = self._source.hooks()
        return [] if not hooks or criteria.is_exempt(request) else hooks


class ValidatingAdmissionPolicy(_Policies):
    name = "ValidatingAdmissionPolicy"
    kind = "validatingadmission"

    async def validate(self, request: AdmissionRequest) -> None:
        hooks = self.hooks(request)
        if hooks:
            from pilothouse.apiserver.admission.validatingpolicies import judge

            await judge(self.cluster, request, hooks)


class MutatingAdmissionPolicy(_Policies):
    name = "MutatingAdmissionPolicy"
    kind = "mutatingadmission"

    async def mutate(self, request: AdmissionRequest) -> None:
        hooks = self.hooks(request)
        if hooks:
            from pilothouse.apiserver.admission.mutatingpolicies import change

            await change(self.cluster, request, hooks)
