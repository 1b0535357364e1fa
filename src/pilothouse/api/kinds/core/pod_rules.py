"""What a pod must be like on create and may become on update. Source: upstream's ValidatePodCreate and ValidatePodUpdate."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.diffs import diff
from pilothouse.api.kinds.common.render import internal, internals
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.tolerations import tolerations
from pilothouse.api.kinds.core.podspec import forms, stored_faults
from pilothouse.api.kinds.core.podspec.annotations import MIRROR, pod_annotations, same_profiles
from pilothouse.api.kinds.core.podspec.container_rules import image_padding
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.preparation import APP_ARMOR_ANNOTATION
from pilothouse.api.kinds.core.podspec.spec import pod_spec
from pilothouse.api.objects import Obj, copy, meta

_DEADLINE_MAX: Final = 2**31 - 1
_UPDATABLE: Final = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def validate(pod: Obj) -> ErrorList:
    lenient = stored_faults.leniency(None, in_pod=True)
    spec, annotations = pod.get("spec") or {}, meta(pod).get("annotations")
    found = own_rules(pod, lenient)
    if spec.get("ephemeralContainers"):
        found.append(field.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        found.append(field.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return found + same_profiles(annotations, spec, "spec")


def own_rules(pod: Obj, lenient: Leniency) -> ErrorList:
    """What holds of every pod."""
    spec = pod.get("spec") or {}
    found = pod_annotations(meta(pod).get("annotations"), spec, "metadata.annotations", lenient)
    found += pod_spec(spec, meta(pod), "spec", lenient)
    if not spec.get("serviceAccountName"):
        found += _tokens(spec)
    grace = spec.get("terminationGracePeriodSeconds")
    found += forms.non_negative(grace, "spec.terminationGracePeriodSeconds")
    for name in ("containers", "initContainers"):
        for i, container in enumerate(spec.get(name) or ()):
            found += image_padding(container, f"spec.{name}[{i}]")
    return found


def _tokens(spec: Obj) -> ErrorList:
    found: ErrorList = []
    for i, volume in enumerate(spec.get("volumes") or ()):
        for j, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                at = f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken"
                found.append(field.forbidden(at, "must not be specified when serviceAccountName is not set"))
    return found


def annotation_changes(new: Obj, old: Obj, lenient: Leniency) -> ErrorList:
    """Annotations that cannot come, go or change."""
    path = "metadata.annotations"
    now, before = meta(new).get("annotations") or {}, meta(old).get("annotations") or {}
    found: ErrorList = []
    for key, value in before.items():
        if key in now and now[key] == value:
            continue
        if key.startswith(APP_ARMOR_ANNOTATION):
            found.append(field.forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations"))
        if key == MIRROR:
            found.append(field.forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation"))
    for key in now:
        if key in before:
            continue
        if key.startswith(APP_ARMOR_ANNOTATION):
            found.append(field.forbidden(f"{path}[{key}]", "may not add AppArmor annotations"))
        if key == MIRROR:
            found.append(field.forbidden(f"{path}[{key}]", "may not add mirror pod annotation"))
    return found + pod_annotations(now, new.get("spec") or {}, path, lenient)


def validate_update(new: Obj, old: Obj) -> ErrorList:
    lenient = stored_faults.leniency(old, in_pod=True)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = own_rules(new, lenient) + annotation_changes(new, old, lenient)
    for name in ("containers", "initContainers"):
        images, same_number = _images(spec.get(name) or [], before.get(name) or [], f"spec.{name}")
        found += images
        if not same_number:
            return found
    wrong, stop = _deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    found += wrong
    if stop:
        return found
    found += _added_tolerations(spec.get("tolerations"), before.get("tolerations"), lenient)
    found += _removed_gates(spec, before)
    if same(spec, before):
        return found
    return found + _immutable(spec, before)


def _images(new: list[Obj], old: list[Obj], path: str) -> tuple[ErrorList, bool]:
    if len(new) != len(old):
        return [field.forbidden(path, "pod updates may not add or remove containers")], False
    found: ErrorList = []
    for i, container in enumerate(new):
        found += forms.all_required(container, f"{path}[{i}]", "image") + image_padding(container, f"{path}[{i}]")
    return found, True


def _deadline(new: int | None, old: int | None) -> tuple[ErrorList, bool]:
    """It may come, and become shorter."""
    at = "spec.activeDeadlineSeconds"
    if new is None:
        detail = "must not update from a positive integer to nil value"
        return ([] if old is None else [field.invalid(at, None, detail)]), False
    if not 0 <= new <= _DEADLINE_MAX:
        return [field.invalid(at, new, names.in_range(0, _DEADLINE_MAX))], True
    if old is not None and old < new:
        return [field.invalid(at, new, "must be less than or equal to previous value")], True
    return [], False


def _added_tolerations(new: list[Obj] | None, old: list[Obj] | None, lenient: Leniency) -> ErrorList:
    def plain(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds" and v}

    given = [plain(t) for t in new or ()]
    if any(plain(t) not in given for t in old or ()):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        return [field.forbidden("spec.tolerations", detail)]
    return tolerations(new, "spec.tolerations", comparisons=lenient.comparing_tolerations)


def _removed_gates(spec: Obj, before: Obj) -> ErrorList:
    known = {g.get("name") for g in before.get("schedulingGates") or ()}
    added = {
        g.get("name") or "": i for i, g in enumerate(spec.get("schedulingGates") or ()) if g.get("name") not in known
    }
    return [
        field.forbidden(
            f"spec.schedulingGates[{i}].name", f"only deletion is allowed, but found new scheduling gate '{name}'"
        )
        for name, i in added.items()
    ]


def _immutable(spec: Obj, before: Obj) -> ErrorList:
    """What may change is made equal in a copy; the rest may not differ."""
    munged: Obj = copy(spec)
    for name in ("containers", "initContainers"):
        for own, was in zip(munged.get(name) or (), before.get(name) or (), strict=True):
            _take(own, was, "image")
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _take(munged, before, name)
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        _take(munged, before, "terminationGracePeriodSeconds")
    found = _gated(munged, before) if before.get("schedulingGates") else []
    if not same(munged, before):
        kind = "core/v1.PodSpec"
        changed = diff(internal(kind, before), internal(kind, munged))
        found.append(field.forbidden("spec", f"pod updates may not change fields other than {_UPDATABLE}\n{changed}"))
    return found


def _take(target: Obj, source: Obj, name: str) -> None:
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)


def _gated(munged: Obj, before: Obj) -> ErrorList:
    """A pod that waits at its gates may still narrow down where it goes (KEP-3838)."""
    found: ErrorList = []
    selector, was = munged.get("nodeSelector"), before.get("nodeSelector")
    if not same(selector, was):
        if any((selector or {}).get(k) != v for k, v in (was or {}).items()):
            detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            found.append(field.invalid("spec.nodeSelector", selector, detail))
        _take(munged, before, "nodeSelector")
    affinity, old_affinity = munged.get("affinity"), before.get("affinity")
    node, old_node = (affinity or {}).get("nodeAffinity"), (old_affinity or {}).get("nodeAffinity")
    if same(node, old_node):
        return found
    found += _node_affinity(node or {}, old_node or {})
    if affinity is None:
        munged["affinity"] = {"nodeAffinity": old_node}
    elif old_affinity is None and not affinity.get("podAffinity") and not affinity.get("podAntiAffinity"):
        del munged["affinity"]
    elif old_node is None:
        affinity.pop("nodeAffinity", None)
    else:
        affinity["nodeAffinity"] = old_node
    return found


def _node_affinity(new: Obj, old: Obj) -> ErrorList:
    terms = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    new_terms = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms")
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if not terms:
        return []
    if new_terms is None or len(terms) != len(new_terms):
        shown = internals("core/v1.NodeSelectorTerm", new_terms)
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [field.invalid(path, shown, detail)]
    detail = "only additions are allowed (no mutations or deletions)"
    return [
        field.invalid(f"{path}[{i}]", internal("core/v1.NodeSelectorTerm", term), detail)
        for i, (term, was) in enumerate(zip(new_terms, terms, strict=True))
        if not _only_added(term, was)
    ]


def _only_added(new: Obj, old: Obj) -> bool:
    parts = ("matchExpressions", "matchFields")
    if not any(old.get(p) for p in parts) and any(new.get(p) for p in parts):
        return False
    return all(same((new.get(p) or [])[: len(old.get(p) or ())], old.get(p) or []) for p in parts)
