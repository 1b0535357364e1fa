"""Nobody grants what they do not have: roles and bindings are written only by those who hold what they allow, or may
escalate or bind.

Source: upstream's documentation "Using RBAC Authorization", privilege escalation prevention.
"""

from __future__ import annotations

from pilothouse.api.errors import not_found
from pilothouse.api.field import quote
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.admission.certificates import only_garbage_collection
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, Plugin, forbidden
from pilothouse.apiserver.authorization import MASTERS
from pilothouse.apiserver.authorization.rbac import GROUP, RoleMissing
from pilothouse.apiserver.authorization.rules import compact, describe, quoted, uncovered
from pilothouse.apiserver.contracts import AdmissionRequest, Attributes

_FULL: list[Obj] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]
_AGGREGATION = "must have cluster-admin privileges to use the aggregationRule"


class RBACEscalation(Plugin):
    name = "RBACEscalation"
    resources = frozenset((GROUP, r) for r in ("clusterroles", "roles", "clusterrolebindings", "rolebindings"))
    operations = CREATE_UPDATE

    async def mutate(self, request: AdmissionRequest) -> None:
        """The last of the mutations: what is judged is what will be stored."""
        obj = request.obj
        if obj is None or MASTERS in request.user.groups:
            return
        if request.operation == "UPDATE" and only_garbage_collection(obj, request.old):
            return
        if request.gvr.resource.endswith("bindings"):
            await self._binding(request, obj)
        elif not await self._may(request, "escalate", request.gvr.resource, request.name):
            self._confirm(request, obj.get("rules") or [])
            rules = [get(o, "aggregationRule", "clusterRoleSelectors") for o in (obj, request.old)]
            if request.gvr.resource == "clusterroles" and any(rules) and self._missing(request, _FULL)[0]:
                raise forbidden(request, _AGGREGATION)

    async def _binding(self, request: AdmissionRequest, obj: Obj) -> None:
        ref = obj.get("roleRef") or {}
        resource = {"ClusterRole": "clusterroles", "Role": "roles"}.get(ref.get("kind", ""))
        name = ref.get("name", "")
        if resource is not None and await self._may(request, "bind", resource, name, ref.get("apiGroup", "")):
            return
        try:
            rules = self.cluster.authorizer.rbac.role_rules(ref, request.namespace)
        except RoleMissing:
            raise not_found(GROUP, request.gvr.resource, name) from None
        self._confirm(request, [rule.source for rule in rules])

    async def _may(self, request: AdmissionRequest, verb: str, resource: str, name: str, group: str = GROUP) -> bool:
        ask = Attributes(request.user, verb, "", True, group, "*", resource, "", request.namespace, name)
        return bool((await self.cluster.authorizer.authorize(ask)).allowed)

    def _missing(self, request: AdmissionRequest, rules: list[Obj]) -> tuple[list[Obj], str]:
        own, errors = self.cluster.authorizer.rbac.rules_for(request.user, request.namespace)
        return uncovered(own, rules), errors

    def _confirm(self, request: AdmissionRequest, rules: list[Obj]) -> None:
        missing, errors = self._missing(request, rules)
        if not missing:
            return
        user = request.user
        listed = "\n".join(sorted({describe(rule) for rule in compact(missing)}))
        why = (
            f"user {quote(user.name)} (groups={quoted(user.groups)}) is attempting to grant RBAC permissions "
            f"not currently held:\n{listed}"
        )
        raise forbidden(request, f"{why}; resolution errors: [{errors}]" if errors else why)
