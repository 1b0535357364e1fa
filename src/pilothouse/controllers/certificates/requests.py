"""What a certificate signing request asks for, and whether a kubelet may ask for it.

Source: upstream's pkg/apis/certificates/helpers.go and the documentation's page on signers.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from cryptography import x509

CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
LEGACY: Final = "kubernetes.io/legacy-unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """A parsed PKCS#10 request."""

    csr: x509.CertificateSigningRequest
    common_name: str
    organizations: tuple[str, ...]
    names: x509.SubjectAlternativeName | None

    def has(self, kind: type[x509.GeneralName]) -> bool:
        return self.names is not None and any(isinstance(n, kind) for n in self.names)


def parse(request: str) -> Asked:
    """Reads `spec.request`. Raises ValueError."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    pem = b64decode(request)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    csr = x509.load_pem_x509_csr(pem)
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None

    def of(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(a.value) for a in csr.subject.get_attributes_for_oid(oid))

    common = of(NameOID.COMMON_NAME)
    return Asked(csr, common[-1] if common else "", of(NameOID.ORGANIZATION_NAME), names)


def why_not_kubelet_client(asked: Asked, usages: set[str]) -> str:
    """Empty where a kubelet may have such a client certificate."""
    from cryptography import x509

    if asked.organizations != ("system:nodes",):
        return "subject organization is not system:nodes"
    for kind, what in (
        (x509.DNSName, "DNS"), (x509.RFC822Name, "Email"), (x509.IPAddress, "IP"), (x509.UniformResourceIdentifier, "URI"),
    ):  # fmt: skip
        if asked.has(kind):
            return f"{what} subjectAltNames are not allowed"
    if not asked.common_name.startswith("system:node:"):
        return "subject common name does not begin with system:node:"
    return _why_not_usages(usages, {"client auth", "digital signature"})


def why_not_kubelet_serving(asked: Asked, usages: set[str]) -> str:
    from cryptography import x509

    if asked.organizations != ("system:nodes",):
        return "subject organization is not system:nodes"
    if not asked.has(x509.DNSName) and not asked.has(x509.IPAddress):
        return "DNS or IP subjectAltName is required"
    if asked.has(x509.RFC822Name):
        return "Email subjectAltNames are not allowed"
    if asked.has(x509.UniformResourceIdentifier):
        return "URI subjectAltNames are not allowed"
    why = _why_not_usages(usages, {"digital signature", "server auth"})
    if why:
        return why
    return (
        "" if asked.common_name.startswith("system:node:") else "subject common name does not begin with system:node:"
    )


def why_not_client(usages: list[str]) -> str:
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _why_not_usages(usages: set[str], needed: set[str]) -> str:
    with_rsa = needed | {"key encipherment"}
    return "" if usages in (needed, with_rsa) else f"usages did not match [{' '.join(sorted(with_rsa))}]"


def has_condition(csr: Obj, *kinds: str) -> bool:
    return any(c.get("type") in kinds for c in (csr.get("status") or {}).get("conditions") or ())


def is_true(csr: Obj, kind: str) -> bool:
    conditions = (csr.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == kind and c.get("status", "True") in ("", "True") for c in conditions)
