"""Public keys of certificate requests: which there may be, and whether somebody has the private one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pilothouse.api import field
from pilothouse.api.field import FieldError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_GO_CURVES: Final = {"secp224r1": "P-224"}
_RSA_BITS: Final = (3072, 4096)


def decoded(text: str) -> bytes:
    """Of a field of bytes."""
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def quietly(ask: Callable[[], Any]) -> Any:
    """What a question about something malformed or unknown answers; None where it cannot be answered."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return ask()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def public(data: bytes) -> PublicKeyTypes | None:
    """A key in the form of PKIX."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    found: PublicKeyTypes | None = quietly(lambda: load_der_public_key(data))
    return found


def unsupported(key: Callable[[], Any], path: str, curves: str) -> FieldError | None:
    """What is wrong with the kind or size of a key; `curves` says which there may be."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    found = quietly(key)
    if isinstance(found, ed25519.Ed25519PublicKey):
        return None
    if isinstance(found, ec.EllipticCurvePublicKey):
        name = found.curve.name
        return None if name in _CURVES else field.invalid(path, f"curve {_GO_CURVES.get(name, name)}", curves)
    if isinstance(found, rsa.RSAPublicKey):
        bits = (found.key_size + 7) // 8 * 8
        detail = "RSA keys must have modulus size 3072 or 4096"
        return None if bits in _RSA_BITS else field.invalid(path, f"{bits}-bit modulus", detail)
    return field.invalid(path, field.OMIT, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")


def proves(key: Any, signature: bytes, message: bytes) -> bool:
    """Whether the holder of the key signed the message, as each kind of key signs."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding

    sha = hashes.SHA256()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(sha))
        else:
            key.verify(signature, message, padding.PSS(padding.MGF1(sha), padding.PSS.AUTO), sha)
    except (InvalidSignature, ValueError):
        return False
    return True
