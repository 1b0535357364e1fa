"""Node affinity terms, taints and pod selectors, as several plugins match them.

Source: upstream's component-helpers/scheduling/corev1 (nodeaffinity, helpers).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pilothouse.api import selectors
from pilothouse.api.objects import Obj


def requirement_fits(requirement: Obj, value: str | None) -> bool:
    """One expression of a node selector against a label or field."""
    values = requirement.get("values") or []
    match requirement.get("operator"):
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                have, limit = int(value or ""), int(values[0])
            except (ValueError, IndexError):
                return False
            return have > limit if requirement["operator"] == "Gt" else have < limit
    return False


def term_fits(term: Obj, node: Obj) -> bool:
    """An empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    return all(requirement_fits(e, labels.get(e.get("key"))) for e in expressions) and all(
        requirement_fits(f, node["metadata"]["name"] if f.get("key") == "metadata.name" else None) for f in fields
    )


def node_selected(spec: Obj, node: Obj) -> bool:
    """spec.nodeSelector and the required node affinity."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(term_fits(t, node) for t in required.get("nodeSelectorTerms") or ())


def tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def tolerated(taint: Obj, tolerations: Iterable[Obj]) -> bool:
    return any(tolerates(t, taint) for t in tolerations)


def term_namespaces(term: Obj, own: str, namespaces: Iterable[Obj]) -> frozenset[str]:
    """The namespaces that a pod affinity term speaks of."""
    selector = term.get("namespaceSelector")
    found = set(term.get("namespaces") or ())
    if selector is None:
        return frozenset(found or {own})
    chosen = selectors.of_object(selector)
    found.update(n["metadata"]["name"] for n in namespaces if chosen.matches(n["metadata"].get("labels") or {}))
    return frozenset(found)


def labels_of(obj: Obj) -> dict[str, str]:
    found: Any = obj["metadata"].get("labels")
    return found or {}
