"""The forms of texts and numbers in pod specs: paths, keys, variables' names, users.

Source: upstream's k8s.io/apimachinery/pkg/util/validation and pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.persistent_volume_sources import no_backsteps
from pilothouse.api.objects import Obj

FILE_MODE_MAX: Final = 0o777
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_HEADER: Final = "[-A-Za-z0-9]+"
_UNDERSCORED: Final = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_is_config_key = re.compile(_CONFIG_KEY).fullmatch
_is_header = re.compile(_HEADER).fullmatch
_is_printable = re.compile("[ -<>-~]*").fullmatch
_ID_MAX: Final = 2**31 - 1


def details(found: list[str], value: Any, path: str) -> ErrorList:
    return [field.invalid(path, value, d) for d in found]


def label(text: str, path: str) -> ErrorList:
    return details(names.dns1123_label(text), text, path)


def subdomain(text: str, path: str) -> ErrorList:
    return details(names.dns1123_subdomain(text), text, path)


def underscored_subdomain(text: str, path: str) -> ErrorList:
    regex = rf"{_UNDERSCORED}(\.{_UNDERSCORED})*"
    found = [names.too_long(253)] if len(text.encode()) > 253 else []
    if not re.fullmatch(regex, text):
        message = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        found.append(names.pattern(message, regex, "example.com"))
    return details(found, text, path)


def variable_name(text: str) -> list[str]:
    """Of an environment variable: anything printable but `=` (KEP-4369)."""
    out = [] if text else ["environment variable name must be non-empty"]
    if not _is_printable(text):
        out.append("a valid environment variable name must consist only of printable ASCII characters other than '='")
    return out


def config_key(text: str) -> list[str]:
    """A key of a ConfigMap or a Secret."""
    out = [names.too_long(253)] if len(text.encode()) > 253 else []
    if not _is_config_key(text):
        message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        out.append(names.pattern(message, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if text in (".", ".."):
        out.append(f"must not be '{text}'")
    elif text.startswith(".."):
        out.append("must not start with '..'")
    return out


def header_name(text: str) -> list[str]:
    if _is_header(text):
        return []
    message = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [names.pattern(message, _HEADER, "X-Header-Name")]


def maybe_prefix(rule: Callable[[str], list[str]], text: str) -> list[str]:
    """As of the beginning of a generated name: a dash at the end may stay."""
    return rule(text[:-1] + "a" if len(text) > 1 and text.endswith("-") else text)


def user_id(value: int | None, path: str) -> ErrorList:
    """Of a user or a group."""
    if value is None or 0 <= value <= _ID_MAX:
        return []
    return [field.invalid(path, value, names.in_range(0, _ID_MAX))]


def file_mode(value: int | None, path: str) -> ErrorList:
    if value is None or 0 <= value <= FILE_MODE_MAX:
        return []
    return [field.invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive")]


def non_negative(value: int | None, path: str) -> ErrorList:
    """Of an absent number too."""
    return [field.invalid(path, value, "must be greater than or equal to 0")] if (value or 0) < 0 else []


def all_required(source: Obj, path: str, *wanted: str) -> ErrorList:
    return [field.required(f"{path}.{name}") for name in wanted if not source.get(name)]


def supported(value: Any, path: str, *values: str) -> ErrorList:
    """One of `values`, where it is given at all."""
    return [] if value is None or value in values else [field.not_supported(path, value, values)]


def descending(target: str, path: str) -> ErrorList:
    """A path within a volume."""
    found = [field.invalid(path, target, "must be a relative path")] if target.startswith("/") else []
    return found + no_backsteps(target, path)


def descending_unreserved(target: str, path: str) -> ErrorList:
    """The same, of a file that nobody else may write: names that begin with two dots are the kubelet's."""
    found = descending(target, path)
    if target.startswith("..") and not target.startswith("../"):
        found.append(field.invalid(path, target, "must not start with '..'"))
    return found
