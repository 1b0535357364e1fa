"""What names and lists in resource.k8s.io must be like. Source: upstream's pkg/apis/resource/validation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, FieldError
from pilothouse.api.kinds.common.declarative import Check, Covered, covered, in_bytes, text
from pilothouse.api.kinds.common.resources import is_extended

T = TypeVar("T")

DOMAIN_MAX: Final = 63
ID_MAX: Final = 32
POOL_MAX: Final = 253
KEY_MAX: Final = DOMAIN_MAX + 1 + ID_MAX
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_UUID_WRONG: Final = (
    "must be a lowercase UUID in 8-4-4-4-12 format (e.g. 'xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', where each x is a "
    "lowercase hexadecimal digit)"
)


def hide(errors: ErrorList, origin: str = "") -> ErrorList:
    """The errors as ones that give way to declarative ones."""
    return [covered(e, origin or (e.origin if isinstance(e, Covered) else "")) for e in errors]


def driver(name: str, path: str, *, hidden: bool = False) -> ErrorList:
    if not name:
        return [covered(field.required(path)) if hidden else field.required(path)]
    found: ErrorList = []
    if len(name.encode()) > DOMAIN_MAX:
        found.append(_maybe(field.too_long(path, DOMAIN_MAX), "maxLength", hidden))
    details = names.dns1123_subdomain(name.lower())
    return found + [_maybe(field.invalid(path, name, d), "format=k8s-long-name-caseless", hidden) for d in details]


def _maybe(error: FieldError, origin: str, hidden: bool) -> FieldError:
    return covered(error, origin) if hidden else error


def label(name: str, path: str) -> ErrorList:
    return [field.invalid(path, name, d) for d in names.dns1123_label(name)]


def subdomain(name: str, path: str) -> ErrorList:
    return [field.invalid(path, name, d) for d in names.dns1123_subdomain(name)]


def device_class(name: str, path: str) -> ErrorList:
    return subdomain(name, path) if name else [field.required(path)]


def pool(name: str, path: str) -> ErrorList:
    if not name:
        return [field.required(path)]
    found: ErrorList = [field.too_long(path, POOL_MAX)] if len(name.encode()) > POOL_MAX else []
    return found + [e for part in name.split("/") for e in subdomain(part, path)]


def qualified(name: str, path: str) -> ErrorList:
    """An attribute's or capacity's name: an identifier, with or without a domain."""
    parts = name.split("/")
    if len(parts) == 1:
        return _identifier(name, path)
    if len(parts) > 2:
        return []
    found = driver(parts[0], path) if parts[0] else [field.invalid(path, "", "the domain must not be empty")]
    if not parts[1]:
        return [*found, field.invalid(path, "", "the name must not be empty")]
    return found + _identifier(parts[1], path)


def fully_qualified(name: str, path: str) -> ErrorList:
    found = qualified(name, path)
    if "/" not in name:
        wrong = "a fully qualified name must be a domain and a name separated by a slash"
        found.append(field.invalid(path, name, wrong))
    return found


def _identifier(name: str, path: str) -> ErrorList:
    found: ErrorList = [field.too_long(path, ID_MAX)] if len(name.encode()) > ID_MAX else []
    return found + [field.invalid(path, name, d) for d in names.c_identifier(name)]


def uuid(value: str, path: str) -> ErrorList:
    if _UUID.fullmatch(value):
        return []
    if len(value) not in (32, 36, 38, 45):
        return [field.invalid(path, value, f"error validating uid: invalid UUID length: {len(value)}")]
    wrong = (
        "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
        "characters"
    )
    return [field.invalid(path, value, wrong)]


def each(
    values: list[T] | None, most: int, judge: Callable[[T, str], ErrorList], path: str, *, hidden: bool = True
) -> ErrorList:
    """Every element by `judge`, unless there are more than `most`; `hidden`: whether a declarative rule says that as well."""
    count = len(values or ())
    if 0 <= most < count:
        return [_maybe(field.too_many(path, count, most), "maxItems", hidden)]
    return [e for i, value in enumerate(values or ()) for e in judge(value, f"{path}[{i}]")]


def each_once(
    values: list[T] | None, most: int, judge: Callable[[T, str], ErrorList], key: Callable[[T], Any], path: str, *,
    hidden: bool = True,
) -> ErrorList:  # fmt: skip
    """The same, and no two elements with one key."""
    found = each(values, most, judge, path, hidden=hidden)
    if 0 <= most < len(values or ()):
        return found
    seen: set[Any] = set()
    for i, value in enumerate(values or ()):
        name = key(value)
        if name in seen:
            error = field.duplicate(f"{path}[{i}]", name)
            found.append(covered(error) if hidden else error)
        seen.add(name)
    return found


def truncated(text: str, most: int) -> str:
    """A key as paths show it."""
    most = max(most, 16)
    if len(text) <= most:
        return text
    rest = most - 3
    return f"{text[: (rest + 1) // 2]}...{text[len(text) - rest // 2 :]}"


def each_entry(
    values: dict[str, T] | None, most: int, judge_key: Callable[[str, str], ErrorList], judge: Callable[[T, str], ErrorList],
    path: str, *, key_max: int = KEY_MAX, hidden_keys: bool = False,
) -> ErrorList:  # fmt: skip
    count = len(values or ())
    if 0 <= most < count:
        return [field.too_many(path, count, most)]
    found: ErrorList = []
    for name, value in (values or {}).items():
        keys = judge_key(name, path)
        found += hide(keys, "format=k8s-short-name") if hidden_keys else keys
        found += judge(value, f"{path}[{truncated(name, key_max)}]")
    return found


def _pool_details(name: str, path: str) -> ErrorList:
    found: ErrorList = [field.too_long(path, POOL_MAX)] if len(name.encode()) > POOL_MAX else []
    for i, part in enumerate(name.split("/")):
        if not part:
            found.append(field.invalid(path, name, f"segment {i}: must not be empty"))
            continue
        details = in_bytes(names.dns1123_subdomain(part))
        found += [field.invalid(path, part, f"segment {i}: {d}") for d in details]
    return found


def _fully_qualified_details(name: str, path: str) -> ErrorList:
    parts = name.split("/")
    found: ErrorList = []
    if len(parts) == 2:
        if not parts[0]:
            found.append(field.invalid(path, "", "prefix must not be empty"))
        else:
            if len(parts[0].encode()) > DOMAIN_MAX:
                found.append(field.too_long(path, DOMAIN_MAX))
            details = in_bytes(names.dns1123_subdomain(parts[0]))
            found += [field.invalid(path, parts[0], f"prefix: {d}") for d in details]
        found += _identifier(parts[1], path) if parts[1] else [field.invalid(path, "", "name must not be empty")]
    elif len(parts) == 1:
        found = _identifier(name, path)
        wrong = "a fully qualified name must be a domain and a name separated by a slash"
        found.append(field.invalid(path, name, wrong))
    return found


def _check(judge: Callable[[str, str], ErrorList], origin: str) -> Check:
    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        return [] if new is None else hide(judge(new, path), origin)

    return Check(run)


def _extended_details(name: str) -> list[str]:
    found: list[str] = []
    if "/" not in name:
        found.append("a name must be a domain-prefixed path, such as 'example.com/my-prop'")
    elif "kubernetes.io/" in name:
        found.append('must not have "kubernetes.io/" domain')
    if name.startswith("requests."):
        found.append('must not have "requests." prefix')
    return found + names.qualified_name(f"requests.{name}")


pool_name = _check(_pool_details, "format=k8s-resource-pool-name")
fully_qualified_name = _check(_fully_qualified_details, "format=k8s-resource-fully-qualified-name")
label_key = text(names.qualified_name, "format=k8s-label-key")
extended_name = text(_extended_details, "format=k8s-extended-resource-name")
uuid_form = text(lambda v: [] if _UUID.fullmatch(v) else [_UUID_WRONG], "format=k8s-uuid")


def extended_resource(name: str, path: str) -> ErrorList:
    if is_extended(name):
        return []
    error = field.invalid(path, name, "must be a valid extended resource name")
    return [covered(error, "format=k8s-extended-resource-name")]
