"""The forms that names and keys have: each function says what is wrong with a text, as details of an error.

Source: upstream's k8s.io/apimachinery/pkg/util/validation and the documentation's page on object names.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_label = re.compile(_LABEL)
_subdomain = re.compile(_SUBDOMAIN)
_subdomain_caseless = re.compile(_SUBDOMAIN, re.IGNORECASE | re.ASCII)
_dns1035 = re.compile(_DNS1035)
_wildcard = re.compile(rf"\*\.{_SUBDOMAIN}")
_key = re.compile(_KEY)
_value = re.compile(f"({_KEY})?")
_c_identifier = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def too_long(limit: int) -> str:
    return f"must be no more than {limit} characters"


def in_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def pattern(message: str, regex: str, *examples: str) -> str:
    """A detail that names the pattern, after examples of it."""
    if not examples:
        return f"{message} (regex used for validation is '{regex}')"
    listed = " or ".join(f"'{e}', " for e in examples)
    return f"{message} (e.g. {listed}regex used for validation is '{regex}')"


def dns1123_label(text: str) -> list[str]:
    out = [too_long(63)] if _size(text) > 63 else []
    if not _label.fullmatch(text):
        if _subdomain.fullmatch(text):
            out.append("must not contain dots")
        else:
            message = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            out.append(pattern(message, _LABEL, "my-name", "123-abc"))
    return out


def dns1123_subdomain(text: str) -> list[str]:
    out = [too_long(253)] if _size(text) > 253 else []
    if not _subdomain.fullmatch(text):
        message = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        out.append(pattern(message, _SUBDOMAIN, "example.com"))
    return out


def dns1123_subdomain_caseless(text: str) -> list[str]:
    out = ["must be no more than 253 bytes"] if _size(text) > 253 else []
    if not _subdomain_caseless.fullmatch(text):
        message = (
            "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        out.append(pattern(message, _SUBDOMAIN, "Example.com"))
    return out


def dns1035_label(text: str) -> list[str]:
    out = [too_long(63)] if _size(text) > 63 else []
    if not _dns1035.fullmatch(text):
        message = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        out.append(pattern(message, _DNS1035, "my-name", "abc-123"))
    return out


def wildcard_dns1123_subdomain(text: str) -> list[str]:
    out = [too_long(253)] if _size(text) > 253 else []
    if not _wildcard.fullmatch(text):
        message = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        out.append(pattern(message, rf"\*\.{_SUBDOMAIN}", "*.example.com"))
    return out


def qualified_name(text: str) -> list[str]:
    """A label's key: a name with an optional DNS subdomain and a slash before it."""
    form = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    told = pattern(form, _KEY, "MyName", "my.name", "123-abc")
    parts = text.split("/")
    out: list[str] = []
    if len(parts) > 2:
        return [f"a valid label key {told} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            out.append("prefix part must be non-empty")
        else:
            details = dns1123_subdomain(prefix)
            if details and details[0] == too_long(253):
                details[0] = "must be no more than 253 bytes"
            out += [f"prefix part {d}" for d in details]
    name = parts[-1]
    if not name:
        out.append("name part must be non-empty")
    elif _size(name) > 63:
        out.append("name part must be no more than 63 bytes")
    if not _key.fullmatch(name):
        out.append(f"name part {told}")
    return out


def label_value(text: str) -> list[str]:
    out = ["must be no more than 63 bytes"] if _size(text) > 63 else []
    if not _value.fullmatch(text):
        message = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        out.append(pattern(message, f"({_KEY})?", "MyValue", "my_value", "12345"))
    return out


def path_segment(text: str) -> list[str]:
    """A name that an address can hold: what most cluster-scoped policy objects ask of theirs."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{c}'" for c in "/%" if c in text]


def c_identifier(text: str) -> list[str]:
    if _c_identifier.fullmatch(text):
        return []
    message = (
        "a valid C identifier must start with alphabetic character or '_', "
        "followed by a string of alphanumeric characters or '_'"
    )
    return [pattern(message, "[A-Za-z_][A-Za-z0-9_]*", "my_name", "MY_NAME", "MyName")]


def port_number(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else [in_range(1, 65535)]


def port_name(text: str) -> list[str]:
    out = [too_long(15)] if _size(text) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", text):
        out.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        out.append("must contain at least one letter (a-z)")
    if "--" in text:
        out.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        out.append("must not begin or end with a hyphen")
    return out
