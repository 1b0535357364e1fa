"""Client certificates: CN is the user's name, every O a group.

Source: upstream's documentation "Authenticating", X.509 client certificates. TLS has verified the certificate; what is read
here is only its subject, with a reader of DER of our own, so that the first request needs no cryptography.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import lru_cache

from pilothouse.api.exchange import UserInfo

_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_COMMON_NAME = bytes.fromhex("550403")
_ORGANIZATION = bytes.fromhex("55040a")
_UID = bytes.fromhex("2b0601040183c25302")  # 1.3.6.1.4.1.57683.2
_ENCODINGS = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}


class BadCertificate(ValueError):
    """Not the DER of a certificate."""


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, contents) of each element of DER."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise BadCertificate("truncated")
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            width = size & 0x7F
            if not 0 < width <= 4 or at + width > len(data):
                raise BadCertificate("bad length")
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        if at + size > len(data):
            raise BadCertificate("truncated")
        yield tag, data[at : at + size]
        at += size


def _only(data: bytes, tag: int) -> bytes:
    for found, contents in _elements(data):
        if found == tag:
            return contents
        break
    raise BadCertificate("unexpected element")


def subject(der: bytes) -> list[tuple[bytes, str]]:
    """(attribute's object identifier, value) of the certificate's subject, in order."""
    fields = [e for e in _elements(_only(_only(der, _SEQUENCE), _SEQUENCE)) if e[0] != _VERSION]
    if len(fields) < 5 or fields[4][0] != _SEQUENCE:
        raise BadCertificate("no subject")
    found = []
    for set_tag, names in _elements(fields[4][1]):
        if set_tag != _SET:
            raise BadCertificate("bad subject")
        for _, pair in _elements(names):
            parts = list(_elements(pair))
            if len(parts) != 2 or parts[0][0] != _OID:
                raise BadCertificate("bad subject")
            tag, value = parts[1]
            found.append((parts[0][1], value.decode(_ENCODINGS.get(tag, "utf-8"), "replace")))
    return found


@lru_cache(maxsize=1024)
def user_of(der: bytes) -> UserInfo | None:
    """Who the certificate names; None where it has no CN. Raises BadCertificate."""
    names = subject(der)
    common = [value for oid, value in names if oid == _COMMON_NAME]
    if not common or not common[-1]:
        return None
    uids = [value for oid, value in names if oid == _UID]
    groups = tuple(value for oid, value in names if oid == _ORGANIZATION)
    extra = {"authentication.kubernetes.io/credential-id": ("X509SHA256=" + hashlib.sha256(der).hexdigest(),)}
    if uids and (len(uids) > 1 or not uids[0]):
        raise BadCertificate("more than one UID, or an empty one")
    return UserInfo(common[-1], uids[0] if uids else "", groups, extra)


def pem_certificates(pem: bytes) -> list[bytes]:
    """The DER of each certificate of a bundle."""
    found = []
    for part in pem.split(b"-----BEGIN CERTIFICATE-----")[1:]:
        body, _, _ = part.partition(b"-----END CERTIFICATE-----")
        found.append(base64.b64decode(b"".join(body.split())))
    return found


class Signers:
    """Tells whether a chain that TLS verified against several authorities ends at one of these. Only asked where more than
    one bundle is trusted, since only then can it be wrong."""

    def __init__(self, bundle: bytes) -> None:
        self._authorities = pem_certificates(bundle)
        self._known: dict[bytes, bool] = {}

    def signed(self, chain: tuple[bytes, ...]) -> bool:
        leaf = chain[0]
        found = self._known.get(leaf)
        if found is None:
            if len(self._known) >= 1024:
                self._known.clear()
            found = self._known[leaf] = self._verify(chain)
        return found

    def _verify(self, chain: tuple[bytes, ...]) -> bool:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        authorities = [x509.load_der_x509_certificate(der) for der in self._authorities]
        present = x509.load_der_x509_certificate(chain[0])
        between = [x509.load_der_x509_certificate(der) for der in chain[1:]]
        while True:
            for authority in authorities:
                try:
                    present.verify_directly_issued_by(authority)
                    return True
                except (ValueError, TypeError, InvalidSignature):
                    continue
            issuer = next((c for c in between if c.subject == present.issuer), None)
            if issuer is None:
                return False
            try:
                present.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature):
                return False
            between.remove(issuer)
            present = issuer
