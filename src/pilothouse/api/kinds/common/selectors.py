"""Validation of label selectors, node selectors and topology terms.

Source: metav1's `LabelSelector` reference and upstream's k8s.io/apimachinery/pkg/apis/meta/v1/validation.
"""

from __future__ import annotations

from typing import Any

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import EmptyMap, Obj
from pilothouse.api.raw import RawArray, RawObject


def label_name(name: str, path: str) -> ErrorList:
    return [field.invalid(path, name, d) for d in names.qualified_name(name)]


def labels(values: Obj | None, path: str) -> ErrorList:
    """Labels as a selector has them: errors name the map, not the key."""
    found: ErrorList = []
    for key, value in (values or {}).items():
        found += label_name(key, path)
        found += [field.invalid(path, value or "", d) for d in names.label_value(value or "")]
    return found


def label_selector(selector: Obj | None, path: str, *, allow_invalid_values: bool = False) -> ErrorList:
    """`allow_invalid_values`: the stored object already has one, so that it may stay."""
    if selector is None:
        return []
    found = labels(selector.get("matchLabels"), field.child(path, "matchLabels"))
    for i, requirement in enumerate(selector.get("matchExpressions") or ()):
        found += label_requirement(
            requirement, f"{field.child(path, 'matchExpressions')}[{i}]", allow_invalid_values=allow_invalid_values
        )
    return found


def label_requirement(requirement: Obj, path: str, *, allow_invalid_values: bool = False) -> ErrorList:
    found: ErrorList = []
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            found.append(field.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(field.forbidden(f"{path}.values", detail))
    else:
        found.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    found += label_name(requirement.get("key") or "", f"{path}.key")
    if not allow_invalid_values:
        for i, value in enumerate(values):
            found += [field.invalid(f"{path}.values[{i}]", value, d) for d in names.label_value(value)]
    return found


def has_invalid_values(selector: Obj | None) -> bool:
    """Whether a stored selector holds a value that today's rules refuse."""
    expressions = (selector or {}).get("matchExpressions") or ()
    return any(names.label_value(v) for e in expressions for v in e.get("values") or ())


def topology_selector_term(term: Obj, path: str) -> tuple[dict[str, frozenset[str]], ErrorList]:
    """A StorageClass' topology term: what it asks for, and what is wrong with it."""
    wanted: dict[str, frozenset[str]] = {}
    found: ErrorList = []
    seen: set[str] = set()
    for i, requirement in enumerate(term.get("matchLabelExpressions") or ()):
        at = f"{path}.matchLabelExpressions[{i}]"
        key = requirement.get("key") or ""
        values, wrong = _topology_requirement(requirement, at)
        found += wrong
        if key in seen:
            found.append(field.duplicate(f"{at}.key", key))
        else:
            wanted[key] = values
            seen.add(key)
    return wanted, found


def _topology_requirement(requirement: Obj, path: str) -> tuple[frozenset[str], ErrorList]:
    found: ErrorList = []
    seen: set[str] = set()
    values = requirement.get("values") or []
    if not values:
        found.append(field.required(f"{path}.values", ""))
    for i, value in enumerate(values):
        if value in seen:
            found.append(field.duplicate(f"{path}.values[{i}]", value))
        seen.add(value)
    return frozenset(seen), found + label_name(requirement.get("key") or "", f"{path}.key")


def same(a: Any, b: Any) -> bool:
    """Whether two parts of objects are equal as upstream's semantic equality sees them: no list or map equals an empty one."""
    if type(a) is type(b) and a == b:
        return True
    if isinstance(a, (RawObject, RawArray)):
        return bool(a == b)
    if isinstance(a, dict) or isinstance(b, dict):
        if a is None or b is None:
            there = b if a is None else a
            return isinstance(there, EmptyMap) and not there
        if not (isinstance(a, dict) and isinstance(b, dict)):
            return False
        return all(same(a.get(k), b.get(k)) for k in a.keys() | b.keys())
    if isinstance(a, list) or isinstance(b, list):
        a, b = a or [], b or []
        return isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return False


def is_usable(selector: Obj | None) -> bool:
    """Whether a selector can be evaluated at all: known operators with the values that they need, and valid labels."""
    if selector is None:
        return True
    for key, value in (selector.get("matchLabels") or {}).items():
        if names.qualified_name(key) or names.label_value(value or ""):
            return False
    return all(_requirement_is_usable(r) for r in selector.get("matchExpressions") or ())


def _requirement_is_usable(requirement: Obj) -> bool:
    operator, values = requirement.get("operator"), requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            return False
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            return False
    else:
        return False
    return not names.qualified_name(requirement.get("key") or "") and not any(map(names.label_value, values))


def show(selector: Obj | None) -> str:
    """A label selector as tables show it (metav1.FormatLabelSelector): `a=b,c in (d,e)`; `<none>` where it chooses all."""
    if selector is None:
        return "<none>"
    if not is_usable(selector):
        return "<error>"
    parts = [(k, f"{k}={v}") for k, v in (selector.get("matchLabels") or {}).items()]
    for requirement in selector.get("matchExpressions") or ():
        key, operator = requirement["key"], requirement["operator"]
        values = ",".join(sorted(requirement.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }[operator]
        parts.append((key, text))
    return ",".join(text for _, text in sorted(parts, key=lambda p: p[0])) or "<none>"


def go_string(selector: Obj) -> str:
    """A label selector as Go's generated String method writes it, which one table shows."""
    labels = selector.get("matchLabels") or {}
    shown = "".join(f"{k}: {labels[k]}," for k in sorted(labels))
    expressions = "".join(
        "LabelSelectorRequirement{"
        f"Key:{e.get('key') or ''},Operator:{e.get('operator') or ''},Values:[{' '.join(e.get('values') or ())}],"
        "},"
        for e in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{shown}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
