"""TLS as the flags of etcd say it: certificates, versions and cipher suites, by Go's names."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from pilothouse.store.etcd.config import TLS_VERSIONS, Config
from pilothouse.store.etcd.values import BadConfig

_CIPHERS: Final = {  # Go's names: OpenSSL's
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256", "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "AES_128_CBC_SHA": "AES128-SHA", "AES_256_CBC_SHA": "AES256-SHA", "AES_128_CBC_SHA256": "AES128-SHA256",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305", "CHACHA20_POLY1305": "CHACHA20-POLY1305",
}  # fmt: skip
_SUITES: Final = {
    **{
        f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{name}" for go, name in _CIPHERS.items() for key in ("RSA", "ECDSA")
    },
    **{f"TLS_RSA_WITH_{go}": name for go, name in _CIPHERS.items() if go.startswith("AES")},
    **dict.fromkeys(("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"), ""),
}


def tls_context(config: Config) -> ssl.SSLContext | None:
    """None where nothing is served over TLS. Raises BadConfig."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_ciphers(context, config.cipher_suites)
    if not config.secure():
        return None
    context.minimum_version = TLS_VERSIONS.get(config.tls_min_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = TLS_VERSIONS.get(config.tls_max_version, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    try:
        context.load_cert_chain(config.cert_file, config.key_file)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(f"--cert-file, --key-file: cannot use {config.cert_file}: {_reason(error)}") from None
    if config.trusted_ca_file or config.client_cert_auth:
        try:
            if config.trusted_ca_file:
                context.load_verify_locations(config.trusted_ca_file)
            else:  # as with etcd, whom the system trusts
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        except (OSError, ssl.SSLError) as error:
            raise BadConfig(f"--trusted-ca-file: cannot use {config.trusted_ca_file}: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    if config.client_crl_file:
        try:
            _revoked(config.client_crl_file)
        except (OSError, ValueError) as error:
            reason = _reason(error) if isinstance(error, OSError) else str(error)
            raise BadConfig(f"--client-crl-file: cannot use {config.client_crl_file}: {reason}") from None
        context.sslobject_class = _refusing(config.client_crl_file)
    return context


def _refusing(path: str) -> type[ssl.SSLObject]:
    """Connections without the revoked. As etcd, by their numbers alone, and by what the list says at the time: OpenSSL would
    refuse everybody once it is outdated."""

    class Refusing(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            certificate = self.getpeercert() or {}
            number = certificate.get("serialNumber")
            if isinstance(number, str) and int(number, 16) in _revoked(path):
                raise ssl.SSLCertVerificationError("the client's certificate was revoked")

    return Refusing


def _revoked(path: str) -> set[int]:
    """Of a list in DER, as etcd has it, or PEM. Raises OSError and ValueError."""
    from cryptography import x509

    data = Path(path).read_bytes()
    pem = b"-----BEGIN " in data
    return {entry.serial_number for entry in (x509.load_pem_x509_crl if pem else x509.load_der_x509_crl)(data)}


def _set_ciphers(context: ssl.SSLContext, suites: list[str]) -> None:
    """Those of TLS 1.3 are not for choosing, with Go nor here."""
    for suite in suites:
        if suite not in _SUITES:
            raise BadConfig(f'unexpected TLS cipher suite "{suite}"')
    if names := [_SUITES[suite] for suite in suites if _SUITES[suite]]:
        try:
            context.set_ciphers(":".join(names))
        except ssl.SSLError:
            raise BadConfig(f"--cipher-suites: OpenSSL has none of {','.join(suites)}") from None


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
