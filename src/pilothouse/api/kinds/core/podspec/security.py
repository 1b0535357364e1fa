"""Security contexts of pods and containers. Source: the API reference and upstream's pkg/apis/core/validation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.core.podspec import forms, windows
from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from pilothouse.api.kinds.core.podspec.leniency import Leniency

_SEGMENT: Final = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL: Final = rf"^({_SEGMENT}[\./])*{_SEGMENT}$"
_is_sysctl = re.compile(_SYSCTL.removesuffix("$") + r"\Z").match
_SYSCTL_MAX: Final = 253
_IPC: Final = frozenset(
    {
        "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.shm",
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.msg",
    }
)  # fmt: skip
_PROFILES: Final = ("Localhost", "RuntimeDefault", "Unconfined")
_PROFILE_MAX_BYTES: Final = 4095


def pod(context: Obj | None, spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    if context is None:
        return []
    found: ErrorList = []
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        found += forms.user_id(context.get(name), f"{path}.{name}")
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        found += forms.user_id(group, f"{path}.supplementalGroups[{i}]")
    found += _sysctls(context.get("sysctls"), spec, f"{path}.sysctls", lenient)
    found += forms.supported(
        context.get("fsGroupChangePolicy"), f"{path}.fsGroupChangePolicy", "Always", "OnRootMismatch"
    )
    found += seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    found += windows.options(context.get("windowsOptions"), f"{path}.windowsOptions")
    found += app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    at = f"{path}.supplementalGroupsPolicy"
    found += forms.supported(context.get("supplementalGroupsPolicy"), at, "Merge", "Strict")
    return found + forms.supported(
        context.get("seLinuxChangePolicy"), f"{path}.seLinuxChangePolicy", "MountOption", "Recursive"
    )


def container(context: Obj | None, path: str, *, host_users: bool, lenient: Leniency) -> ErrorList:
    if context is None:
        return []
    found: ErrorList = []
    for name in ("runAsUser", "runAsGroup"):
        found += forms.user_id(context.get(name), f"{path}.{name}")
    mount = context.get("procMount")
    found += forms.supported(mount, f"{path}.procMount", "Default", "Unmasked")
    if host_users and mount == "Unmasked":
        found.append(field.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    found += seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        found += _without_escalation(context, path, lenient)
    found += windows.options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return found + app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _without_escalation(context: Obj, path: str, lenient: Leniency) -> ErrorList:
    shown = "cannot set `allowPrivilegeEscalation` to false and"
    wrong = [f"{shown} `privileged` to true"] if context.get("privileged") else []
    if not lenient.sys_admin:
        added = (context.get("capabilities") or {}).get("add") or ()
        wrong += [f"{shown} `capabilities.Add` CAP_SYS_ADMIN" for c in added if c == "CAP_SYS_ADMIN"]
    return [field.invalid(path, internal("core/v1.SecurityContext", context), w) for w in wrong]


def _sysctls(values: list[Obj] | None, spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, sysctl in enumerate(values or ()):
        name, at = sysctl.get("name") or "", f"{path}[{i}].name"
        if not name:
            found.append(field.required(at))
        elif len(name.encode()) > _SYSCTL_MAX or not _is_sysctl(name):
            detail = f"must have at most {_SYSCTL_MAX} characters and match regex {_SYSCTL}"
            found.append(field.invalid(at, name, detail))
        elif name in seen:
            found.append(field.duplicate(at, name))
        if not lenient.host_sysctls:
            found += host_sysctl(name, spec, at)
        seen.add(name)
    return found


def host_sysctl(name: str, spec: Obj, path: str) -> ErrorList:
    """A setting of a namespace that the pod shares with its node."""
    plain = _with_dots(name).partition("*")[0]
    if spec.get("hostNetwork") and plain.startswith("net."):
        return [field.invalid(path, name, "may not be specified when 'hostNetwork' is true")]
    if spec.get("hostIPC") and (plain in _IPC or plain.rstrip(".") in _IPC or plain.startswith("fs.mqueue.")):
        return [field.invalid(path, name, "may not be specified when 'hostIPC' is true")]
    return []


def _with_dots(name: str) -> str:
    """Of the two ways to write a name, that with dots; in the other, dots and slashes change places."""
    first = next((c for c in name if c in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def seccomp(profile: Obj | None, path: str) -> ErrorList:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    found: ErrorList = []
    if not kind:
        found.append(field.required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILES:
        found.append(field.not_supported(f"{path}.type", kind, _PROFILES))
    at = f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            found.append(field.required(at, "must be set when seccomp type is Localhost"))
        else:
            found += forms.descending(local, at)
    elif local is not None:
        shown = internal("core/v1.SeccompProfile", profile)
        found.append(field.invalid(at, shown, "can only be set when seccomp type is Localhost"))
    return found


def app_armor(profile: Obj | None, path: str) -> ErrorList:
    if profile is None:
        return []
    kind, local, at = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        return [field.required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in _PROFILES:
        return [field.not_supported(f"{path}.type", kind, _PROFILES)]
    if kind != "Localhost":
        detail = "can only be set when AppArmor type is Localhost"
        return [] if local is None else [field.invalid(at, local, detail)]
    if local is None:
        return [field.required(at, "must be set when AppArmor type is Localhost")]
    found: ErrorList = []
    if local != local.strip():
        found.append(field.invalid(at, local, "must not be padded with whitespace"))
    elif not local:
        found.append(field.required(at, "must be set when AppArmor type is Localhost"))
    if len(local.encode()) > _PROFILE_MAX_BYTES:
        found.append(field.too_long(at, _PROFILE_MAX_BYTES))
    return found
