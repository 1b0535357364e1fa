"""pods/ephemeralcontainers and pods/resize: what of a running pod's spec they may change.

Source: upstream's registry/core/pod/strategy.go and ValidatePodEphemeralContainersUpdate, ValidatePodResize; KEP-1287.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.field import ErrorList, forbidden, invalid
from pilothouse.api.kinds import kind_of
from pilothouse.api.kinds.common.diffs import diff
from pilothouse.api.objects import Obj, copy, get
from pilothouse.api.podrequests import parsed
from pilothouse.apiserver.contracts import SubresourceStrategy

_MIRROR = "kubernetes.io/config.mirror"
_RESIZABLE: Final = ("cpu", "memory")
_FIELDS: Final = ("containers", "initContainers")


def _keep(new: Obj, old: Obj, spec: Obj) -> None:
    """Makes new the old pod with that spec; its generation rises where the spec changed."""
    old = copy(old)
    managed = new["metadata"].get("managedFields")
    version = new["metadata"].get("resourceVersion")
    new.clear()
    new.update(old)
    if managed is not None:
        new["metadata"]["managedFields"] = managed
    if version is not None:
        new["metadata"]["resourceVersion"] = version
    if spec != old["spec"]:
        new["metadata"]["generation"] = (new["metadata"].get("generation") or 0) + 1
    new["spec"] = spec


# Ephemeral containers


def _prepare_ephemeral(new: Obj, old: Obj) -> None:
    spec = copy(old["spec"])
    containers = get(new, "spec", "ephemeralContainers")
    spec.pop("ephemeralContainers", None)
    if containers:
        spec["ephemeralContainers"] = containers
    _keep(new, old, spec)


def _validate_ephemeral(new: Obj, old: Obj) -> ErrorList:
    if _MIRROR in (old["metadata"].get("annotations") or ()):
        return [forbidden("", "static pods do not support ephemeral containers")]
    found = _own_rules(new)
    path = "spec.ephemeralContainers"
    present = {c.get("name"): c for c in get(new, "spec", "ephemeralContainers", default=())}
    for container in get(old, "spec", "ephemeralContainers", default=()):
        name = container.get("name", "")
        if name not in present:
            found.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif present[name] != container:
            change = diff(container, present[name])
            found.append(forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n{change}'))
    return found


def _own_rules(pod: Obj) -> ErrorList:
    """What holds of every pod."""
    return list(kind_of("", "Pod").validate(pod))


# Resize


def _prepare_resize(new: Obj, old: Obj) -> None:
    spec = copy(old["spec"])
    sent = new["spec"]
    same_shape = all(len(sent.get(field) or ()) == len(spec.get(field) or ()) for field in _FIELDS)
    if not same_shape:
        _keep(new, old, {**spec, **{field: sent[field] for field in _FIELDS if field in sent}})
        return
    for field in _FIELDS:
        containers = sent.get(field) or []
        names = [c.get("name") for c in containers]
        if names != [c.get("name") for c in spec.get(field) or ()]:
            spec[field] = containers  # validation says what is wrong with it
            continue
        for own, wanted in zip(spec.get(field) or (), containers, strict=True):
            for part in ("resources", "resizePolicy"):
                own.pop(part, None)
                if part in wanted:
                    own[part] = wanted[part]
    if sent.get("resources") is not None:
        spec["resources"] = sent["resources"]
    _keep(new, old, spec)


def _validate_resize(new: Obj, old: Obj) -> ErrorList:
    if _MIRROR in (old["metadata"].get("annotations") or ()):
        return [forbidden("", "static pods cannot be resized")]
    if get(old, "spec", "os", "name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    found = _own_rules(new)
    before, after = quality_of(old["spec"]), quality_of(new["spec"])
    if (get(old, "status", "qosClass") or before) != after:
        found.append(invalid("spec", after, "Pod QOS Class may not change as a result of resizing"))
    order = _order_errors(new["spec"], old["spec"])
    if order:
        return found + order
    for field in _FIELDS:
        for i, (own, wanted) in enumerate(zip(old["spec"].get(field) or (), new["spec"].get(field) or (), strict=True)):
            path = f"spec.{field}[{i}]"
            found += _removed(wanted, own, f"{path}.resources")
            if _without_resizable(wanted) != _without_resizable(own):
                if field == "containers":
                    found.append(forbidden("spec", "only cpu and memory resources are mutable"))
                else:
                    text = "only cpu and memory resources for init or sidecar containers are mutable"
                    found.append(forbidden(path, text))
            if field == "initContainers" and wanted != own and wanted.get("restartPolicy") != "Always":
                found += [
                    forbidden(
                        path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
                    )
                    for policy in wanted.get("resizePolicy") or ()
                    if policy.get("restartPolicy") == "RestartContainer"
                ]
    return found


def _order_errors(spec: Obj, old_spec: Obj) -> ErrorList:
    found: ErrorList = []
    for field in _FIELDS:
        names, old_names = ([c.get("name") for c in s.get(field) or ()] for s in (spec, old_spec))
        if len(names) != len(old_names):
            found.append(forbidden("spec", f"{field} may not be added or removed on resize"))
        elif names != old_names:
            found += [
                forbidden(f"spec.{field}[{i}].name", f"{field} may not be renamed or reordered on resize")
                for i, (name, old_name) in enumerate(zip(names, old_names, strict=True))
                if name != old_name
            ]
    return found


def _removed(new: Obj, old: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for kind, text in (("requests", "resource requests"), ("limits", "resource limits")):
        own, wanted = get(old, "resources", kind, default={}), get(new, "resources", kind, default={})
        if any(name in own and name not in wanted for name in _RESIZABLE):
            found.append(forbidden(f"{path}.{kind}", f"{text} cannot be removed"))
    return found


def _without_resizable(container: Obj) -> Obj:
    out = {k: v for k, v in container.items() if k not in ("resources", "resizePolicy")}
    for kind in ("requests", "limits"):
        rest = {k: v for k, v in get(container, "resources", kind, default={}).items() if k not in _RESIZABLE}
        if rest:
            out[kind] = rest
    if get(container, "resources", "claims"):
        out["claims"] = container["resources"]["claims"]
    return out


def quality_of(spec: Obj) -> str:
    """A pod's quality of service class (upstream's ComputePodQOS)."""
    pod_level = get(spec, "resources") or {}
    if pod_level.get("requests") or pod_level.get("limits"):
        holders: list[Obj] = [spec]
    else:
        holders = [c for field in _FIELDS for c in spec.get(field) or ()]
    requests: dict[str, object] = {}
    limits: dict[str, object] = {}
    guaranteed = True
    for holder in holders:
        own_limits = set()
        for kind, total in (("requests", requests), ("limits", limits)):
            for name, quantity in parsed(get(holder, "resources", kind)).items():
                if name in _RESIZABLE and quantity.amount > 0:
                    total[name] = quantity.amount + total.get(name, 0)  # type: ignore[operator]
                    if kind == "limits":
                        own_limits.add(name)
        guaranteed = guaranteed and own_limits == set(_RESIZABLE)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and len(requests) == len(limits) and all(limits.get(name) == requests[name] for name in requests):
        return "Guaranteed"
    return "Burstable"


EPHEMERAL_CONTAINERS = SubresourceStrategy(prepare=_prepare_ephemeral, validate=_validate_ephemeral)
RESIZE = SubresourceStrategy(prepare=_prepare_resize, validate=_validate_resize)
