"""certificatesigningrequests/approval: approves or denies; the request itself stays what it is."""

from __future__ import annotations

from pilothouse.api.kinds.certificates.certificate_signing_request import prepare_approval, validate_approval
from pilothouse.apiserver.contracts import SubresourceStrategy

STRATEGY = SubresourceStrategy(
    prepare=prepare_approval, validate=validate_approval, reset_fields=frozenset({"spec", "status.certificate"})
)
