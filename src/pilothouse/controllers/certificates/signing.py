"""Approved requests to the cluster's own signers are signed with the cluster's certificate authority.

Source: upstream's pkg/controller/certificates/signer and authority.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.certificates import requests as r
from pilothouse.controllers.certificates.requests import Asked

_SIGNERS: Final = (r.KUBELET_SERVING, r.KUBELET_CLIENT, r.CLIENT, r.LEGACY)
_YEAR_S: Final = 365 * 86_400
_LEAST_S: Final = 600
_BACKDATED_S: Final = 300
"""Clocks differ: a certificate is valid from a little before it was made."""

_SHORT_S: Final = 8 * 3600
_KEY_USAGES: Final = {
    "signing": "digital_signature", "digital signature": "digital_signature", "content commitment": "content_commitment",
    "key encipherment": "key_encipherment", "key agreement": "key_agreement", "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign", "crl sign": "crl_sign", "encipher only": "encipher_only", "decipher only": "decipher_only",
}  # fmt: skip
# In the order in which upstream's library numbers, and so sorts, them.
_EXTENDED: Final = {
    "any": "2.5.29.37.0", "server auth": "1.3.6.1.5.5.7.3.1", "client auth": "1.3.6.1.5.5.7.3.2",
    "code signing": "1.3.6.1.5.5.7.3.3", "email protection": "1.3.6.1.5.5.7.3.4", "s/mime": "1.3.6.1.5.5.7.3.4",
    "ipsec end system": "1.3.6.1.5.5.7.3.5", "ipsec tunnel": "1.3.6.1.5.5.7.3.6", "ipsec user": "1.3.6.1.5.5.7.3.7",
    "timestamping": "1.3.6.1.5.5.7.3.8", "ocsp signing": "1.3.6.1.5.5.7.3.9",
    "microsoft sgc": "1.3.6.1.4.1.311.10.3.3", "netscape sgc": "2.16.840.1.113730.4.1",
}  # fmt: skip


class CSRSigningController(Controller):
    """Does nothing without a certificate authority."""

    name = "certificatesigningrequest-signing-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cert_pem: bytes = context.option("cluster-signing-cert", b"")
        self._key_pem: bytes = context.option("cluster-signing-key", b"")
        self._longest_s = int(context.option("cluster-signing-duration", float(_YEAR_S)))
        self._authority: tuple[Any, Any] | None = None
        self.requests = self.informer("certificates.k8s.io", "v1", "certificatesigningrequests")
        self._api = self.client.resource("certificates.k8s.io", "v1", "certificatesigningrequests")
        if self._cert_pem and self._key_pem:
            self.requests.add_handler(self._changed, lambda _, new: self._changed(new))

    def _changed(self, request: Obj) -> None:
        if request["spec"].get("signerName") in _SIGNERS and r.is_true(request, "Approved"):
            self.enqueue(request)

    async def reconcile(self, key: str) -> None:
        request = self.requests.lister.get("", key)
        if request is None or not r.is_true(request, "Approved") or r.is_true(request, "Failed"):
            return
        status = request.get("status") or {}
        if status.get("certificate") or r.has_condition(request, "Denied"):
            return
        spec = request["spec"]
        try:
            asked = r.parse(spec["request"])
        except ValueError as error:
            raise StatusError(400, "", f'unable to parse csr "{key}": {error}') from error
        why = _why_not(spec, asked)
        if why:
            condition = {
                "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                "lastUpdateTime": self.clock.timestamp(),
            }  # fmt: skip
            status = {**status, "conditions": [*(status.get("conditions") or ()), condition]}
        else:
            pem = self.sign(asked, list(spec.get("usages") or ()), spec.get("expirationSeconds"))
            status = {**status, "certificate": b64encode(pem).decode()}
        await self._api.update({**request, "status": status}, "status")

    def _load(self) -> tuple[Any, Any]:
        """The authority's certificate and key."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        if self._authority is None:
            self._authority = (
                x509.load_pem_x509_certificate(self._cert_pem),
                serialization.load_pem_private_key(self._key_pem, None),
            )
        return self._authority

    def sign(self, asked: Asked, usages: list[str], wanted_s: int | None) -> bytes:
        """The certificate, as PEM. Raises StatusError where the authority has expired or a usage is unknown."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        authority, key = self._load()
        life_s = self._longest_s if wanted_s is None else max(_LEAST_S, min(wanted_s, self._longest_s))
        now = datetime.fromtimestamp(int(self.clock.now()), UTC)
        before = now - timedelta(seconds=_BACKDATED_S)
        after = now + timedelta(seconds=life_s if life_s < _SHORT_S else life_s - _BACKDATED_S)
        end: datetime = authority.not_valid_after_utc
        if now >= end:
            raise StatusError(500, "", f"refusing to sign a certificate that expired in the past: NotAfter={end}")
        unknown = [u for u in usages if u not in _KEY_USAGES and u not in _EXTENDED]
        if unknown:
            raise StatusError(400, "", f"unrecognized usage values: {unknown}")
        flags = dict.fromkeys(_KEY_USAGES.values(), False)
        flags.update({_KEY_USAGES[u]: True for u in usages if u in _KEY_USAGES})
        builder = (
            x509.CertificateBuilder()
            .subject_name(asked.csr.subject)
            .issuer_name(authority.subject)
            .public_key(asked.csr.public_key())
            .serial_number(self.clock.random.getrandbits(126) + 1)
            .not_valid_before(before)
            .not_valid_after(min(after, end))
        )
        if any(flags.values()):
            if not flags["key_agreement"]:  # the only case in which these mean anything
                flags["encipher_only"] = flags["decipher_only"] = False
            builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
        extended = [x509.ObjectIdentifier(oid) for oid in dict.fromkeys(_EXTENDED[u] for u in _EXTENDED if u in usages)]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
        if asked.names is not None:
            builder = builder.add_extension(asked.names, critical=False)
        digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)


def _why_not(spec: Obj, asked: Asked) -> str:
    """What a signer refuses in a request; empty where it signs."""
    usages = list(spec.get("usages") or ())
    signer = spec["signerName"]
    if signer == r.KUBELET_SERVING:
        return r.why_not_kubelet_serving(asked, set(usages))
    if signer == r.KUBELET_CLIENT:
        return r.why_not_kubelet_client(asked, set(usages))
    return r.why_not_client(usages) if signer == r.CLIENT else ""
