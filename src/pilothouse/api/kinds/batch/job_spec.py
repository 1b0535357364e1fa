"""The spec of a Job, which a CronJob's template has too."""

from __future__ import annotations

from typing import Final

from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.core.podspec import workloads
from pilothouse.api.kinds.core.podspec.warnings import template_warnings
from pilothouse.api.objects import Obj

_COMPLETIONS_SOFT_LIMIT: Final = 100_000
_PARALLELISM_SOFT_LIMIT: Final = 10_000
_GATED: Final = (Gated("WorkloadWithJob", fields("scheduling")),)
_MANY_INDEXES: Final = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
    "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)


def default_spec(spec: Obj) -> None:
    """What a Job's and a CronJob's share; the rest only a Job gets."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    workloads.default_template(spec)


def drop_disabled(spec: Obj, old: Obj | None) -> None:
    """Changes spec: what stands behind a closed feature gate goes."""
    drop(_GATED, spec, old)


def spec_warnings(spec: Obj, path: str) -> list[str]:
    out = []
    if spec.get("completionMode") == "Indexed":
        completions, parallelism = spec.get("completions") or 0, spec.get("parallelism") or 0
        if completions > _COMPLETIONS_SOFT_LIMIT and parallelism > _PARALLELISM_SOFT_LIMIT:
            out.append(f"{path}: {_MANY_INDEXES}")
    return out + template_warnings(spec.get("template"), f"{path}.template")
