"""Which nodes a pod may be on by its own wishes: node selector, required node affinity, tolerations of taints.

Source: upstream's component-helpers/scheduling/corev1 and api/core/v1/toleration.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pilothouse.api.objects import Obj, get

_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")


def _integer(text: Any) -> int | None:
    if not isinstance(text, str) or not _INTEGER.fullmatch(text) or len(text) > 20:
        return None
    value = int(text)
    return value if -(1 << 63) <= value < 1 << 63 else None


def _requirement_fits(requirement: Obj, value: str | None) -> bool:
    operator = requirement.get("operator")
    values: list[str] = requirement.get("values") or []
    if operator == "In":
        return value is not None and value in values
    if operator == "NotIn":
        return value is None or value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    bound, number = _integer(values[0] if len(values) == 1 else None), _integer(value)
    if bound is None or number is None:
        return False
    return number > bound if operator == "Gt" else operator == "Lt" and number < bound


def _term_fits(term: Obj, node: Obj) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = node["metadata"].get("labels") or {}
    name = node["metadata"]["name"]
    return all(_requirement_fits(e, labels.get(e.get("key"))) for e in expressions) and all(
        f.get("key") == "metadata.name" and _requirement_fits(f, name) for f in fields
    )


def affinity_fits(pod_spec: Obj, node: Obj) -> bool:
    """The node selector and the required node affinity of a pod's spec allow the node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (pod_spec.get("nodeSelector") or {}).items()):
        return False
    required = get(pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_term_fits(term, node) for term in required.get("nodeSelectorTerms") or ())


def tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator, value = toleration.get("operator") or "Equal", toleration.get("value") or ""
    if operator == "Exists":
        return True
    return bool(operator == "Equal" and value == (taint.get("value") or ""))


def untolerated(taints: Iterable[Obj], tolerations: list[Obj], effects: frozenset[str]) -> bool:
    """One of the taints of these effects is not tolerated."""
    return any(taint.get("effect") in effects and not any(tolerates(t, taint) for t in tolerations) for taint in taints)
