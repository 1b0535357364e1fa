"""What Kubernetes' own libraries do: lists, regex, URLs, quantities, addresses, versions, named formats.

Source: the documentation's page "Common Expression Language in Kubernetes"; the messages are upstream's.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from decimal import Context, Decimal
from itertools import pairwise
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from pilothouse.api import names
from pilothouse.api.cel.extensions import compare
from pilothouse.api.cel.library import call, implements
from pilothouse.api.cel.values import (
    INT_MAX,
    INT_MIN,
    NOTHING,
    CelError,
    Duration,
    NamedFormat,
    NoOverload,
    Optional,
    Semver,
    Uint,
    Url,
    equal,
    kind_of,
)
from pilothouse.api.field import quote as quoted
from pilothouse.api.kinds.common.urls import parse_error
from pilothouse.api.quantity import Format, Quantity
from pilothouse.api.structural.regexp import searcher


@implements("isSorted", "list")
def _is_sorted(values: list[Any]) -> bool:
    return all(compare(a, b) <= 0 for a, b in pairwise(values))


@implements("sum", "list")
def _sum(values: list[Any]) -> Any:
    if not values:
        return 0
    zeros = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}
    total = zeros.get(kind_of(values[0]), values[0])
    for value in values:
        total = call("_+_", [total, value])
    return total


def _extreme(name: str, better: int) -> Callable[[list[Any]], Any]:
    def found(values: list[Any]) -> Any:
        if not values:
            raise CelError(f"{name} called on empty list")
        best = values[0]
        for value in values[1:]:
            best = value if compare(best, value) == better else best
        return best

    return found


implements("min", "list")(_extreme("min", 1))
implements("max", "list")(_extreme("max", -1))


@implements("indexOf", "list", "any")
def _index_of(values: list[Any], item: Any) -> int:
    return next((i for i, v in enumerate(values) if equal(v, item)), -1)


@implements("lastIndexOf", "list", "any")
def _last_index_of(values: list[Any], item: Any) -> int:
    return next((i for i in range(len(values) - 1, -1, -1) if equal(values[i], item)), -1)


@implements("includes", "any", "any")
def _includes(values: Any, item: Any) -> bool:
    return any(equal(v, item) for v in values) if kind_of(values) == "list" else equal(values, item)


def _searcher(pattern: str) -> Callable[..., Any]:
    try:
        return searcher(pattern)
    except ValueError as e:
        raise CelError(f"Illegal regex: {e}") from None


@implements("find", "string", "string")
def _find(text: str, pattern: str) -> str:
    found = _searcher(pattern)(text)
    return str(found.group(0)) if found else ""


@implements("findAll", "string", "string")
def _find_all(text: str, pattern: str) -> list[str]:
    return _find_some(text, pattern, -1)


@implements("findAll", "string", "string", "int")
def _find_some(text: str, pattern: str, count: int) -> list[str]:
    search, at, found = _searcher(pattern), 0, list[str]()
    last_end = -1
    while at <= len(text) and len(found) != count:
        match = search(text, at)
        if match is None:
            break
        start, end = match.span()
        if start != end or start != last_end:
            found.append(match.group(0))
        last_end = end
        at = end if end > start else end + 1
    return found


def _url_of(text: str) -> Url:
    wrong = parse_error(text, request=True)
    if wrong:
        raise CelError(f"URL parse error during conversion from string: parse {quoted(text)}: {wrong}")
    parts = urlsplit(text)
    host = parts.netloc.rpartition("@")[2]
    bracketed, _, after = host.partition("]") if host.startswith("[") else ("", "", "")
    hostname = bracketed[1:] if bracketed else host.partition(":")[0]
    port = after.removeprefix(":") if bracketed else host.partition(":")[2]
    return Url(text, parts.scheme, host, hostname, port, quote(parts.path, safe="/%:@!$&'()*+,;=-._~"), parts.query)


@implements("url", "string")
def _url(text: str) -> Url:
    return _url_of(text)


@implements("isURL", "string")
def _is_url(text: str) -> bool:
    return not parse_error(text, request=True)


def _accessor(name: str, kind: str, read: Callable[[Any], Any]) -> None:
    implements(name, kind)(read)


_accessor("getScheme", "URL", lambda u: u.scheme)
_accessor("getHost", "URL", lambda u: u.host)
_accessor("getHostname", "URL", lambda u: u.hostname)
_accessor("getPort", "URL", lambda u: u.port)
_accessor("getEscapedPath", "URL", lambda u: u.escaped_path)
_accessor("getQuery", "URL", lambda u: parse_qs(u.query, keep_blank_values=True))


@implements("quantity", "string")
def _quantity(text: str) -> Quantity:
    try:
        return Quantity.parse(text)
    except ValueError as e:
        raise CelError(str(e)) from None


@implements("isQuantity", "string")
def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except ValueError:
        return False
    return True


def _whole(value: Quantity) -> int | None:
    amount = value.amount
    if value.format is Format.BINARY_SI or amount == amount.to_integral_value():
        whole = int(amount)
        return whole if whole == amount and INT_MIN <= whole <= INT_MAX else None
    return None


@implements("asInteger", "Quantity")
def _as_integer(value: Quantity) -> int:
    whole = _whole(value)
    if whole is None:
        raise CelError("cannot convert value to integer")
    return whole


_EXACT: Final = Context(prec=200)


def _quantity_of(amount: Decimal, like: Quantity) -> Quantity:
    return Quantity(amount, like.format)


_accessor("isInteger", "Quantity", lambda q: _whole(q) is not None)
_accessor("asApproximateFloat", "Quantity", lambda q: float(q.amount))
_accessor("sign", "Quantity", lambda q: (q.amount > 0) - (q.amount < 0))
implements("isGreaterThan", "Quantity", "Quantity")(lambda a, b: a.amount > b.amount)
implements("isLessThan", "Quantity", "Quantity")(lambda a, b: a.amount < b.amount)
implements("compareTo", "Quantity", "Quantity")(lambda a, b: (a.amount > b.amount) - (a.amount < b.amount))
implements("add", "Quantity", "Quantity")(lambda a, b: _quantity_of(_EXACT.add(a.amount, b.amount), a))
implements("add", "Quantity", "int")(lambda a, b: _quantity_of(_EXACT.add(a.amount, b), a))
implements("sub", "Quantity", "Quantity")(lambda a, b: _quantity_of(_EXACT.subtract(a.amount, b.amount), a))
implements("sub", "Quantity", "int")(lambda a, b: _quantity_of(_EXACT.subtract(a.amount, b), a))

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _parse_ip(text: str) -> _Address:
    """Raises CelError."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        why = f"ParseAddr({quoted(text)}): {_why_no_ip(text)}"
        raise CelError(f"IP Address {quoted(text)} parse error during conversion from string: {why}") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise CelError(f"IP address {quoted(text)} with zone value is not allowed")
        if address.ipv4_mapped is not None:
            raise CelError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return address


