"""TLS as the flags of etcd say it: certificates, versions and cipher suites, by Go's names."""

from __future__ import annotations

import ssl
from base64 import encodebytes
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from pilothouse.store.etcd.config import Config
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
_VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}


def tls_context(config: Config) -> ssl.SSLContext | None:
    """None where nothing is served over TLS. Raises BadConfig."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_ciphers(context, config.cipher_suites)
    if not config.secure():
        return None
    context.minimum_version = _VERSIONS.get(config.tls_min_version, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = _VERSIONS.get(config.tls_max_version, ssl.TLSVersion.MAXIMUM_SUPPORTED)
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
            _load_revoked(context, Path(config.client_crl_file).read_bytes())
        except (OSError, ssl.SSLError) as error:
            raise BadConfig(f"--client-crl-file: cannot use {config.client_crl_file}: {_reason(error)}") from None
    return context


def _load_revoked(context: ssl.SSLContext, data: bytes) -> None:
    """A list of revoked certificates, in DER as etcd has it, or PEM."""
    if b"-----BEGIN " not in data:
        data = b"-----BEGIN X509 CRL-----\n" + encodebytes(data) + b"-----END X509 CRL-----\n"
    with NamedTemporaryFile() as file:  # Python's ssl takes such lists by name alone
        file.write(data)
        file.flush()
        context.load_verify_locations(file.name)
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


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
