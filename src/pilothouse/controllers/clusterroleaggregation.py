"""ClusterRoles with an aggregation rule have the rules of all ClusterRoles that it selects.

Source: upstream's pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import selectors
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller

_FIELDS: Final = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")


class ClusterRoleAggregationController(Controller):
    name = "clusterrole-aggregation-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.roles = self.informer("rbac.authorization.k8s.io", "v1", "clusterroles")
        self._api = self.client.resource("rbac.authorization.k8s.io", "v1", "clusterroles")
        self.roles.add_handler(self._changed, lambda _, new: self._changed(new), self._changed)

    def _changed(self, _: Obj) -> None:
        for role in self.roles.lister.list():
            if role.get("aggregationRule") is not None:
                self.enqueue(role)

    async def reconcile(self, key: str) -> None:
        role = self.roles.lister.get("", key)
        if role is None or role.get("aggregationRule") is None:
            return
        rules: list[Obj] = []
        for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
            found = self.roles.lister.list(selector=selectors.of_object(selector))
            for other in sorted(found, key=lambda r: r["metadata"]["name"]):
                if other["metadata"]["name"] != key:
                    for rule in (_plain(r) for r in other.get("rules") or ()):
                        if rule not in rules:
                            rules.append(rule)
        if rules == [_plain(r) for r in role.get("rules") or ()]:
            return
        made = {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": key}, "rules": rules,
        }  # fmt: skip
        await self._api.patch(key, "", made, "apply", field_manager=self.name, force=True)


def _plain(rule: Obj) -> Obj:
    return {field: rule[field] for field in _FIELDS if rule.get(field)}
