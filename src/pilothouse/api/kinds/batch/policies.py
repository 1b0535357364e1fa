"""podFailurePolicy and successPolicy of a Job (KEP-3329, KEP-3998)."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field
from pilothouse.api.field import OMIT, ErrorList
from pilothouse.api.kinds.batch import indexes
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.kinds.core.podspec.forms import non_negative, supported
from pilothouse.api.objects import Obj

_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS: Final = ("In", "NotIn")
_STATUSES: Final = ("False", "True", "Unknown")
_RULES_MAX: Final = 20
_EXIT_CODES_MAX: Final = 255
_PATTERNS_MAX: Final = 20
_INDEXES_MAX_BYTES: Final = 64 * 1024


def _one_of(value: str, path: str, *values: str) -> ErrorList:
    if not value:
        listed = " ".join(f'"{v}"' for v in values)
        return [field.required(path, f"valid values: [{listed}]")]
    return supported(value, path, *values)


def failure_policy(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > _RULES_MAX:
        found.append(field.too_many(f"{path}.rules", len(rules), _RULES_MAX))
    pod = (spec.get("template") or {}).get("spec") or {}
    known = {c.get("name") or "" for c in containers.every(pod, "containers", "initContainers")}
    per_index = spec.get("backoffLimitPerIndex") is not None
    for i, rule in enumerate(rules):
        found += _failure_rule(rule, f"{path}.rules[{i}]", known, per_index)
    return found


def _failure_rule(rule: Obj, path: str, known: set[str], per_index: bool) -> ErrorList:
    found: ErrorList = []
    action, codes, conditions = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions")
    if action != "FailIndex":
        found += _one_of(action, f"{path}.action", *_ACTIONS)
    elif not per_index:
        found.append(field.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    if codes is not None:
        found += _exit_codes(codes, f"{path}.onExitCodes", known)
    if conditions:
        found += _conditions(conditions, f"{path}.onPodConditions")
    if codes is not None and conditions:
        detail = "specifying both OnExitCodes and OnPodConditions is not supported"
        found.append(field.invalid(path, OMIT, detail))
    if codes is None and not conditions:
        found.append(field.invalid(path, OMIT, "specifying one of OnExitCodes and OnPodConditions is required"))
    return found


def _conditions(patterns: list[Obj], path: str) -> ErrorList:
    found: ErrorList = []
    if len(patterns) > _PATTERNS_MAX:
        found.append(field.too_many(path, len(patterns), _PATTERNS_MAX))
    for i, pattern in enumerate(patterns):
        found += label_name(pattern.get("type") or "", f"{path}[{i}].type")
        found += _one_of(pattern.get("status") or "", f"{path}[{i}].status", *_STATUSES)
    return found


def _exit_codes(codes: Obj, path: str, known: set[str]) -> ErrorList:
    operator, name, values = codes.get("operator") or "", codes.get("containerName"), codes.get("values")
    found = _one_of(operator, f"{path}.operator", *_OPERATORS)
    if name is not None and name not in known:
        detail = "must be one of the container or initContainer names in the pod template"
        found.append(field.invalid(f"{path}.containerName", name, detail))
    at = f"{path}.values"
    if not values:
        found.append(field.invalid(at, values, "at least one value is required"))
    elif len(values) > _EXIT_CODES_MAX:
        found.append(field.too_many(at, len(values), _EXIT_CODES_MAX))
    seen: set[int] = set()
    for i, value in enumerate(values or ()):
        if operator == "In" and value == 0:
            found.append(field.invalid(f"{at}[{i}]", value, "must not be 0 for the In operator"))
        if value in seen:
            found.append(field.duplicate(f"{at}[{i}]", value))
        seen.add(value)
    if values and values != sorted(values):
        found.append(field.invalid(at, values, "must be ordered"))
    return found


def success_policy(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    rules = spec["successPolicy"].get("rules") or []
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        found.append(field.required(f"{path}.rules", detail))
    if len(rules) > _RULES_MAX:
        found.append(field.too_many(f"{path}.rules", len(rules), _RULES_MAX))
    for i, rule in enumerate(rules):
        found += _success_rule(rule, spec.get("completions") or 0, f"{path}.rules[{i}]")
    return found


def _success_rule(rule: Obj, completions: int, path: str) -> ErrorList:
    found: ErrorList = []
    count, listed = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and listed is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        found.append(field.required(path, detail))
    total, at = 0, f"{path}.succeededIndexes"
    if listed is not None:
        if len(listed.encode()) > _INDEXES_MAX_BYTES:
            found.append(field.too_long(at, _INDEXES_MAX_BYTES))
        try:
            total = indexes.count(listed, completions)
        except indexes.IndexesError as e:
            found.append(field.invalid(at, listed, f"error parsing succeededIndexes: {e}"))
    if count is None:
        return found
    at = f"{path}.succeededCount"
    found += non_negative(count, at)
    if count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        found.append(field.invalid(at, count, detail))
    if listed is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        found.append(field.invalid(at, count, detail))
    return found
