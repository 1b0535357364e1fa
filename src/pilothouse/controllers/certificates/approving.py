"""Kubelets' requests for their client certificate are approved where they are allowed to make them.

Source: upstream's pkg/controller/certificates/approver.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.certificates import requests as r

_SELF: Final = ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.")
_NODE: Final = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")


class CSRApprovingController(Controller):
    name = "certificatesigningrequest-approving-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer("certificates.k8s.io", "v1", "certificatesigningrequests")
        self._api = self.client.resource("certificates.k8s.io", "v1", "certificatesigningrequests")
        self._reviews = self.client.resource("authorization.k8s.io", "v1", "subjectaccessreviews")
        self.requests.add_handler(self.enqueue, lambda _, new: self.enqueue(new))

    async def reconcile(self, key: str) -> None:
        request = self.requests.lister.get("", key)
        if request is None or (request.get("status") or {}).get("certificate"):
            return
        spec = request["spec"]
        if r.has_condition(request, "Approved", "Denied") or spec.get("signerName") != r.KUBELET_CLIENT:
            return
        try:
            asked = r.parse(spec["request"])
        except ValueError as error:
            raise StatusError(400, "", f'unable to parse csr "{key}": {error}') from error
        if r.why_not_kubelet_client(asked, set(spec.get("usages") or ())):
            return
        own = spec.get("username") == asked.common_name
        tried = []
        for subresource, message in (_SELF, _NODE) if own else (_NODE,):
            tried.append(subresource)
            if await self._is_allowed(spec, subresource):
                await self._approve(request, message)
                return
        raise StatusError(
            403, "", f'recognized csr "{key}" as [{" ".join(tried)}] but subject access review was not approved'
        )

    async def _is_allowed(self, spec: Obj, subresource: str) -> bool:
        attributes = {
            "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
            "subresource": subresource, "version": "*",
        }  # fmt: skip
        user: dict[str, Any] = {"user": spec.get("username", ""), "resourceAttributes": attributes}
        for field in ("uid", "groups", "extra"):
            if spec.get(field):
                user[field] = spec[field]
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": user,
        }  # fmt: skip
        return bool((await self._reviews.create(review)).get("status", {}).get("allowed"))

    async def _approve(self, request: Obj, message: str) -> None:
        status = request.get("status") or {}
        condition = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": message}
        status = {**status, "conditions": [*(status.get("conditions") or ()), condition]}
        await self._api.update({**request, "status": status}, "approval")
