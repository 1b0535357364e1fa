"""Where containers see volumes: volumeMounts and volumeDevices."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.persistent_volume_sources import no_backsteps
from pilothouse.api.kinds.core.podspec import forms
from pilothouse.api.objects import Obj

_PROPAGATIONS: Final = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE: Final = ("Disabled", "Enabled", "IfPossible")
_BIND_OPTIONS: Final = ("nodev", "noexec", "nosuid")


def mounts(container: Obj, volumes: dict[str, Obj], path: str) -> ErrorList:
    """`volumes`: those that are valid, by name."""
    found: ErrorList = []
    devices = {d.get("name") or "": d.get("devicePath") or "" for d in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        at, name, target = f"{path}[{i}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(field.required(f"{at}.name"))
        if name not in volumes:
            found.append(field.not_found(f"{at}.name", name))
        if not target:
            found.append(field.required(f"{at}.mountPath"))
        if target in seen:
            found.append(field.invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        if name in devices:
            found.append(field.invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if target in devices.values():
            detail = "must not already exist as a path in volumeDevices"
            found.append(field.invalid(f"{at}.mountPath", target, detail))
        found += _sub_paths(mount, path, at)
        found += _propagation(mount.get("mountPropagation"), container, f"{path}.mountPropagation")
        found += _recursive(mount, f"{path}.recursiveReadOnly")
        found += _bind_options(mount, volumes.get(name), f"{at}.bindMountOptions")
    return found


def _sub_paths(mount: Obj, path: str, at: str) -> ErrorList:
    """Upstream names the list, not the mount, in most of these."""
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    found = forms.descending(sub, f"{path}.subPath") if sub else []
    if expression:
        if sub:
            detail = "subPathExpr and subPath are mutually exclusive"
            found.append(field.invalid(f"{at}.subPathExpr", expression, detail))
        found += forms.descending(expression, f"{path}.subPathExpr")
    return found


def _propagation(mode: str | None, container: Obj, path: str) -> ErrorList:
    found = forms.supported(mode, path, *_PROPAGATIONS)
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        detail = "Bidirectional mount propagation is available only to privileged containers"
        found.append(field.forbidden(path, detail))
    return found


def _recursive(mount: Obj, path: str) -> ErrorList:
    mode = mount.get("recursiveReadOnly")
    if mode not in ("Enabled", "IfPossible"):
        return forms.supported(mode, path, *_RECURSIVE)
    found: ErrorList = []
    if not mount.get("readOnly"):
        found.append(field.forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        detail = "may only be specified when mountPropagation is None or not specified"
        found.append(field.forbidden(path, detail))
    return found


def _bind_options(mount: Obj, volume: Obj | None, path: str) -> ErrorList:
    options = mount.get("bindMountOptions") or []
    found: ErrorList = []
    for i, option in enumerate(options):
        found += forms.supported(option, f"{path}[{i}]", *_BIND_OPTIONS)
        if option in options[:i]:
            found.append(field.duplicate(f"{path}[{i}]", option))
    if options and volume is not None and volume.get("image") is not None:
        found.append(field.invalid(path, options, "bindMountOptions may not be used with image volumes"))
    return found


def devices(container: Obj, volumes: dict[str, Obj], path: str) -> ErrorList:
    found: ErrorList = []
    mounted = {m.get("name") or "": m.get("mountPath") or "" for m in container.get("volumeMounts") or ()}
    names: set[str] = set()
    paths: set[str] = set()
    for i, device in enumerate(container.get("volumeDevices") or ()):
        at, name, target = f"{path}[{i}]", device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            found.append(field.required(f"{at}.name"))
        if name in names:
            found.append(field.invalid(f"{at}.name", name, "must be unique"))
        if volume is None:
            found.append(field.not_found(f"{at}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            found.append(field.invalid(f"{at}.name", name, detail))
        if not target:
            found.append(field.required(f"{at}.devicePath"))
        if target in paths:
            found.append(field.invalid(f"{at}.devicePath", target, "must be unique"))
        if no_backsteps(target, ""):
            found.append(field.invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            paths.add(target)
        if name in mounted:
            found.append(field.invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if target in mounted.values():
            found.append(field.invalid(f"{at}.devicePath", target, "must not already exist as a path in volumeMounts"))
        if name:
            names.add(name)
    return found
