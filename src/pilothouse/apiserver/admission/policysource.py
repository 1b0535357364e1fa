"""The policies of a kind with their bindings, as they are now. What is derived from them is kept until one of them changes."""

from __future__ import annotations

from pilothouse.api.objects import Obj
from pilothouse.apiserver.admission import criteria
from pilothouse.apiserver.admission.plugin import Cluster


class PolicySource:
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
