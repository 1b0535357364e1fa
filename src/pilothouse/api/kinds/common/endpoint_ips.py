"""Addresses behind a service: of Endpoints and EndpointSlices."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses

_LOOPBACK: Final = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
_LINK_LOCAL: Final = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
_MULTICAST: Final = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
_RANGES: Final[tuple[tuple[IPv4Network | IPv6Network, IPv4Network | IPv6Network, str], ...]] = (
    (ip_network("127.0.0.0/8"), ip_network("::1/128"), _LOOPBACK),
    (ip_network("169.254.0.0/16"), ip_network("fe80::/10"), _LINK_LOCAL),
    (ip_network("224.0.0.0/24"), ip_network("ff02::/16"), _MULTICAST),
)


def endpoint_ip(text: str, path: str) -> ErrorList:
    """An address that traffic can be sent to."""
    address = addresses.parse(text)
    if address is None:
        return [field.invalid(path, text, "must be a valid IP address")]
    if address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    found: ErrorList = []
    if address.is_unspecified:
        found.append(field.invalid(path, text, f"may not be unspecified ({text})"))
    for v4, v6, detail in _RANGES:
        if address in (v4 if isinstance(address, IPv4Address) else v6):
            found.append(field.invalid(path, text, detail))
    return found
