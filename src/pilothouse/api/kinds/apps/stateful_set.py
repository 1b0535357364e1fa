"""StatefulSet."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field, gates, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.apps.rolling import amount
from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.common.int_or_percent import at_most_all, int_or_percent
from pilothouse.api.kinds.common.render import internal, internals
from pilothouse.api.kinds.common.selectors import is_usable, label_selector, labels
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.core.persistent_volume_claim import KIND as CLAIM
from pilothouse.api.kinds.core.persistent_volume_claim import claim_spec, spec_warnings
from pilothouse.api.kinds.core.podspec import forms, selected, stored_faults, workloads
from pilothouse.api.kinds.core.podspec.annotations import pod_annotations
from pilothouse.api.kinds.core.podspec.counts import available, counts, not_decremented
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.rows import names_and_images
from pilothouse.api.kinds.core.podspec.spec import template as template_rules
from pilothouse.api.kinds.core.podspec.templatemeta import annotation_map
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, get, meta
from pilothouse.api.printing import age

_COUNTS = (
    "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration",
    "collisionCount",
)  # fmt: skip
_GATED = (Gated("MaxUnavailableStatefulSet", fields("spec.updateStrategy.rollingUpdate.maxUnavailable")),)
_NEGATIVE = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"


def _default(obj: Obj) -> None:
    spec = workloads.spec_of(obj)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    workloads.absent(spec, updateStrategy={}, persistentVolumeClaimRetentionPolicy={}, replicas=1)
    workloads.absent(spec, revisionHistoryLimit=10)
    strategy = spec["updateStrategy"]
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        workloads.absent(strategy, rollingUpdate={})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        workloads.absent(strategy["rollingUpdate"], partition=0)
        if gates.is_open("MaxUnavailableStatefulSet"):
            workloads.absent(strategy["rollingUpdate"], maxUnavailable=1)
    retention = spec["persistentVolumeClaimRetentionPolicy"]
    for name in ("whenDeleted", "whenScaled"):
        if not retention.get(name):
            retention[name] = "Retain"
    workloads.default_template(spec)
    for claim in spec.get("volumeClaimTemplates") or ():
        workloads.absent(claim, metadata={}, spec={}, status={})
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        CLAIM.default(claim)


def _prepare_create(obj: Obj) -> None:
    workloads.prepare_create(obj)
    drop(_GATED, obj, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    drop(_GATED, new, old)
    workloads.prepare_update(new, old)


def _own(spec: Obj, lenient: Leniency, *, before: Obj | None = None, any_template: bool = False) -> ErrorList:
    """`before`: the stored spec, on update: what cannot change is not judged again. `any_template`: it was faulty already."""
    update = before is not None
    found: ErrorList = []
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        found.append(field.invalid("spec.podManagementPolicy", policy or "", "must be 'OrderedReady' or 'Parallel'"))
    found += _strategy(spec.get("updateStrategy") or {}, before)
    retention, at = spec.get("persistentVolumeClaimRetentionPolicy"), "spec.persistentVolumeClaimRetentionPolicy"
    if retention is not None:
        for name in ("whenDeleted", "whenScaled"):
            found += forms.supported(retention.get(name) or "", f"{at}.{name}", "Retain", "Delete")
    if not update:
        for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            found += claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{i}].spec")
    for name in ("replicas", "minReadySeconds"):
        found += forms.non_negative(spec.get(name), f"spec.{name}")
    found += forms.non_negative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
    if not update and spec.get("serviceName"):
        found += forms.label(spec["serviceName"], "spec.serviceName")
    return found + _selector_and_template(spec, lenient, any_template=any_template)


def _strategy(strategy: Obj, before: Obj | None) -> ErrorList:
    path, kind, rolling = "spec.updateStrategy", strategy.get("type"), strategy.get("rollingUpdate")
    kinds = ["RollingUpdate", "OnDelete"]
    if gates.is_open("StatefulSetRecreateStrategy") or get(before or {}, "updateStrategy", "type") == "Recreate":
        kinds.append("Recreate")
    at = f"{path}.rollingUpdate"
    if kind in kinds[1:]:
        if rolling is None:
            return []
        shown = internal("apps/v1.RollingUpdateStatefulSetStrategy", rolling)
        return [field.invalid(at, shown, "only allowed for updateStrategy 'RollingUpdate'")]
    if kind != "RollingUpdate":
        shown = internal("apps/v1.StatefulSetUpdateStrategy", strategy)
        return [field.invalid(path, shown, f"must be {_or(kinds)}")]
    if rolling is None:
        return []
    found = forms.non_negative(rolling.get("partition"), f"{at}.partition")
    unavailable, here = rolling.get("maxUnavailable"), f"{at}.maxUnavailable"
    if unavailable is None:
        return found
    found += int_or_percent(unavailable, here)
    if not amount(unavailable):
        found.append(field.invalid(here, unavailable, "cannot be 0"))
    return found + at_most_all(unavailable, here)


def _or(kinds: list[str]) -> str:
    *others, last = (f"'{kind}'" for kind in kinds)
    return f"{', '.join(others)}{',' * (len(others) > 1)} or {last}"


def _selector_and_template(spec: Obj, lenient: Leniency, *, any_template: bool) -> ErrorList:
    path, selector, template = "spec.selector", spec.get("selector"), spec.get("template") or {}
    found: ErrorList = []
    if selector is None:
        found.append(field.required(path))
    else:
        found += label_selector(selector, path)
        if selected.is_empty(selector):
            found.append(field.invalid(path, {}, "empty selector is invalid for statefulset"))
    if not is_usable(selector):
        found.append(field.invalid(path, selected.shown(selector), ""))
    else:
        at, judged, metadata = "spec.template", _as_created(spec, template), meta(template)
        found += selected.template_labels(selector, template, at)
        if not any_template:
            found += template_rules(judged, at, lenient)
        found += labels(metadata.get("labels"), f"{at}.labels")
        found += annotation_map(metadata.get("annotations"), f"{at}.annotations")
        found += pod_annotations(metadata.get("annotations"), judged["spec"], f"{at}.annotations", lenient)
    return found + workloads.always_running(template, "spec.template", "StatefulSet")


def _as_created(spec: Obj, template: Obj) -> Obj:
    """The template with what each pod gets: its own claims; and without the names that the controller writes."""
    pod = {k: v for k, v in (template.get("spec") or {}).items() if k not in ("subdomain", "hostname")}
    claims = [meta(c).get("name") or "" for c in spec.get("volumeClaimTemplates") or ()]
    if claims:
        own = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in dict.fromkeys(claims)]
        pod["volumes"] = own + [v for v in pod.get("volumes") or () if (v.get("name") or "") not in claims]
    return {**template, "spec": pod}


def _validate(obj: Obj) -> ErrorList:
    return _own(obj.get("spec") or {}, stored_faults.leniency(None))


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    lenient = stored_faults.leniency(before.get("template"))
    faulty = bool(_own(before, lenient, before=before))
    found = _own(spec, lenient, before=before, any_template=faulty)
    found += selected.immutable_selector(spec.get("selector"), before.get("selector"), "spec.selector")
    claims, at = spec.get("volumeClaimTemplates"), "spec.volumeClaimTemplates"
    shown = internals("core/v1.PersistentVolumeClaim", claims)
    if immutable(claims, before.get("volumeClaimTemplates"), at):
        found.append(field.invalid(at, shown, "field is immutable"))
    for name in ("serviceName", "podManagementPolicy"):
        found += immutable(spec.get(name) or "", before.get(name) or "", f"spec.{name}")
    return found


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status, before = new.get("status") or {}, old.get("status") or {}
    found = counts(status, "status", _COUNTS, _COUNTS[1:5]) + available(status, "status", "status.readyReplicas")
    return found + not_decremented(status.get("collisionCount"), before.get("collisionCount"), "status.collisionCount")


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    out = []
    if old is None or workloads.is_changed(new, old):
        out += template_warnings(spec.get("template"), "spec.template")
    for i, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{i}]"
        out += spec_warnings(claim.get("spec") or {}, path if old is None else f"{path}.Spec")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        out.append(_NEGATIVE)
    return out


def _name(name: str, is_prefix: bool) -> list[str]:
    return forms.maybe_prefix(names.dns1123_label, name) if is_prefix else names.dns1123_label(name)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        age(obj, now_s),
        *names_and_images(spec.get("template")),
    ]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=workloads.prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    name=_name,
    warnings=_warnings,
    row=_row,
)
