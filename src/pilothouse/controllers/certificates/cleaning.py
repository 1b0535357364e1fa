"""Old certificate signing requests are deleted.

Source: upstream's pkg/controller/certificates/cleaner.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import time_of

_HOUR_S: Final = 3600.0
_PENDING_S: Final = 24 * _HOUR_S


class CSRCleaner(Controller):
    name = "certificatesigningrequest-cleaner-controller"
    workers = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer("certificates.k8s.io", "v1", "certificatesigningrequests")
        self._api = self.client.resource("certificates.k8s.io", "v1", "certificatesigningrequests")
        self.loops = [self._clean_often]

    async def _clean_often(self) -> None:
        while True:
            await self.clean()
            await self.clock.sleep(_HOUR_S)

    async def clean(self) -> None:
        for request in self.requests.lister.list():
            if self._is_old(request):
                try:
                    await self._api.delete(request["metadata"]["name"])
                except StatusError as error:
                    if error.code != 404:
                        self.log.warning("request %s: %s", request["metadata"]["name"], error)

    def _is_old(self, request: Obj) -> bool:
        status = request.get("status") or {}
        certificate, conditions = status.get("certificate"), status.get("conditions") or ()
        if not conditions:
            return self._is_older(request["metadata"].get("creationTimestamp"), _PENDING_S)
        for condition in conditions:
            updated, kind = condition.get("lastUpdateTime"), condition.get("type")
            if kind in ("Denied", "Failed") and self._is_older(updated, _HOUR_S):
                return True
            if kind == "Approved":
                if self._is_older(updated, _HOUR_S if certificate else _PENDING_S):
                    return True
                if certificate and self._is_expired(certificate):
                    return True
        return False

    def _is_older(self, since: object, than_s: float) -> bool:
        since_s = time_of(since)
        return bool(since_s) and self.clock.now() - since_s > than_s

    def _is_expired(self, certificate: str) -> bool:
        from cryptography import x509

        try:
            found = x509.load_pem_x509_certificate(b64decode(certificate))
        except ValueError:
            return False
        return self.clock.now() > found.not_valid_after_utc.timestamp()
