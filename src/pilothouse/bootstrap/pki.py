"""The cluster's own certificate authority, and the keys and certificates that its parts need. EC P-256 throughout.

Source: upstream's documentation "PKI certificates and requirements"; the files have kubeadm's names.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import Clock

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_CA_DAYS: Final = 3650
_DAYS: Final = 3650  # one machine's own cluster: nobody is there to renew
_BACKDATE_S: Final = 300
_FILES: Final = (
    "ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "kubelet.crt", "kubelet.key", "admin.crt", "admin.key",
    "sa.pub", "sa.key",
)  # fmt: skip
_NAMES: Final = (
    "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pki:
    """PEM of everything, and where the files are."""

    path: Path
    files: dict[str, bytes]

    def __getitem__(self, name: str) -> bytes:
        return self.files[name]

    def server_context(self, certificate: str = "apiserver", *, clients: bool = True) -> ssl.SSLContext:
        """TLS for a server. `clients`: it asks for client certificates, and takes callers without one too."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.path / f"{certificate}.crt", self.path / f"{certificate}.key")
        if clients:
            context.load_verify_locations(cadata=self["ca.crt"].decode())
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


def ensure(path: Path, clock: Clock, addresses: Sequence[str]) -> Pki:
    """What is in `path`, made if nothing is there. Raises ClusterError where a file is missing or is none."""
    if not (path / "ca.crt").exists():
        _make(path, clock, addresses)
    files = {}
    for name in _FILES:
        try:
            files[name] = (path / name).read_bytes()
        except OSError as error:
            raise ClusterError(
                f"cannot read {path / name}: {error.strerror}; restore it or delete the cluster"
            ) from None
        if not files[name].startswith(b"-----BEGIN "):
            raise ClusterError(f"{path / name} is damaged: it is no PEM; restore it or delete the cluster")
    return Pki(path, files)


def _make(path: Path, clock: Clock, addresses: Sequence[str]) -> None:
    """ca.crt comes last: its presence says that all is there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _Authority(clock)
    names = [*_NAMES, socket.gethostname()]
    for name, subject, groups, server in (
        ("apiserver", "kube-apiserver", (), (names, addresses)),
        ("kubelet", "kubelet", (), (["localhost"], ["127.0.0.1"])),
        ("admin", "kubernetes-admin", ("system:masters",), None),
    ):
        certificate, key = authority.issue(subject, groups, server)
        _write(path / f"{name}.key", key)
        _write(path / f"{name}.crt", certificate)
    private, public = _key_pair()
    _write(path / "sa.key", private)
    _write(path / "sa.pub", public)
    _write(path / "ca.key", _private_pem(authority.key))
    _write(path / "ca.crt", authority.pem)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _private_pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization as form

    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def _key_pair() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives import serialization as form

    key = _new_key()
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return _private_pem(key), public


class _Authority:
    """A new certificate authority."""

    def __init__(self, clock: Clock) -> None:
        from cryptography import x509

        self._clock = clock
        self.key = _new_key()
        self.name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "kubernetes")])
        builder = self._builder(self.name, self.key, _CA_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=True), critical=True)
        self.pem = self._sign(builder)

    def _builder(self, subject: x509.Name, key: EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        from datetime import UTC, datetime, timedelta

        from cryptography import x509

        begin = datetime.fromtimestamp(self._clock.now() - _BACKDATE_S, UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        from cryptography.hazmat.primitives import hashes, serialization

        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(
        self, subject: str, groups: Sequence[str], server: tuple[Sequence[str], Sequence[str]] | None
    ) -> tuple[bytes, bytes]:
        """(certificate, key) of a client, or of a server with those names and addresses."""
        from cryptography import x509

        key = _new_key()
        oid = x509.oid.NameOID
        names = [x509.NameAttribute(oid.ORGANIZATION_NAME, g) for g in groups]
        name = x509.Name([*names, x509.NameAttribute(oid.COMMON_NAME, subject)])
        builder = self._builder(name, key, _DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=False), critical=True)
        usage = x509.oid.ExtendedKeyUsageOID
        purpose = usage.CLIENT_AUTH if server is None else usage.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if server is not None:
            other: list[x509.GeneralName] = [x509.DNSName(n) for n in dict.fromkeys(server[0])]
            other += [x509.IPAddress(ipaddress.ip_address(a)) for a in dict.fromkeys(server[1])]
            builder = builder.add_extension(x509.SubjectAlternativeName(other), critical=False)
        return self._sign(builder), _private_pem(key)


def _usage(*, ca: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, key_encipherment=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
