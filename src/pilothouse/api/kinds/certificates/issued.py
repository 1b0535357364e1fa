"""The status of a PodCertificateRequest whose certificate was issued."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, Final

from pilothouse.api import field
from pilothouse.api.codec.gotime import format_duration
from pilothouse.api.field import ErrorList, Verbatim
from pilothouse.api.kinds.certificates import keys, pem
from pilothouse.api.objects import Obj
from pilothouse.clock.timestamps import parse_time

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_CHAIN: Final = "status.certificateChain"
_CHAIN_MAX_BYTES: Final = 100 * 1024
_MARGIN: Final = timedelta(minutes=10)
_SHORTEST: Final = timedelta(hours=1)


def issued(status: Obj, spec: Obj) -> ErrorList:
    chain = status.get("certificateChain") or ""
    if len(chain.encode()) > _CHAIN_MAX_BYTES:
        return [field.too_long(_CHAIN, _CHAIN_MAX_BYTES)]
    blocks = list(pem.blocks(chain.encode()))
    if not blocks:
        return _refused(chain, "issued certificate chain must contain at least one certificate")
    if blocks[0].type != "CERTIFICATE":
        return _refused(chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
    leaf = pem.certificate(blocks[0].body)
    if leaf is None:
        return _refused(chain, "leaf certificate does not parse as valid X.509")
    found = _names(leaf)
    wanted = _wanted(spec)
    if wanted is None:
        return [*found, field.invalid("spec.stubPKCS10Request", field.OMIT, "must be a valid PKCS#10 CSR")]
    if keys.quietly(leaf.public_key) != wanted:
        return found + _refused(chain, "leaf certificate was not issued to the requested public key")
    found += _times_are_given(status)
    return found or _times(status, leaf, spec) or _rest(blocks[1:], chain)


def _refused(value: Any, detail: str) -> ErrorList:
    return [field.invalid(_CHAIN, value, detail)]


def _names(leaf: Certificate) -> ErrorList:
    from cryptography import x509

    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    found: ErrorList = []
    for name in alternatives.get_values_for_type(x509.DNSName):
        if not name:
            found += _refused(name, "leaf certificate should not contain empty DNSName")
        if ".." in name:
            found += _refused(name, "leaf certificate's DNSName should not contain '..'")
        if name.startswith(".") or name.endswith("."):
            found += _refused(name, "leaf certificate's DNSName should not start or end with '.'")
    for address in alternatives.get_values_for_type(x509.RFC822Name):
        if "@" not in parseaddr(address)[1]:
            found += _refused(address, "leaf certificate should not contain invalid EmailAddress")
    return found


def _wanted(spec: Obj) -> Any:
    """The key that the certificate was asked for."""
    stub = spec.get("stubPKCS10Request")
    if not stub:
        return keys.public(keys.decoded(spec.get("pkixPublicKey") or ""))
    request = pem.request(keys.decoded(stub))
    return None if request is None else keys.quietly(request.public_key)


def _times_are_given(status: Obj) -> ErrorList:
    consistent = "must be present and consistent with the issued certificate"
    details = {
        "notBefore": consistent, "notAfter": consistent,
        "beginRefreshAt": "must be present and in the range [notbefore+10min, notafter-10min]",
    }  # fmt: skip
    return [field.required(f"status.{name}", detail) for name, detail in details.items() if not status.get(name)]


def _times(status: Obj, leaf: Certificate, spec: Obj) -> ErrorList:
    begin, end, refresh = (_moment(status[name]) for name in ("notBefore", "notAfter", "beginRefreshAt"))
    if begin != leaf.not_valid_before_utc:
        return _wrong_time("notBefore", begin, "must be set to the NotBefore time encoded in the leaf certificate")
    if end != leaf.not_valid_after_utc:
        return _wrong_time("notAfter", end, "must be set to the NotAfter time encoded in the leaf certificate")
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    shown = Verbatim(format_duration(int(lifetime.total_seconds()) * 1_000_000_000))
    if lifetime < _SHORTEST:
        return _refused(shown, "leaf certificate lifetime must be >= 1 hour")
    most_s = spec.get("maxExpirationSeconds") or 0
    if lifetime > timedelta(seconds=most_s):
        return _refused(shown, f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most_s})")
    if refresh < begin + _MARGIN:
        return _wrong_time("beginRefreshAt", refresh, "must be at least 10 minutes after status.notBefore")
    if refresh > end - _MARGIN:
        return _wrong_time("beginRefreshAt", refresh, "must be at least 10 minutes before status.notAfter")
    return []


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(parse_time(text), UTC)


def _wrong_time(name: str, moment: datetime, detail: str) -> ErrorList:
    return [field.invalid(f"status.{name}", Verbatim(f"{moment:%Y-%m-%d %H:%M:%S} +0000 UTC"), detail)]


def _rest(blocks: list[pem.Block], chain: str) -> ErrorList:
    for block in blocks:
        if block.type != "CERTIFICATE":
            return _refused(chain, "issued certificate chain must consist entirely of CERTFICATE PEM blocks")
        if pem.certificate(block.body) is None:
            return _refused(chain, "intermediate certificate does not parse as valid X.509")
    return []
