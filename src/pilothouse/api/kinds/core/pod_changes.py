"""pods/ephemeralcontainers and pods/resize: what of a pod's spec they may change.

Source: upstream's registry/core/pod/strategy.go, ValidatePodEphemeralContainersUpdate and ValidatePodResize; KEP-277, KEP-1287.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common.diffs import diff
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep, keep_metadata
from pilothouse.api.kinds.core.pod_rules import annotation_changes, own_rules
from pilothouse.api.kinds.core.podspec import containers, podlevel, stored_faults
from pilothouse.api.kinds.core.podspec.annotations import MIRROR
from pilothouse.api.kinds.core.podspec.gates import drop_disabled
from pilothouse.api.kinds.core.podspec.qos import qos_class
from pilothouse.api.objects import Obj, copy, meta

_RESIZABLE: Final = ("cpu", "memory")
_RESIZED: Final = ("containers", "initContainers")
_POD_LEVEL_GATE: Final = "InPlacePodLevelResourcesVerticalScaling"
_ONLY: Final = "only cpu and memory resources"


def _keep_but_spec(new: Obj, old: Obj, spec: Obj) -> None:
    """Makes new the old pod with that spec; its generation counts the change."""
    new["spec"] = spec
    keep(new, old, "status")
    keep_metadata(new, old)
    drop_disabled(spec, None, old.get("spec"))
    if not same(spec, old.get("spec")):
        new["metadata"]["generation"] = (meta(old).get("generation") or 0) + 1


def prepare_ephemeral_containers(new: Obj, old: Obj) -> None:
    spec: Obj = copy(old.get("spec") or {})
    keep(spec, new.get("spec") or {}, "ephemeralContainers")
    _keep_but_spec(new, old, spec)


def validate_ephemeral_containers(new: Obj, old: Obj) -> ErrorList:
    if MIRROR in (meta(old).get("annotations") or ()):
        return [field.forbidden("", "static pods do not support ephemeral containers")]
    lenient = stored_faults.leniency(old, in_pod=True)
    found = own_rules(new, lenient) + annotation_changes(new, old, lenient)
    path, kind = "spec.ephemeralContainers", "core/v1.EphemeralContainer"
    present = {c.get("name") or "": c for c in containers.every(new.get("spec") or {}, "ephemeralContainers")}
    for container in containers.every(old.get("spec") or {}, "ephemeralContainers"):
        name = container.get("name") or ""
        shown = f"existing ephemeral containers {quote(name)} may not be"
        if name not in present:
            found.append(field.forbidden(path, f"{shown} removed\n"))
        elif not same(present[name], container):
            changed = diff(internal(kind, container), internal(kind, present[name]))
            found.append(field.forbidden(path, f"{shown} changed\n{changed}"))
    return found


def prepare_resize(new: Obj, old: Obj) -> None:
    """Nothing but resources and how they are resized; where containers come, go or move, validation tells."""
    sent, before = new.get("spec") or {}, old.get("spec") or {}
    if any(len(sent.get(f) or ()) != len(before.get(f) or ()) for f in _RESIZED):
        return
    spec: Obj = copy(before)
    for name in _RESIZED:
        own, wanted = spec.get(name) or [], sent.get(name) or []
        if [c.get("name") for c in own] != [c.get("name") for c in wanted]:
            spec[name] = wanted
            continue
        for container, other in zip(own, wanted, strict=True):
            keep(container, other, "resources")
            keep(container, other, "resizePolicy")
    if gates.is_open(_POD_LEVEL_GATE) and sent.get("resources") is not None:
        spec["resources"] = sent["resources"]
    if gates.is_open("PodLevelResourcesFixDefaulting"):
        podlevel.fill(spec)
    _keep_but_spec(new, old, spec)


def validate_resize(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if MIRROR in (meta(old).get("annotations") or ()):
        return [field.forbidden("", "static pods cannot be resized")]
    if (before.get("os") or {}).get("name") == "windows":
        return [field.forbidden("", "windows pods cannot be resized")]
    found = own_rules(new, stored_faults.leniency(old, in_pod=True))
    quality = (old.get("status") or {}).get("qosClass") or qos_class(before)
    if quality != qos_class(spec):
        shown = (new.get("status") or {}).get("qosClass") or ""
        found.append(field.invalid("spec", shown, "Pod QOS Class may not change as a result of resizing"))
    if not _node_resizes(old.get("status") or {}):
        found.append(field.forbidden("spec", "Pod running on node without support for resize"))
    if not gates.is_open(_POD_LEVEL_GATE) and (_has_own(spec) or _has_own(before)):
        detail = f"resize of pods with pod-level resources is forbidden when {_POD_LEVEL_GATE}Enabled feature gate "
        return [*found, field.forbidden("", f"{detail}is disabled")]
    found += _pod_level(spec, before)
    moved = _order(spec, before)
    if moved:
        return found + moved
    for name in reversed(_RESIZED):
        for i, (now, was) in enumerate(zip(spec.get(name) or (), before.get(name) or (), strict=True)):
            found += _removed(now, was, f"spec.{name}[{i}].resources", "resource")
    return found + _others(spec, before)


def _node_resizes(status: Obj) -> bool:
    """A node that can tells the resources of what runs."""
    for container in status.get("containerStatuses") or ():
        if (container.get("state") or {}).get("running") is not None:
            return container.get("resources") is not None
    return True


def _has_own(spec: Obj) -> bool:
    """Resources of the pod as a whole."""
    own = spec.get("resources") or {}
    return bool(own.get("requests") or own.get("limits"))


def _pod_level(spec: Obj, before: Obj) -> ErrorList:
    own, was = spec.get("resources"), before.get("resources")
    if not _has_own(spec) and not _has_own(before):
        return []
    if was is not None and own is None:
        return [field.forbidden("spec.resources", "pod-level resources cannot be removed")]
    found = [] if was is None else _removed(spec, before, "spec.resources", "pod-level resource")
    if not same(_without(own), _without(was)):
        found.append(field.forbidden("spec", f"{_ONLY} are mutable at pod-level"))
    return found


def _order(spec: Obj, before: Obj) -> ErrorList:
    found: ErrorList = []
    for name in _RESIZED:
        now, was = ([c.get("name") for c in s.get(name) or ()] for s in (spec, before))
        if len(now) != len(was):
            found.append(field.forbidden("spec", f"{name} may not be added or removed on resize"))
            continue
        detail = f"{name} may not be renamed or reordered on resize"
        moved = [i for i, (a, b) in enumerate(zip(now, was, strict=True)) if a != b]
        found += [field.forbidden(f"spec.{name}[{i}].name", detail) for i in moved]
    return found


def _removed(new: Obj, old: Obj, path: str, shown: str) -> ErrorList:
    found: ErrorList = []
    for part in ("requests", "limits"):
        now, was = ((h.get("resources") or {}).get(part) or {} for h in (new, old))
        if was.keys() - now.keys():
            found.append(field.forbidden(f"{path}.{part}", f"{shown} {part} cannot be removed"))
    return found


def _without(resources: Obj | None) -> Obj:
    """What cannot be resized of resources."""
    out = {k: v for k, v in (resources or {}).items() if k not in ("requests", "limits")}
    for part in ("requests", "limits"):
        out[part] = {k: v for k, v in ((resources or {}).get(part) or {}).items() if k not in _RESIZABLE}
    return out


def _plain(container: Obj) -> Obj:
    return {**container, "resources": _without(container.get("resources"))}


def _others(spec: Obj, before: Obj) -> ErrorList:
    found: ErrorList = []
    for now, was in zip(spec.get("containers") or (), before.get("containers") or (), strict=True):
        if not same(_plain(now), _plain(was)):
            found.append(field.forbidden("spec", f"{_ONLY} are mutable"))
    for i, (now, was) in enumerate(
        zip(spec.get("initContainers") or (), before.get("initContainers") or (), strict=True)
    ):
        at = f"spec.initContainers[{i}]"
        if not same(_plain(now), _plain(was)):
            found.append(field.forbidden(at, f"{_ONLY} for init or sidecar containers are mutable"))
        if containers.is_restartable(now) or same(now, was):
            continue
        detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
        policies = [p.get("restartPolicy") for p in now.get("resizePolicy") or ()]
        found += [field.forbidden(at, detail) for p in policies if p == "RestartContainer"]
    return found
