"""What a Node must be, and how it may change.

Source: upstream's ValidateNode, ValidateNodeUpdate and their siblings (pkg/apis/core/validation), and the warnings of
registry/core/node/strategy.go. Their errors call taints and swap by paths below metadata.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.codec import text
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common import addresses
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.resources import quantity_value
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.core.podspec import forms
from pilothouse.api.objects import Obj, meta

EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_TAINTS: Final = "scheduler.alpha.kubernetes.io/taints"
_AVOIDED: Final = "scheduler.alpha.kubernetes.io/preferAvoidPods"
_FEATURE: Final = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*")
_FEATURE_MAX: Final = 253
_ONE_EACH: Final = "may specify no more than one CIDR for each IP family"
_KEPT: Final = 'node updates may not change podCIDR except from "" to valid'


def validate(obj: Obj) -> ErrorList:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    found = _annotations(obj)
    if spec.get("taints"):
        found += taints(spec["taints"], "metadata.taints")
    found += _resources(status)
    swap = ((status.get("nodeInfo") or {}).get("swap") or {}).get("capacity")
    if swap is not None and swap <= 0:
        found.append(field.invalid("metadata.nodeSwapStatus.capacity", swap, "must be greater than zero"))
    return found + _features(status.get("declaredFeatures") or []) + _networks(spec.get("podCIDRs") or [])


def _annotations(obj: Obj) -> ErrorList:
    annotations = meta(obj).get("annotations") or {}
    found: ErrorList = []
    path = "metadata.annotations"
    if annotations.get(_TAINTS):
        try:
            given = text.from_json(annotations[_TAINTS].encode())
        except text.Malformed as error:
            return [field.invalid(path, _TAINTS, str(error))]
        if isinstance(given, list):
            found += taints([t for t in given if isinstance(t, dict)], f"{path}.{_TAINTS}")
    if annotations.get(_AVOIDED):
        try:
            given = text.from_json(annotations[_AVOIDED].encode())
        except text.Malformed as error:
            return [*found, field.invalid(f"{path}.AvoidPods", _AVOIDED, str(error))]
        entries = given.get("preferAvoidPods") if isinstance(given, dict) else None
        for i, entry in enumerate(entries or ()):
            at = f"{path}.{_AVOIDED}[{i}].PodSignature"
            controller = (entry.get("podSignature") or {}).get("podController")
            if controller is None:
                found.append(field.required(at))
            elif not controller.get("controller"):
                found.append(field.invalid(f"{at}.PodController.Controller", False, "must point to a controller"))
    return found


def taints(given: list[Any], path: str) -> ErrorList:
    found: ErrorList = []
    unique: set[tuple[str, str]] = set()
    for i, taint in enumerate(given):
        at = f"{path}[{i}]"
        key, value, effect = taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        found += label_name(key, f"{at}.key")
        wrong = names.label_value(value)
        if wrong:
            found.append(field.invalid(f"{at}.value", value, ";".join(wrong)))
        if not effect:
            found.append(field.required(f"{at}.effect"))
        elif effect not in EFFECTS:
            found.append(field.not_supported(f"{at}.effect", effect, EFFECTS))
        if (key, effect) in unique:
            duplicate = field.duplicate(at, internal("core/v1.Taint", taint))
            duplicate.detail = "taints must be unique by key and effect pair"
            found.append(duplicate)
        unique.add((key, effect))
    return found


def _resources(status: Obj) -> ErrorList:
    found: ErrorList = []
    for part in ("capacity", "allocatable"):
        for name, value in (status.get(part) or {}).items():
            found += quantity_value(name, value, f"status.{part}.{name}")
    return found


def _features(given: list[str]) -> ErrorList:
    found: ErrorList = []
    for i, feature in enumerate(given):
        at = f"status.declaredFeatures[{i}]"
        if i and feature == given[i - 1]:
            found.append(field.duplicate(at, feature))
        elif i and feature < given[i - 1]:
            found.append(field.invalid(at, feature, "list must be sorted alphabetically"))
        why = ""
        if len(feature.encode()) > _FEATURE_MAX:
            why = f"must be no more than {_FEATURE_MAX} characters"
        elif not _FEATURE.fullmatch(feature):
            why = (
                "must start with an UpperCamelCase segment, with subsequent segments separated by '/' "
                "(e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            )
        if why:
            found.append(field.invalid(at, feature, f"invalid feature name {quote(feature)}: {why}"))
    return found


def _networks(given: list[str]) -> ErrorList:
    path = "spec.podCIDRs"
    found: ErrorList = []
    for i, cidr in enumerate(given):
        found += addresses.legacy_cidr(cidr, f"{path}[{i}]")
    if len(given) < 2:
        return found
    parsed = [addresses.parse_cidr(cidr) for cidr in given]
    bad = next((i for i, p in enumerate(parsed) if p is None), None)
    if bad is not None:
        why = f"invalid CIDR[{bad}]: <nil> (invalid CIDR address: {given[bad]})"
        found.append(field.internal(path, f"invalid PodCIDRs. failed to check with dual stack with error:{why}"))
    families = {p[1].version for p in parsed if p is not None}
    if bad is not None or len(families) < 2 or len(given) > 2:
        found.append(field.invalid(path, given, _ONE_EACH))
    return found


def validate_update(new: Obj, old: Obj) -> ErrorList:
    return validate(new) + _changed(new, old)


def validate_status(new: Obj, old: Obj) -> ErrorList:
    return _changed(new, old)


def _changed(new: Obj, old: Obj) -> ErrorList:
    spec, before, status = new.get("spec") or {}, old.get("spec") or {}, new.get("status") or {}
    found = _annotations(new) + _resources(status) + _features(status.get("declaredFeatures") or [])
    seen: set[tuple[str, str]] = set()
    for i, address in enumerate(status.get("addresses") or ()):
        key = (address.get("type") or "", address.get("address") or "")
        if key in seen:
            found.append(field.duplicate(f"status.addresses[{i}]", internal("core/v1.NodeAddress", address)))
        seen.add(key)
    cidrs, had = spec.get("podCIDRs") or [], before.get("podCIDRs") or []
    if had and len(cidrs) != len(had):
        found.append(field.forbidden("spec.podCIDRs", _KEPT))
    elif had:
        found += [field.forbidden("spec.podCIDRs", _KEPT) for a, b in zip(cidrs, had, strict=True) if a != b]
    provider, was = spec.get("providerID") or "", before.get("providerID") or ""
    if was and provider != was:
        what = "modified" if provider else "cleared"
        found.append(field.invalid("spec.providerID", None, f"field cannot be {what} once set"))
    if spec.get("configSource") is not None:
        found += _config(spec["configSource"], "spec.configSource", in_status=False)
    for name in ("assigned", "active", "lastKnownGood"):
        source = (status.get("config") or {}).get(name)
        if source is not None:
            found += _config(source, f"status.config.{name}", in_status=True)
    if spec.get("taints"):
        found += taints(spec["taints"], "metadata.taints")
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        found.append(field.forbidden("spec.externalID", "may not be updated"))
    return found


def _config(source: Obj, path: str, *, in_status: bool) -> ErrorList:
    """Where a kubelet's configuration came from: the feature is gone, its fields are not."""
    config, at = source.get("configMap"), f"{path}.configMap"
    if config is None:
        shown = internal("core/v1.NodeConfigSource", source)
        return [field.invalid(path, shown, "exactly one reference subfield must be non-nil")]
    found: ErrorList = []
    for name in ("uid", "resourceVersion"):
        if in_status and not config.get(name):
            found.append(field.required(f"{at}.{name}"))
        elif not in_status and config.get(name):
            found.append(field.forbidden(f"{at}.{name}", f"{name} must not be set in spec"))
    for name, form in (
        ("namespace", names.dns1123_label), ("name", names.dns1123_subdomain), ("kubeletConfigKey", forms.config_key),
    ):  # fmt: skip
        value = config.get(name) or ""
        if not value:
            found.append(field.required(f"{at}.{name}"))
        else:
            found += [field.invalid(f"{at}.{name}", value, why) for why in form(value)]
    return found


def warnings(new: Obj, _old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    out: list[str] = []
    if spec.get("configSource") is not None:
        out.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        out.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for i, cidr in enumerate(spec.get("podCIDRs") or ()):
        out += addresses.cidr_warnings(cidr, f"spec.podCIDRs[{i}]")
    return out
