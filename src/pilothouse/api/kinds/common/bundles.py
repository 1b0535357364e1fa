"""Certificates of authorities in configurations: upstream's client-go/transport (rootCertPool)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_BLOCK: Final = re.compile(rb"-----BEGIN ([^\n-]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)


def bundle_error(bundle: str) -> str:
    """What is wrong with a bundle (PEM as base64), or nothing."""
    from cryptography import x509

    try:
        data = base64.b64decode(bundle)
    except (binascii.Error, ValueError):
        return "unable to load root certificates: unable to parse bytes as PEM block"
    found = False
    at = 0
    for block in _BLOCK.finditer(data):
        at = block.end()
        if block[1] != b"CERTIFICATE" or b":" in block[2]:
            continue
        try:
            x509.load_der_x509_certificate(base64.b64decode(block[2]))
            found = True
        except ValueError as e:
            return "" if found else f"unable to load root certificates: failed to parse certificate: {e}"
    if found:
        return ""
    rest = data[at:]
    if rest.strip() or not at:
        return "unable to load root certificates: unable to parse bytes as PEM block"
    return "unable to load root certificates: no valid certificate authority data seen"
