"""Affinity to nodes and to other pods. Source: the API reference of Affinity and upstream's pkg/apis/core/validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import nodes, selectors
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.core.podspec import forms
from pilothouse.api.kinds.core.podspec.spread import label_keys
from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from pilothouse.api.kinds.core.podspec.leniency import Leniency

_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def affinity(value: Obj | None, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    value = value or {}
    if value.get("nodeAffinity") is not None:
        found += _node(value["nodeAffinity"], f"{path}.nodeAffinity", lenient)
    for name in ("podAffinity", "podAntiAffinity"):
        if value.get(name) is not None:
            found += _pod(value[name], f"{path}.{name}", lenient)
    return found


def _weight(term: Obj, path: str) -> ErrorList:
    weight = term.get("weight") or 0
    return [] if 1 <= weight <= 100 else [field.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _node(value: Obj, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    required = value.get(_REQUIRED)
    if required is not None:
        found += nodes.node_selector(required, f"{path}.{_REQUIRED}", allow_invalid_values=lenient.node_affinity_values)
    for i, term in enumerate(value.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{i}]"
        found += _weight(term, at)
        # Invalid values are never refused here: the pod can be scheduled all the same.
        preference = term.get("preference") or {}
        found += nodes.node_selector_term(preference, f"{at}.preference", allow_invalid_values=True)
    return found


def _pod(value: Obj, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    for i, term in enumerate(value.get(_REQUIRED) or ()):
        found += _term(term, f"{path}.{_REQUIRED}[{i}]", lenient)
    for i, weighted in enumerate(value.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{i}]"
        found += _weight(weighted, at)
        found += _term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm", lenient)
    return found


def _term(term: Obj, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    for name in ("labelSelector", "namespaceSelector"):
        found += selectors.label_selector(
            term.get(name), f"{path}.{name}", allow_invalid_values=lenient.selector_values
        )
    for namespace in term.get("namespaces") or ():
        found += forms.label(namespace, f"{path}.namespace")
    found += label_keys(term.get("matchLabelKeys"), term.get("mismatchLabelKeys"), term.get("labelSelector"), path)
    key = term.get("topologyKey") or ""
    if not key:
        found.append(field.required(f"{path}.topologyKey", "can not be empty"))
    return found + label_name(key, f"{path}.topologyKey")
