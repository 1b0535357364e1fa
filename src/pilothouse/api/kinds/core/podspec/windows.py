"""What is particular to Windows: options of security contexts, host processes, and what such a pod cannot have."""

from __future__ import annotations

import re
from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.podspec import containers, forms
from pilothouse.api.objects import Obj

_SPEC_KIB_MAX: Final = 64
_DOMAIN_MAX: Final = 256
_USER_MAX: Final = 104
_has_control = re.compile(r"[\x00-\x1f\x7f]").search
_is_net_bios = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}').fullmatch
_DNS: Final = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_is_dns = re.compile(rf"{_DNS}(?:\.{_DNS})*").fullmatch
_has_bad = re.compile(r'["/\\:;|=,+*?<>@\[\]]').search
_is_dots = re.compile("[. ]+").fullmatch
_FORBIDDEN: Final = "cannot be set for a windows pod"
_NOT_IN_POD: Final = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_NOT_IN_CONTAINER: Final = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def options(value: Obj | None, path: str) -> ErrorList:
    if value is None:
        return []
    found: ErrorList = []
    name, credentials, user = (value.get(n) for n in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"))
    if name is not None:
        found += forms.subdomain(name, f"{path}.gmsaCredentialSpecName")
    at = f"{path}.gmsaCredentialSpec"
    if credentials == "":
        found.append(field.invalid(at, credentials, "gmsaCredentialSpec cannot be an empty string"))
    elif credentials is not None and len(credentials.encode()) > _SPEC_KIB_MAX * 1024:
        found.append(field.invalid(at, credentials, f"gmsaCredentialSpec size must be under {_SPEC_KIB_MAX} KiB"))
    if user is not None:
        found += [field.invalid(f"{path}.runAsUserName", user, d) for d in _user_name(user)]
    return found


def _user_name(text: str) -> list[str]:
    if not text:
        return ["runAsUserName cannot be an empty string"]
    if _has_control(text):
        return ["runAsUserName cannot contain control characters"]
    if text.count("\\") > 1:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, backslash, user = text.rpartition("\\")
    out = []
    if len(domain.encode()) >= _DOMAIN_MAX:
        out.append(f"runAsUserName's Domain length must be under {_DOMAIN_MAX} characters")
    if backslash and not (_is_net_bios(domain) or _is_dns(domain)):
        out.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        out.append("runAsUserName's User cannot be empty")
    elif len(user.encode()) > _USER_MAX:
        out.append(f"runAsUserName's User length must not be longer than {_USER_MAX} characters")
    if _is_dots(user):
        out.append("runAsUserName's User cannot contain only periods or spaces")
    if _has_bad(user):
        out.append("runAsUserName's User cannot contain the following characters: " + '"/\\:;|=,+*?<>@[]')
    return out


def host_processes(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    own = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    total = count = 0
    for container, at in containers.located(spec, path):
        total += 1
        wanted = ((container.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
        if own is not None and wanted is not None and own != wanted:
            shown = "true" if own else "false"
            detail = f"pod hostProcess value must be identical if both are specified, was {shown}"
            found.append(field.invalid(f"{at}.securityContext.windowsOptions.hostProcess", wanted, detail))
        count += bool(own if wanted is None else wanted)
    if not count:
        return found
    if count != total:
        detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        found.append(field.invalid(path, "", detail))
    if not spec.get("hostNetwork"):
        detail = "hostNetwork must be true if pod contains any hostProcess containers"
        found.append(field.invalid(f"{path}.hostNetwork", False, detail))
    return found


def linux_pod(spec: Obj, path: str) -> ErrorList:
    """What a pod for Linux cannot have."""
    found: ErrorList = []
    holders = [(spec, path), *containers.located(spec, path)]
    for holder, at in holders:
        if (holder.get("securityContext") or {}).get("windowsOptions") is not None:
            detail = "windows options cannot be set for a linux pod"
            found.append(field.forbidden(f"{at}.securityContext.windowsOptions", detail))
    return found


def windows_pod(spec: Obj, path: str) -> ErrorList:
    """What a pod for Windows cannot have."""
    found: ErrorList = []
    context = spec.get("securityContext") or {}
    for name in _NOT_IN_POD:
        if context.get(name) is not None and not (name == "sysctls" and not context[name]):
            found.append(field.forbidden(f"{path}.securityContext.{name}", _FORBIDDEN))
    if spec.get("hostUsers") is not None:
        found.append(field.forbidden(f"{path}.hostUsers", _FORBIDDEN))
    found += [field.forbidden(f"{path}.{name}", _FORBIDDEN) for name in ("hostPID", "hostIPC") if spec.get(name)]
    if spec.get("shareProcessNamespace") is not None:
        found.append(field.forbidden(f"{path}.shareProcessNamespace", _FORBIDDEN))
    for container, at in containers.located(spec, path):
        context = container.get("securityContext") or {}
        wrong = [name for name in _NOT_IN_CONTAINER if context.get(name) is not None]
        found += [field.forbidden(f"{at}.securityContext.{name}", _FORBIDDEN) for name in wrong]
    return found
