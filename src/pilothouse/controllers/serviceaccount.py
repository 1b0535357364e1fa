"""Every active namespace has a service account `default`.

Source: upstream's pkg/controller/serviceaccount/serviceaccounts_controller.go.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import get
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_namespace_terminating

_NAME: Final = "default"


class ServiceAccountController(Controller):
    """Keys are names of namespaces."""

    name = "serviceaccount-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer("", "v1", "namespaces")
        self.accounts = self.informer("", "v1", "serviceaccounts")
        self._api = self.client.resource("", "v1", "serviceaccounts")
        self.namespaces.add_handler(self.enqueue, lambda _, new: self.enqueue(new))
        self.accounts.add_handler(deleted=lambda account: self.enqueue(account["metadata"]["namespace"]))

    async def reconcile(self, key: str) -> None:
        namespace = self.namespaces.lister.get("", key)
        if namespace is None or get(namespace, "status", "phase") != "Active":
            return
        if self.accounts.lister.get(key, _NAME) is not None:
            return
        account = {
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _NAME, "namespace": key},
        }  # fmt: skip
        try:
            await self._api.create(account)
        except StatusError as error:
            if error.reason != "AlreadyExists" and not is_namespace_terminating(error):
                raise
