"""The formats of strings that schemas may demand.

Source: kube-openapi's pkg/validation/strfmt and upstream's list of the formats that CustomResourceDefinitions may use.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Final

from pilothouse.api.codec import gotime
from pilothouse.api.objects import Obj
from pilothouse.api.structural import regexp

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OF_NUMBERS: Final = {"integer": ("int32", "int64"), "number": ("float", "double")}
_S: Final = 10**9
# (unit's names, what names of it begin with, nanoseconds)
_UNITS: Final = (
    (("ns",), "nano", 1), (("us", "µs"), "micro", 1000), (("ms",), "milli", 10**6), (("s",), "sec", _S),
    (("m",), "min", 60 * _S), (("h", "hr"), "hour", 3600 * _S), (("d",), "day", 86400 * _S),
    (("w", "wk"), "week", 7 * 86400 * _S),
)  # fmt: skip


def _matching(pattern: str, limit: int = 0) -> Callable[[str], bool]:
    def judge(text: str) -> bool:
        if limit and len(text.encode()) > limit:
            return False
        return regexp.searcher(pattern)(text) is not None

    return judge


def _uri(text: str) -> bool:
    """Go's url.ParseRequestURI."""
    if not text or any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        return False
    scheme, colon, rest = text.partition(":")
    if text.startswith("/"):
        path = text
    elif colon and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        if not rest.startswith("/"):
            return True  # opaque
        path = rest
    else:
        return False
    host = path[2:].partition("/")[0] if path.startswith("//") else ""
    port = host.rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    if any(c in ' "<>\\^`{|}' for c in host) or (port and not port.isdecimal()):
        return False
    return re.search(r"%(?![0-9a-fA-F]{2})", path.partition("?")[0]) is None


_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_ADDRESS: Final = re.compile(
    rf"""(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\r\n]|\\.)*")@(?:{_ATOM}(?:\.{_ATOM})*|\[[^\[\]\\\s]*\])"""
)
_NAMED: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^<>@,;:\\"\[\]()]*)\s*<([^<>]*)>')


def _email(text: str) -> bool:
    text = text.strip()
    named = _NAMED.fullmatch(text)
    return _ADDRESS.fullmatch(named[1].strip() if named else text) is not None


_HOSTNAME: Final = (
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)"
    r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
)


def _hostname(text: str) -> bool:
    if not regexp.searcher(_HOSTNAME)(text) or len(text.encode()) > 255:
        return False
    return all(len(part.encode()) <= 63 for part in text.split("."))


def _sloppy_ip(text: str) -> bool:
    if ":" in text:
        return _ipv6(text)
    parts = text.split(".")
    return (
        len(parts) == 4
        and all(p.isascii() and p.isdigit() and int(p) <= 255 for p in parts if len(p) < 20)
        and all(p and len(p) < 20 for p in parts)
    )


def _ipv4(text: str) -> bool:
    return "." in text and _sloppy_ip(text)


def _ipv6(text: str) -> bool:
    try:
        return "%" not in text and ":" in text and bool(ipaddress.IPv6Address(text) is not None)
    except ValueError:
        return False


def _cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    if not slash or not bits.isascii() or not bits.isdigit() or len(bits) > 5 or not _sloppy_ip(address):
        return False
    return int(bits) <= (128 if ":" in address else 32)


def _mac(text: str) -> bool:
    for separator, size in ((":", 2), ("-", 2), (".", 4)):
        parts = text.split(separator)
        if len(parts) > 1 and len(parts) * size // 2 in (6, 8, 20):
            return all(re.fullmatch(f"[0-9a-fA-F]{{{size}}}", p) for p in parts)
    return False


def _digits(text: str) -> str:
    return re.sub(r"[\s-]+", "", text)


def _isbn10(text: str) -> bool:
    text = _digits(text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", text):
        return False
    return sum((10 if c == "X" else int(c)) * (i + 1) for i, c in enumerate(text)) % 11 == 0


def _isbn13(text: str) -> bool:
    text = _digits(text)
    if not re.fullmatch("[0-9]{13}", text):
        return False
    return sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(text)) % 10 == 0


_CARD: Final = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11}"
    r"|6[27][0-9]{14})"
)


def _credit_card(text: str) -> bool:
    text = re.sub(r"[^0-9]+", "", text)
    if not _CARD.fullmatch(text):
        return False
    total = 0
    for i, c in enumerate(reversed(text)):
        digit = int(c) * (2 if i % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


_RGB_PART: Final = r"(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:])
    try:
        date(year or 2000, month, day)  # Go knows the leap year 0
    except ValueError:
        return False
    return True


_CLOCK: Final = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))")


def _datetime(text: str) -> bool:
    parts = text.lower().split("t")
    if len(text) < 4 or len(parts) < 2 or not _date(parts[0]):
        return False
    clock = _CLOCK.fullmatch(parts[1])
    return clock is not None and clock[1] <= "23" and clock[2] <= "59" and clock[3] <= "59"


def duration(text: str) -> int | None:
    """Nanoseconds of `1h30m` or `3 days`; None for what is neither."""
    try:
        return gotime.parse_duration(text)
    except gotime.GoError:
        pass
    total, found = 0, False
    for number, unit in re.findall(r"(\d+)\s*([A-Za-zµ]+)", text):
        unit = unit.lower()
        for names, beginning, length in _UNITS:
            if unit in names or unit.startswith(beginning):
                total, found = total + int(number) * length, True
                break
    return total if found else None


def _duration(text: str) -> bool:
    return duration(text) is not None


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "bsonobjectid": _matching("^[0-9a-fA-F]{24}$"),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _matching(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
    "uuid3": _matching(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$"),
    "uuid4": _matching(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
    "uuid5": _matching(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matching(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"),
    "hexcolor": _matching("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    "rgbcolor": _matching(rf"^rgb\(\s*{_RGB_PART}\s*,\s*{_RGB_PART}\s*,\s*{_RGB_PART}\s*\)$"),
    "byte": _byte,
    "password": lambda _: True,
    "date": _date,
    "duration": _duration,
    "datetime": _datetime,
    "k8sshortname": _matching(f"^{_LABEL}$", 63),
    "k8slongname": _matching(rf"^{_LABEL}(\.{_LABEL})*$", 253),
}


@lru_cache(maxsize=256)
def _normalized(name: str) -> str:
    return name.replace("-", "")


def checker(name: str) -> Callable[[str], bool] | None:
    """Whether a text has the format; None for a format that is not known."""
    return _FORMATS.get(_normalized(name))


def recognized(schema: Obj) -> bool:
    """Whether the schema's format means anything for its type."""
    kind, name = schema.get("type") or "", schema.get("format") or ""
    if kind in ("", "string"):
        return _normalized(name) in _FORMATS
    return name in _OF_NUMBERS.get(kind, ())


def effective(schema: Obj) -> str:
    """The format that objects are held to; those unknown are let be."""
    name = schema.get("format") or ""
    return name if name and not schema.get("x-kubernetes-int-or-string") and recognized(schema) else ""
