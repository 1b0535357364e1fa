"""PEM blocks, read as Go's encoding/pem reads them, and the X.509 within."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateSigningRequest

_BLOCK: Final = re.compile(
    rb"(?:^|\n)-----BEGIN ([^\n]*?)-----[ \t\r]*\n(.*?)(?:^|\n)?-----END \1-----[ \t\r]*(?:\n|$)", re.DOTALL
)
_HEADER: Final = re.compile(rb"[^:\n]+:[^\n]*\n")


@dataclass(frozen=True, slots=True)
class Block:
    type: str
    headers: bool
    body: bytes


def blocks(data: bytes) -> Iterator[Block]:
    """The well-formed blocks in order; what stands between them is passed over."""
    for match in _BLOCK.finditer(data):
        body = match[2]
        headers = False
        while header := _HEADER.match(body):
            headers, body = True, body[header.end() :]
        try:
            raw = base64.b64decode(re.sub(rb"[\r\n\t ]", b"", body), validate=True)
        except (binascii.Error, ValueError):
            continue
        yield Block(match[1].decode("utf-8", "replace"), headers, raw)


def certificate(body: bytes) -> Certificate | None:
    """None where it does not parse."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(body)
    except (ValueError, TypeError):
        return None


def request(body: bytes) -> CertificateSigningRequest | None:
    """A PKCS#10 request; None where it does not parse."""
    from cryptography import x509

    try:
        return x509.load_der_x509_csr(body)
    except (ValueError, TypeError):
        return None
