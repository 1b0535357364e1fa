"""Every namespace has a ConfigMap `kube-root-ca.crt` with the certificate authority of the API server.

Source: upstream's pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_namespace_terminating

_NAME: Final = "kube-root-ca.crt"
_ANNOTATION: Final = "kubernetes.io/description"
_DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal "
    "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


class RootCACertificatePublisher(Controller):
    """Keys are names of namespaces. Without a root CA it publishes an empty one, as upstream does."""

    name = "root-ca-certificate-publisher-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._data = {"ca.crt": context.option("root-ca", b"").decode()}
        self.namespaces = self.informer("", "v1", "namespaces")
        self.maps = self.informer("", "v1", "configmaps")
        self._api = self.client.resource("", "v1", "configmaps")
        self.namespaces.add_handler(self.enqueue, lambda _, new: self._namespace_updated(new))
        self.maps.add_handler(
            updated=lambda _, new: self._map_changed(new),
            deleted=self._map_changed,
        )

    def _namespace_updated(self, namespace: Obj) -> None:
        if get(namespace, "status", "phase") == "Active":
            self.enqueue(namespace)

    def _map_changed(self, config_map: Obj) -> None:
        if config_map["metadata"]["name"] == _NAME:
            self.enqueue(config_map["metadata"]["namespace"])

    async def reconcile(self, key: str) -> None:
        found = self.maps.lister.get(key, _NAME)
        if found is None:
            new = {
                "apiVersion": "v1", "kind": "ConfigMap", "data": self._data,
                "metadata": {"name": _NAME, "namespace": key, "annotations": {_ANNOTATION: _DESCRIPTION}},
            }  # fmt: skip
            try:
                await self._api.create(new)
            except StatusError as error:
                if error.code != 404 and not is_namespace_terminating(error):
                    raise
            return
        annotations = found["metadata"].get("annotations") or {}
        if found.get("data") == self._data and annotations.get(_ANNOTATION):
            return
        metadata = {**found["metadata"], "annotations": {**annotations, _ANNOTATION: _DESCRIPTION}}
        await self._api.update({**found, "metadata": metadata, "data": self._data})
