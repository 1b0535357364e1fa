"""topologySpreadConstraints. Source: the documentation's page on them; KEP-895, KEP-3243."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from pilothouse.api.kinds.core.podspec.leniency import Leniency

_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_POLICIES = ("Honor", "Ignore")
_IN_BOTH = "exists in both matchLabelKeys and labelSelector"


def constraints(values: list[Obj] | None, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    pairs = [(c.get("topologyKey") or "", c.get("whenUnsatisfiable") or "") for c in values or ()]
    for i, constraint in enumerate(values or ()):
        found += _constraint(constraint, pairs[i + 1 :], f"{path}[{i}]", lenient)
    return found


def _positive(value: int, path: str) -> ErrorList:
    return [] if value > 0 else [field.invalid(path, value, "must be greater than zero")]


def _constraint(constraint: Obj, later: list[tuple[str, str]], path: str, lenient: Leniency) -> ErrorList:
    found = _positive(constraint.get("maxSkew") or 0, f"{path}.maxSkew")
    key, action = constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or ""
    if not key:
        found.append(field.required(f"{path}.topologyKey", "can not be empty"))
    if action not in _ACTIONS:
        found.append(field.not_supported(f"{path}.whenUnsatisfiable", action, _ACTIONS))
    if (key, action) in later:
        found.append(field.duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
    least = constraint.get("minDomains")
    if least is not None:
        found += _positive(least, f"{path}.minDomains")
        if action != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            found.append(field.invalid(f"{path}.minDomains", least, detail))
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = constraint.get(name)
        if policy is not None and policy not in _POLICIES:
            found.append(field.not_supported(f"{path}.{name}", policy, _POLICIES))
    selector, keys = constraint.get("labelSelector"), constraint.get("matchLabelKeys")
    if lenient.spread_keys:
        found += _old_label_keys(keys, selector, f"{path}.matchLabelKeys")
    else:
        found += label_keys(keys, None, selector, path)
    if not lenient.spread_selectors:
        found += selectors.label_selector(selector, f"{path}.labelSelector")
    return found


def label_keys(match: list[str] | None, mismatch: list[str] | None, selector: Obj | None, path: str) -> ErrorList:
    """Keys of labels whose values are this pod's. On create they are part of the selector already when this is asked."""
    match, mismatch = match or [], mismatch or []
    found = _keys(match, selector, f"{path}.matchLabelKeys") + _keys(mismatch, selector, f"{path}.mismatchLabelKeys")
    if selector is not None:
        positions = {key: i for i, key in enumerate(match)}
        seen = set(selector.get("matchLabels") or ())
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key") or ""
            if key in positions and key in seen:
                found.append(field.invalid(f"{path}[{positions[key]}]", key, _IN_BOTH))
            seen.add(key)
    both = "exists in both matchLabelKeys and mismatchLabelKeys"
    return found + [
        field.invalid(f"{path}.matchLabelKeys[{i}]", key, both) for i, key in enumerate(match) if key in mismatch
    ]


def _keys(keys: list[str], selector: Obj | None, path: str) -> ErrorList:
    if keys and selector is None:
        return [field.forbidden(path, "must not be specified when labelSelector is not set")]
    return [e for i, key in enumerate(keys) for e in label_name(key, f"{path}[{i}]")]


def violates_keys(constraint: Obj) -> bool:
    return bool(label_keys(constraint.get("matchLabelKeys"), None, constraint.get("labelSelector"), ""))


def violates_old_keys(constraint: Obj) -> bool:
    return bool(_old_label_keys(constraint.get("matchLabelKeys"), constraint.get("labelSelector"), ""))


def _old_label_keys(keys: list[str] | None, selector: Obj | None, path: str) -> ErrorList:
    """The rule of before 1.34, for pods that hold what today's refuses."""
    if not keys:
        return []
    found: ErrorList = []
    known: set[str] = set()
    if selector is None:
        found.append(field.forbidden(path, "must not be specified when labelSelector is not set"))
    else:
        known = set(selector.get("matchLabels") or ())
        known |= {e.get("key") or "" for e in selector.get("matchExpressions") or ()}
    for i, key in enumerate(keys):
        found += label_name(key, f"{path}[{i}]")
        if key in known:
            found.append(field.invalid(f"{path}[{i}]", key, _IN_BOTH))
    return found