def _why_no_ip(text: str) -> str:
    """The commonest of netip.ParseAddr's reasons."""
    first = next((c for c in text if c in ".:%"), "")
    if first == ".":
        parts = text.split(".")
        if not all(p.isdecimal() for p in parts if p) or (bad := next((c for c in text if c not in "0123456789."), "")):
            return f"unexpected character (at {quoted(text[text.index(bad) :])})" if bad else "unable to parse IP"
        if "" in parts:
            return "IPv4 field must have at least one digit"
        if any(len(p) > 1 and p.startswith("0") for p in parts):
            return "IPv4 field has octet with leading zero"
        if any(int(p) > 255 for p in parts):
            return "IPv4 field has value >255"
        return "IPv4 address too long" if len(parts) > 4 else "IPv4 address too short"
    return "unable to parse IP" if first != "%" else "missing IPv6 address"


def _parse_cidr(text: str) -> _Interface:
    """Raises CelError."""
    what = "network address parse error during conversion from string: "
    _, slash, bits = text.partition("/")
    try:
        if not slash or not bits.isdecimal() or (len(bits) > 1 and bits.startswith("0")):
            raise ValueError
        interface = ipaddress.ip_interface(text)
    except ValueError:
        why = "no '/'" if not slash else f"bad bits after slash: {quoted(bits)}"
        raise CelError(f"{what}{what}netip.ParsePrefix({quoted(text)}): {why}") from None
    if isinstance(interface, ipaddress.IPv6Interface) and interface.ip.ipv4_mapped is not None:
        raise CelError(f"{what}IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return interface


def _reads(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def can(text: str) -> bool:
        try:
            parse(text)
        except CelError:
            return False
        return True

    return can


implements("ip", "string")(_parse_ip)
implements("isIP", "string")(_reads(_parse_ip))
implements("ip.isCanonical", "string")(lambda text: str(_parse_ip(text)) == text)
implements("cidr", "string")(_parse_cidr)
implements("isCIDR", "string")(_reads(_parse_cidr))
_accessor("ip", "CIDR", lambda c: c.ip)
_accessor("prefixLength", "CIDR", lambda c: c.network.prefixlen)
_accessor("masked", "CIDR", lambda c: ipaddress.ip_interface(str(c.network)))
_accessor("family", "IP", lambda a: a.version)
_accessor("isUnspecified", "IP", lambda a: a.is_unspecified)
_accessor("isLoopback", "IP", lambda a: a.is_loopback)
_LINK_LOCAL_MULTICAST: Final = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def _link_local_multicast(address: _Address) -> bool:
    if address.version == 6:
        return address in ipaddress.ip_network("ff02::/16") or int(address) >> 112 & 0xFF0F == 0xFF02
    return address in _LINK_LOCAL_MULTICAST[4]


def _global_unicast(address: _Address) -> bool:
    broadcast = address == ipaddress.ip_address("255.255.255.255")
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (broadcast or special)


_accessor("isLinkLocalMulticast", "IP", _link_local_multicast)
_accessor("isLinkLocalUnicast", "IP", lambda a: a.is_link_local)
_accessor("isGlobalUnicast", "IP", _global_unicast)


@implements("containsIP", "CIDR", "IP")
def _contains_ip(network: _Interface, address: _Address) -> bool:
    return address in network.network


@implements("containsIP", "CIDR", "string")
def _contains_ip_text(network: _Interface, text: str) -> bool:
    try:
        address = _parse_ip(text)
    except CelError:  # upstream passes the failure on as an argument
        raise NoOverload from None
    return _contains_ip(network, address)


@implements("containsCIDR", "CIDR", "CIDR")
def _contains_cidr(network: _Interface, other: _Interface) -> bool:
    wider = network.network.prefixlen <= other.network.prefixlen
    return network.version == other.version and wider and network.network.overlaps(other.network)


implements("containsCIDR", "CIDR", "string")(lambda c, text: _contains_cidr(c, _parse_cidr(text)))

_NUMBER: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_WORD: Final = re.compile(r"[0-9A-Za-z-]+", re.ASCII)


def _parse_semver(text: str) -> Semver:
    """Raises CelError."""
    if not text:
        raise CelError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise CelError("No Major.Minor.Patch elements found")
    rest, plus, build = parts[2].partition("+")
    patch, dash, pre = rest.partition("-")
    numbers: list[int] = []
    for name, part in (("major", parts[0]), ("minor", parts[1]), ("patch", patch)):
        if not (part.isascii() and part.isdecimal()):
            raise CelError(f"Invalid character(s) found in {name} number {quoted(part)}")
        if not _NUMBER.fullmatch(part):
            raise CelError(f"{name.capitalize()} number must not contain leading zeroes {quoted(part)}")
        numbers.append(int(part))
    identifiers = [_pre_release(p) for p in pre.split(".")] if dash else []
    for word in build.split(".") if plus else []:
        if not word:
            raise CelError("Build meta data is empty")
        if not _WORD.fullmatch(word):
            raise CelError(f"Invalid character(s) found in build meta data {quoted(word)}")
    return Semver(numbers[0], numbers[1], numbers[2], tuple(identifiers), build)


def _pre_release(text: str) -> int | str:
    if not text:
        raise CelError("Prerelease is empty")
    if text.isascii() and text.isdecimal():
        if not _NUMBER.fullmatch(text):
            raise CelError(f"Numeric PreRelease version must not contain leading zeroes {quoted(text)}")
        return int(text)
    if not _WORD.fullmatch(text):
        raise CelError(f"Invalid character(s) found in prerelease {quoted(text)}")
    return text


def _normal_semver(text: str, normalize: bool) -> Semver:
    """Without a leading v or leading zeros, and with the numbers that are missing, if wanted."""
    if not normalize:
        return _parse_semver(text)
    parts = text.removeprefix("v").split(".", 2)
    for i, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[i] = stripped if stripped[:1].isdecimal() else f"0{stripped}"
    if len(parts) < 3 and ("+" in parts[-1] or "-" in parts[-1]):
        raise CelError("short version cannot contain PreRelease/Build meta data")
    return _parse_semver(".".join(parts + ["0"] * (3 - len(parts))))


implements("semver", "string")(_parse_semver)
implements("semver", "string", "bool")(_normal_semver)
implements("isSemver", "string")(_reads(_parse_semver))
implements("isSemver", "string", "bool")(lambda text, normalize: _reads(lambda t: _normal_semver(t, normalize))(text))
_accessor("major", "Semver", lambda v: v.major)
_accessor("minor", "Semver", lambda v: v.minor)
_accessor("patch", "Semver", lambda v: v.patch)
implements("isGreaterThan", "Semver", "Semver")(lambda a, b: a.precedence() > b.precedence())
implements("isLessThan", "Semver", "Semver")(lambda a, b: a.precedence() < b.precedence())


@implements("compareTo", "Semver", "Semver")
def _compare_semver(a: Semver, b: Semver) -> int:
    left, right = a.precedence(), b.precedence()
    return (left > right) - (left < right)


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The check of a name whose last character may be a dash, because something follows."""
    return lambda text: check(text[:-1] + "a" if text.endswith("-") and len(text) > 1 else text)


def _uri(text: str) -> list[str]:
    wrong = parse_error(text, request=True)
    return [f"parse {quoted(text)}: {wrong}"] if wrong else []


_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})?", re.ASCII)


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _date(text: str) -> bool:
    from datetime import date

    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _matches(check: Callable[[str], object], wrong: str) -> Callable[[str], list[str]]:
    return lambda text: [] if check(text) else [wrong]


FORMATS: Final = {
    "dns1123Label": NamedFormat("DNS1123Label", names.dns1123_label, 30),
    "dns1123Subdomain": NamedFormat("DNS1123Subdomain", names.dns1123_subdomain, 60),
    "dns1035Label": NamedFormat("DNS1035Label", names.dns1035_label, 30),
    "qualifiedName": NamedFormat("QualifiedName", names.qualified_name, 60),
    "dns1123LabelPrefix": NamedFormat("DNS1123LabelPrefix", _prefix(names.dns1123_label), 30),
    "dns1123SubdomainPrefix": NamedFormat("DNS1123SubdomainPrefix", _prefix(names.dns1123_subdomain), 60),
    "dns1035LabelPrefix": NamedFormat("DNS1035LabelPrefix", _prefix(names.dns1035_label), 30),
    "labelValue": NamedFormat("LabelValue", names.label_value, 40),
    "uri": NamedFormat("URI", _uri, 1103),
    "uuid": NamedFormat("uuid", _matches(_UUID.fullmatch, "does not match the UUID format"), 70),
    "byte": NamedFormat("byte", _matches(_base64, "invalid base64"), 84),
    "date": NamedFormat("date", _matches(_date, "invalid date"), 71),
    "datetime": NamedFormat("datetime", _matches(_DATE_TIME.fullmatch, "invalid datetime"), 71),
}


@implements("format.named", "string")
def _named(name: str) -> Optional:
    return Optional(FORMATS[name]) if name in FORMATS else NOTHING


def _constant(form: NamedFormat) -> Callable[[], NamedFormat]:
    return lambda: form


for _name, _form in FORMATS.items():
    implements(f"format.{_name}")(_constant(_form))


@implements("validate", "Format", "string")
def _validate(form: NamedFormat, text: str) -> Optional:
    wrong = form.wrong(text)
    return Optional(wrong) if wrong else NOTHING


@implements("jsonpatch.escapeKey", "string")
def _escape_key(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
