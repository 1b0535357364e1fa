"""DenyServiceExternalIPs: no Service gets a new external IP (CVE-2020-8554)."""

from __future__ import annotations

from pilothouse.api.objects import get
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest


class DenyServiceExternalIPs(Plugin):
    name = "DenyServiceExternalIPs"
    resources = frozenset({("", "services")})
    operations = CREATE_UPDATE

    async def validate(self, request: AdmissionRequest) -> None:
        new, old = (get(obj, "spec", "externalIPs", default=[]) for obj in (request.obj, request.old))
        if not set(new) <= set(old):
            raise forbidden(request, "Use of external IPs is denied by admission control")
