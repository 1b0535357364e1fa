"""StorageVersion: which version each API server writes of a resource, and which it reads."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.strategy import drop_status, update_status, update_without_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_LABEL: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WORDS: Final = (
    "an apiVersion is a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character"
)
_SHOWN_MOST: Final = 3


def _name(name: str, _prefix: bool) -> list[str]:
    group, dot, resource = name.rpartition(".")
    if not dot:
        return ["name must be in the form of <group>.<resource>"]
    return [f"the group segment {d}" for d in names.dns1123_subdomain(group)] + [
        f"the resource segment {d}" for d in names.dns1035_label(resource)
    ]


def _api_version(text: str) -> list[str]:
    parts = text.split("/")
    if len(parts) > 2:
        told = names.pattern(_WORDS, _LABEL, "my-name", "abc-123")
        return [f"{told} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')"]
    found = []
    if len(parts) == 2:
        wrong = names.dns1123_subdomain(parts[0]) if parts[0] else ["must be non-empty"]
        found += [f"group part: {d}" for d in wrong]
    wrong = names.dns1035_label(parts[-1]) if parts[-1] else ["must be non-empty"]
    return found + [f"version part: {d}" for d in wrong]


def _server(server: Obj, path: str) -> ErrorList:
    own, encoding = server.get("apiServerID") or "", server.get("encodingVersion") or ""
    decodable = server.get("decodableVersions") or []
    found = [field.invalid(f"{path}.apiServerID", own, d) for d in names.dns1123_subdomain(own)]
    for place, version in (
        ("encodingVersion", encoding),
        *((f"decodableVersions[{i}]", v) for i, v in enumerate(decodable)),
    ):
        wrong = _api_version(version)
        if wrong:
            found.append(field.invalid(f"{path}.{place}", version, ",".join(wrong)))
    if encoding not in decodable:
        detail = f"decodableVersions must include encodingVersion {encoding}"
        found.append(field.invalid(f"{path}.decodableVersions", decodable or None, detail))
    for i, version in enumerate(server.get("servedVersions") or ()):
        wrong = _api_version(version)
        if wrong:
            found.append(field.invalid(f"{path}.servedVersions[{i}]", version, ",".join(wrong)))
        if version not in decodable:
            listed = " ".join(decodable)
            detail = f"individual served version : {version} must be included in decodableVersions : [{listed}]"
            found.append(field.invalid(f"{path}.servedVersions[{i}]", version, detail))
    return found


def _common(servers: list[Obj], given: str | None) -> ErrorList:
    path = "status.commonEncodingVersion"
    versions = {s.get("encodingVersion") or "" for s in servers}
    if len(versions) != 1:
        detail = (
            "should be nil if servers do not agree on the same encoding version, or if there is no server reporting the "
            "supported versions yet"
        )
        return [] if given is None else [field.invalid(path, given, detail)]
    actual = versions.pop()
    if given is None:
        return [field.invalid(path, None, f"the common encoding version is {actual}")]
    return [] if given == actual else [field.invalid(path, given, f"the actual common encoding version is {actual}")]


def _conditions(values: list[Obj]) -> ErrorList:
    found: ErrorList = []
    seen: dict[str, int] = {}
    for i, condition in enumerate(values):
        path, kind = f"status[{i}]", condition.get("type") or ""
        if kind in seen:
            detail = f"the type of the condition is not unique, it also appears in conditions[{seen[kind]}]"
            found.append(field.invalid(f"{path}.type", kind, detail))
        seen[kind] = i
        for name in ("type", "status"):
            value = condition.get(name) or ""
            found += [field.invalid(f"{path}.{name}", value, d) for d in names.qualified_name(value)]
        found += [field.required(f"{path}.{name}") for name in ("reason", "message") if not condition.get(name)]
    return found


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    status = new.get("status") or {}
    servers = status.get("storageVersions") or []
    found: ErrorList = []
    seen: set[str] = set()
    for i, server in enumerate(servers):
        path, own = f"status.storageVersions[{i}]", server.get("apiServerID") or ""
        if own in seen:
            found.append(field.duplicate(f"{path}.apiServerID", own))
        seen.add(own)
        found += _server(server, path)
    return found + _common(servers, status.get("commonEncodingVersion")) + _conditions(status.get("conditions") or [])


def _row(obj: Obj, now_s: float) -> list[Any]:
    status = obj.get("status") or {}
    common = status.get("commonEncodingVersion")
    shown = [
        f"{s.get('apiServerID') or ''}={s.get('encodingVersion') or ''}" for s in status.get("storageVersions") or ()
    ]
    listed = ",".join(shown[:_SHOWN_MOST])
    if len(shown) > _SHOWN_MOST:
        listed += f" + {len(shown) - _SHOWN_MOST} more..."
    return [meta(obj).get("name", ""), "<unset>" if common is None else common, listed or "<unset>", age(obj, now_s)]


KIND = Kind(
    prepare_create=drop_status,
    prepare_update=update_without_generation,
    prepare_status=update_status,
    validate_status=_validate_status,
    name=_name,
    row=_row,
    unconditional_update=False,
    status_reset_fields=frozenset({"metadata", "spec"}),
)
