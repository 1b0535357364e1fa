"""OwnerReferencesPermissionEnforcement: who may not delete an object may not change its owners, nor block the deletion of
an owner whose finalizers they may not set.

Source: upstream's documentation "Admission Controllers in Kubernetes".
"""

from __future__ import annotations

from pilothouse.api.objects import Obj, meta
from pilothouse.api.scheme import GVK, by_kind, split_api_version
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest, Attributes

_UNENFORCED = frozenset({("", "pods", "status")})


class OwnerReferencesPermissionEnforcement(Plugin):
    name = "OwnerReferencesPermissionEnforcement"
    subresources = None
    operations = CREATE_UPDATE

    async def validate(self, request: AdmissionRequest) -> None:
        gvr = request.gvr
        if (gvr.group, gvr.resource, request.subresource) in _UNENFORCED:
            return
        new = meta(request.obj or {}).get("ownerReferences") or []
        old = meta(request.old or {}).get("ownerReferences") or []
        if new == old:
            return
        if request.operation != "CREATE":
            await self._check_delete(request)
        blocking = _newly_blocking(new, old)
        if not blocking:
            return
        anything = Attributes(request.user, "update", "", True, "*", "*", "*", "finalizers", "", "*")
        if (await self.cluster.authorizer.authorize(anything)).allowed:
            return
        for owner in blocking:
            await self._check_owner(request, owner)

    async def _check_delete(self, request: AdmissionRequest) -> None:
        gvr = request.gvr
        ask = Attributes(
            request.user, "delete", "", True, gvr.group, gvr.version, gvr.resource, request.subresource,
            request.namespace, request.name,
        )  # fmt: skip
        decision = await self.cluster.authorizer.authorize(ask)
        if not decision.allowed:
            why = f"cannot set an ownerRef on a resource you can't delete: {decision.reason}, <nil>"
            raise forbidden(request, why)

    async def _check_owner(self, request: AdmissionRequest, owner: Obj) -> None:
        group, version = split_api_version(str(owner.get("apiVersion", "")))
        found = by_kind().get(GVK(group, version, str(owner.get("kind", ""))))
        if found is None:
            what = f"APIVersion {owner.get('apiVersion')} Kind {owner.get('kind')}"
            none = f'no matches for kind "{owner.get("kind")}" in version "{owner.get("apiVersion")}"'
            why = f"cannot set blockOwnerDeletion in this case because cannot find RESTMapping for {what}: {none}"
            raise forbidden(request, why)
        ask = Attributes(
            request.user, "update", "", True, group, version, found.gvr.resource, "finalizers",
            request.namespace if found.namespaced else "", str(owner.get("name", "")),
        )  # fmt: skip
        decision = await self.cluster.authorizer.authorize(ask)
        if not decision.allowed:
            raise forbidden(
                request,
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: "
                f"{decision.reason}, <nil>",
            )


def _newly_blocking(new: list[Obj], old: list[Obj]) -> list[Obj]:
    before = {ref.get("uid"): bool(ref.get("blockOwnerDeletion")) for ref in old}
    return [ref for ref in new if ref.get("blockOwnerDeletion") and not before.get(ref.get("uid"))]
