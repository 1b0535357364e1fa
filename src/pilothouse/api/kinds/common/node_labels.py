"""Node labels whose names are no longer in use, and the warnings about them (upstream's pkg/api/node)."""

from __future__ import annotations

from typing import Final

from pilothouse.api.objects import Obj

DEPRECATED: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def of_expressions(expressions: list[Obj] | None, path: str) -> list[str]:
    """Warnings about the keys of a selector's expressions."""
    out = []
    for i, expression in enumerate(expressions or ()):
        key = expression.get("key") or ""
        if key in DEPRECATED:
            out.append(f"{path}[{i}].key: {key} is {DEPRECATED[key]}")
    return out


def of_selector(selector: Obj | None, path: str) -> list[str]:
    """Warnings about a label selector for nodes."""
    selector = selector or {}
    out = of_expressions(selector.get("matchExpressions"), f"{path}.matchExpressions")
    labels = selector.get("matchLabels") or {}
    return out + [f"{path}.matchLabels.{k}: {DEPRECATED[k]}" for k in sorted(labels) if k in DEPRECATED]
