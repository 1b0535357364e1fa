"""IP addresses and CIDRs, as the API accepts them: leniently read, strictly judged.

Source: upstream's k8s.io/apimachinery/pkg/util/validation/ip.go, and KEP-4858 on which forms are refused since 1.36.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList, quote

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_QUAD: Final = re.compile(r"(\d{1,255})\.(\d{1,255})\.(\d{1,255})\.(\d{1,255})", re.ASCII)
_EMBEDDED: Final = re.compile(r"(.*:)(\d+\.\d+\.\d+\.\d+)", re.ASCII)
_DIGITS: Final = re.compile(r"\d{1,7}", re.ASCII)


def _lenient_quad(text: str) -> str | None:
    """Four numbers without their leading zeros; None where that is no IPv4 address."""
    match = _QUAD.fullmatch(text)
    if match is None:
        return None
    numbers = [int(g) for g in match.groups()]
    return ".".join(map(str, numbers)) if max(numbers) <= 255 else None


def parse(text: str) -> Address | None:
    """An address in any form that was ever accepted, leading zeros and all. None: it is none."""
    quad = _lenient_quad(text)
    if quad is not None:
        return IPv4Address(quad)
    if ":" not in text or "%" in text or "/" in text:
        return None
    match = _EMBEDDED.fullmatch(text)
    if match is not None:
        quad = _lenient_quad(match[2])
        if quad is None:
            return None
        text = match[1] + quad
    try:
        return IPv6Address(text)
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """Go holds an IPv4 address that is mapped into IPv6 as the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address


def show(address: Address) -> str:
    """As Go writes it (RFC 5952)."""
    return str(_plain(address))


def _is_strict(text: str, address: Address) -> bool:
    """Without leading zeros in any number of its IPv4 part."""
    if isinstance(address, IPv4Address):
        return text == str(address)
    match = _EMBEDDED.fullmatch(text)
    return match is None or match[2] == _lenient_quad(match[2])


def _is_mapped(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None


def _judged(text: str, path: str) -> tuple[Address | None, ErrorList]:
    address = parse(text)
    if address is None:
        detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        return None, [field.invalid(path, text, detail)]
    found: ErrorList = []
    if not _is_strict(text, address):
        found.append(field.invalid(path, text, "must not have leading 0s"))
    elif _is_mapped(address):
        found.append(field.invalid(path, text, "must not be an IPv4-mapped IPv6 address"))
    return address, found


def _as_known(read: Address | Network | None, found: ErrorList) -> ErrorList:
    """Before strictness came, whatever could be read was good."""
    return found if read is None or gates.is_open("StrictIPCIDRValidation") else []


def legacy_ip(text: str, path: str, stored: list[str] | tuple[str, ...] = ()) -> ErrorList:
    """An address in a field that once took any form; one that is `stored` already may stay."""
    return [] if text in stored else _as_known(*_judged(text, path))


def ip(text: str, path: str) -> ErrorList:
    """An address in its one canonical form."""
    address, found = _judged(text, path)
    if not found and address is not None and text != show(address):
        found.append(field.invalid(path, text, f"must be in canonical form ({quote(show(address))})"))
    return found


def ip_warnings(text: str, path: str) -> list[str]:
    address = parse(text)
    if address is None:
        return []
    if not _is_strict(text, address) or _is_mapped(address):
        return [f"{path}: non-standard IP address {quote(text)} is invalid: use {quote(show(address))}"]
    if isinstance(address, IPv6Address) and str(address) != text:
        canonical = quote(str(address))
        return [f"{path}: IPv6 address {quote(text)} should be in RFC 5952 canonical format ({canonical})"]
    return []


def parse_cidr(text: str) -> tuple[Address, Network] | None:
    """The address that a CIDR names and the network that it lies in. None: it is none."""
    host, slash, length = text.partition("/")
    if not slash or not _DIGITS.fullmatch(length):
        return None
    address = parse(host)
    if address is None or int(length) > address.max_prefixlen:
        return None
    return address, ip_network(f"{address}/{int(length)}", strict=False)


def show_network(network: Network) -> str:
    address = _plain(network.network_address)
    if address.version == network.version:
        return str(network)
    return f"{address}/{max(0, network.prefixlen - 96)}" if network.prefixlen >= 96 else str(network)


def _judged_cidr(text: str, path: str) -> tuple[Network | None, ErrorList]:
    parsed = parse_cidr(text)
    if parsed is None:
        detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return None, [field.invalid(path, text, detail)]
    address, network = parsed
    host, _, length = text.partition("/")
    found: ErrorList = []
    if not _is_strict(host, address) or str(int(length)) != length:
        found.append(field.invalid(path, text, "must not have leading 0s in IP or prefix length"))
    elif _is_mapped(address):
        found.append(field.invalid(path, text, "must not have an IPv4-mapped IPv6 address"))
    elif address != network.network_address:
        found.append(field.invalid(path, text, "must not have bits set beyond the prefix length"))
    return network, found


def legacy_cidr(text: str, path: str, stored: list[str] | tuple[str, ...] = ()) -> ErrorList:
    """A CIDR in a field that once took any form; one that is `stored` already may stay."""
    return [] if text in stored else _as_known(*_judged_cidr(text, path))


def cidr(text: str, path: str) -> ErrorList:
    """A CIDR in its one canonical form."""
    network, found = _judged_cidr(text, path)
    if not found and network is not None and text != str(network):
        found.append(field.invalid(path, text, f"must be in canonical form ({quote(str(network))})"))
    return found


def cidr_warnings(text: str, path: str) -> list[str]:
    parsed = parse_cidr(text)
    if parsed is None:
        return []
    address, network = parsed
    out = []
    if address != network.network_address:
        single = f"{show(address)}/{network.max_prefixlen}"
        told = f"should be {quote(show_network(network))} or {quote(single)}?"
        out.append(f"{path}: CIDR value {quote(text)} is ambiguous in this context ({told})")
    host, _, length = text.partition("/")
    if not _is_strict(host, address) or str(int(length)) != length or _is_mapped(address):
        out.append(f"{path}: non-standard CIDR value {quote(text)} is invalid: use {quote(show_network(network))}")
    canonical = f"{address}/{network.prefixlen}"
    if not out and isinstance(address, IPv6Address) and canonical != text:
        told = f"should be in RFC 5952 canonical format ({quote(canonical)})"
        out.append(f"{path}: IPv6 CIDR value {quote(text)} {told}")
    return out
