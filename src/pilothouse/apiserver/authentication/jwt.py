"""JSON Web Tokens in compact form, signed with RS256 or ES256/384/512, whichever the key says.

Source: RFC 7515 and 7518. cryptography is imported when the first token is signed or verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, NamedTuple

import orjson


class BadToken(ValueError):
    """Not a token in compact form."""


class Parsed(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes  # what the signature is of
    signature: bytes


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    if not text.isascii() or "=" in text or "+" in text or "/" in text:
        raise BadToken("not base64url")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken("not base64url") from error


def parse(token: str) -> Parsed:
    """The parts of a token, not verified. Raises BadToken."""
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("not three parts")
    try:
        header, claims = orjson.loads(_decode(parts[0])), orjson.loads(_decode(parts[1]))
    except orjson.JSONDecodeError as error:
        raise BadToken("not JSON") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("not objects")
    return Parsed(header, claims, f"{parts[0]}.{parts[1]}".encode(), _decode(parts[2]))


class Key:
    """A key that verifies, and signs where it is private."""

    def __init__(self, pem: bytes) -> None:
        """Raises ValueError for what is neither an RSA nor an EC key."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        self._private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None
        if b"PRIVATE KEY" in pem:
            private = serialization.load_pem_private_key(pem, None)
            if not isinstance(private, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
                raise ValueError("a token key is an RSA or an EC key")
            self._private = private
            public: Any = private.public_key()
        elif b"BEGIN CERTIFICATE" in pem:
            from cryptography import x509

            public = x509.load_pem_x509_certificate(pem).public_key()
        else:
            public = serialization.load_pem_public_key(pem)
        if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
            raise ValueError("a token key is an RSA or an EC key")
        self.public = public
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.id = encode(hashlib.sha256(spki).digest())
        bits = 256 if isinstance(public, rsa.RSAPublicKey) else public.key_size
        self._hash_bits = {256: 256, 384: 384, 521: 512}.get(bits, 256)
        self.algorithm = ("RS" if isinstance(public, rsa.RSAPublicKey) else "ES") + str(self._hash_bits)

    def _digest(self) -> Any:
        from cryptography.hazmat.primitives import hashes

        if self._hash_bits == 256:
            return hashes.SHA256()
        return hashes.SHA384() if self._hash_bits == 384 else hashes.SHA512()

    def sign(self, claims: dict[str, Any]) -> str:
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        assert self._private is not None, "a public key cannot sign"
        header = {"alg": self.algorithm, "kid": self.id}
        signed = f"{encode(orjson.dumps(header))}.{encode(orjson.dumps(claims))}"
        if isinstance(self._private, rsa.RSAPrivateKey):
            signature = self._private.sign(signed.encode(), padding.PKCS1v15(), self._digest())
        else:
            r, s = decode_dss_signature(self._private.sign(signed.encode(), ec.ECDSA(self._digest())))
            size = (self._private.key_size + 7) // 8
            signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return f"{signed}.{encode(signature)}"

    def verify(self, token: Parsed) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if token.header.get("alg") != self.algorithm:
            return False
        try:
            if isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(token.signature, token.signed, padding.PKCS1v15(), self._digest())
            else:
                size = (self.public.key_size + 7) // 8
                if len(token.signature) != 2 * size:
                    return False
                r, s = (int.from_bytes(half, "big") for half in (token.signature[:size], token.signature[size:]))
                self.public.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(self._digest()))
        except InvalidSignature:
            return False
        return True

    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key (RFC 7517), fields as upstream writes them."""
        from cryptography.hazmat.primitives.asymmetric import rsa

        if isinstance(self.public, rsa.RSAPublicKey):
            numbers = self.public.public_numbers()
            n, e = (encode(i.to_bytes((i.bit_length() + 7) // 8, "big")) for i in (numbers.n, numbers.e))
            return {"use": "sig", "kty": "RSA", "kid": self.id, "alg": self.algorithm, "n": n, "e": e}
        point = self.public.public_numbers()
        size = (self.public.key_size + 7) // 8
        x, y = (encode(i.to_bytes(size, "big")) for i in (point.x, point.y))
        curve = {256: "P-256", 384: "P-384", 512: "P-521"}[self._hash_bits]
        return {"use": "sig", "kty": "EC", "kid": self.id, "crv": curve, "alg": self.algorithm, "x": x, "y": y}
