"""What the kinds with a pod template in `spec.template` do alike."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.common.selectors import is_usable, label_selector, same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.core.podspec import defaults, selected
from pilothouse.api.kinds.core.podspec.gates import drop_disabled_template
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.spec import template as template_rules
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.objects import Obj, meta

_SURPRISING = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
    "a DNS label is recommended: "
)


def spec_of(obj: Obj) -> Obj:
    """The spec, attached where it was absent."""
    spec: Obj | None = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    return spec


def default_template(spec: Obj) -> None:
    """A template that is a part of the struct, not a pointer: always there."""
    if spec.get("template") is None:
        spec["template"] = {}
    defaults.template(spec["template"])


def absent(target: Obj, /, **values: object) -> None:
    """Sets what is absent."""
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def prepare_create(obj: Obj) -> None:
    obj["status"] = {}
    obj.setdefault("metadata", {})["generation"] = 1
    drop_disabled_template(spec_of(obj).get("template"), None)


def prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    drop_disabled_template(spec_of(new).get("template"), (old.get("spec") or {}).get("template"))
    if not same(new.get("spec"), old.get("spec")):
        next_generation(new, old)


def next_generation(new: Obj, old: Obj) -> None:
    new.setdefault("metadata", {})["generation"] = (meta(old).get("generation") or 0) + 1


TERMINATING: Final = (Gated("DeploymentReplicaSetTerminatingReplicas", fields("status.terminatingReplicas")),)
"""Of Deployments and ReplicaSets; no other kind has the field."""


def prepare_status(new: Obj, old: Obj) -> None:
    """Only the spec stays: upstream lets labels, annotations and finalizers of these kinds through."""
    keep(new, old, "spec")
    drop(TERMINATING, new, old)


def name_warnings(obj: Obj) -> list[str]:
    """A name that its pods' hostnames cannot have."""
    details = names.dns1123_label(meta(obj).get("name") or "")
    return [f"{_SURPRISING}[{' '.join(details)}]"] if details else []


def is_changed(new: Obj, old: Obj) -> bool:
    """Whether warnings about an update are due: the generation tells."""
    return bool((meta(new).get("generation") or 0) != (meta(old).get("generation") or 0))


def warnings(new: Obj, old: Obj | None) -> list[str]:
    template = (new.get("spec") or {}).get("template")
    if old is None:
        return name_warnings(new) + template_warnings(template, "spec.template")
    return template_warnings(template, "spec.template") if is_changed(new, old) else []


def always_running(template: Obj | None, path: str, kind: str) -> ErrorList:
    """Pods that end would only be replaced."""
    spec = (template or {}).get("spec") or {}
    found: ErrorList = []
    if spec.get("restartPolicy") != "Always":
        found.append(field.not_supported(f"{path}.spec.restartPolicy", spec.get("restartPolicy") or "", ["Always"]))
    if spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        found.append(field.forbidden(f"{path}.spec.activeDeadlineSeconds", detail))
    return found


def selector_and_template(spec: Obj, lenient: Leniency) -> ErrorList:
    """Of Deployments and ReplicaSets: upstream tells both of the latter's limits and of the former's name."""
    path, selector, template = "spec.selector", spec.get("selector"), spec.get("template")
    found: ErrorList = []
    if selector is None:
        found.append(field.required(path))
    else:
        found += label_selector(selector, path)
        if selected.is_empty(selector):
            found.append(field.invalid(path, {}, "empty selector is invalid for deployment"))
    if not is_usable(selector):
        return [*found, field.invalid(path, selected.shown(selector), "invalid label selector")]
    found += selected.template_labels(selector, template, "spec.template")
    found += template_rules(template, "spec.template", lenient)
    return found + always_running(template, "spec.template", "ReplicaSet")
