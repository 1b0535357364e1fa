"""Who may approve and sign certificate requests, and what they may not ask for.

Source: upstream's documentation "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import base64
import binascii

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.admission.plugin import CREATE, CREATE_UPDATE, Plugin, forbidden
from pilothouse.apiserver.authorization import signers
from pilothouse.apiserver.contracts import AdmissionRequest

_REQUESTS = (signers.GROUP, "certificatesigningrequests")
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class _Signers(Plugin):
    async def may(self, user: UserInfo, verb: str, signer: str) -> bool:
        return await signers.may(self.cluster.authorizer, user, verb, signer)


class CertificateApproval(_Signers):
    name = "CertificateApproval"
    resources = frozenset({_REQUESTS})
    subresources = frozenset({"approval"})
    operations = frozenset({"UPDATE"})

    async def validate(self, request: AdmissionRequest) -> None:
        signer = get(request.old, "spec", "signerName", default="")
        if not await self.may(request.user, "approve", signer):
            raise forbidden(request, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(_Signers):
    name = "CertificateSigning"
    resources = frozenset({_REQUESTS})
    subresources = frozenset({"status"})
    operations = frozenset({"UPDATE"})

    async def validate(self, request: AdmissionRequest) -> None:
        new, old = ((obj or {}).get("status") or {} for obj in (request.obj, request.old))
        if all((new.get(field) or None) == (old.get(field) or None) for field in ("certificate", "conditions")):
            return
        signer = get(request.old, "spec", "signerName", default="")
        if not await self.may(request.user, "sign", signer):
            raise forbidden(request, f'user not permitted to sign requests with signerName "{signer}"')


class ClusterTrustBundleAttest(_Signers):
    name = "ClusterTrustBundleAttest"
    resources = frozenset({(signers.GROUP, "clustertrustbundles")})
    operations = CREATE_UPDATE

    async def validate(self, request: AdmissionRequest) -> None:
        signer = get(request.obj, "spec", "signerName", default="")
        if not signer or (request.operation == "UPDATE" and only_garbage_collection(request.obj, request.old)):
            return
        if not await self.may(request.user, "attest", signer):
            raise forbidden(request, f'user not permitted to attest for signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    resources = frozenset({_REQUESTS})
    operations = CREATE

    async def validate(self, request: AdmissionRequest) -> None:
        if get(request.obj, "spec", "signerName") != _CLIENT_SIGNER:
            return
        try:
            organizations = subject_of(get(request.obj, "spec", "request", default=""))[1]
        except ValueError as error:
            raise forbidden(request, f"failed to parse CSR: {error}") from error
        if "system:masters" in organizations:
            raise forbidden(request, f"use of {_CLIENT_SIGNER} signer with system:masters group is not allowed")


def subject_of(encoded: str) -> tuple[str, list[str]]:
    """The common name and organizations that a request (PEM in base64) asks for. Raises ValueError."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        pem = base64.b64decode(encoded)
    except (binascii.Error, ValueError) as error:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST") from error
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    subject = x509.load_pem_x509_csr(pem).subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organizations = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return names[-1] if names else "", organizations


def only_garbage_collection(new: Obj | None, old: Obj | None) -> bool:
    """Whether only what the garbage collector changes differs: finalizers and owner references, and that the server wrote."""
    if new is None or old is None:
        return False

    def kept(obj: Obj) -> Obj:
        left_out = {"finalizers", "ownerReferences", "managedFields", "resourceVersion", "selfLink"}
        meta = {k: v for k, v in obj["metadata"].items() if k not in left_out}
        return {**obj, "metadata": meta}

    return kept(new) == kept(old)
