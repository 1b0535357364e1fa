"""What the spec of a Job must be like, in a Job and in a CronJob's template. Source: upstream's pkg/apis/batch/validation."""

from __future__ import annotations

import re
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.batch.policies import failure_policy, success_policy
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.core.podspec.forms import non_negative, subdomain, supported
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.spec import template as template_rules
from pilothouse.api.objects import Obj

_COUNTS: Final = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_INDEXED_MAX: Final = 100_000
_MANY_COMPLETIONS: Final = 100_000
_OF_MANY_MAX: Final = 10_000
_MANAGED_BY_MAX_BYTES: Final = 63
_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_is_path = re.compile(_PATH, re.ASCII).fullmatch


def job_spec(spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    for name in _COUNTS:
        found += non_negative(spec.get(name), f"{path}.{name}")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        found.append(field.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    found += _managed_by(spec.get("managedBy"), f"{path}.managedBy")
    found += _completion_mode(spec, path)
    if spec.get("podFailurePolicy") is not None:
        found += failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        at = f"{path}.successPolicy"
        if spec.get("completionMode") == "Indexed":
            found += success_policy(spec, at)
        else:
            shown = internal("batch/v1.SuccessPolicy", spec["successPolicy"])
            found.append(field.invalid(at, shown, "requires indexed completion mode"))
    replacement, at = spec.get("podReplacementPolicy"), f"{path}.podReplacementPolicy"
    if spec.get("podFailurePolicy") is not None:
        found += supported(replacement, at, "Failed")
    else:
        found += supported(replacement, at, "Failed", "TerminatingOrFailed")
    found += template_rules(spec.get("template"), f"{path}.template", lenient)
    return found + _restart_policy(spec, f"{path}.template.spec.restartPolicy")


def _managed_by(text: str | None, path: str) -> ErrorList:
    if text is None:
        return []
    if not text:
        return [field.required(path)]
    found: ErrorList = []
    host, slash, rest = text.partition("/")
    if not slash or not host or not rest:
        found.append(field.invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        found += subdomain(host, path)
        if not _is_path(rest):
            found.append(field.invalid(path, rest, names.pattern("Invalid path", _PATH)))
    if len(text.encode()) > _MANAGED_BY_MAX_BYTES:
        found.append(field.too_long(path, _MANAGED_BY_MAX_BYTES))
    return found


def _completion_mode(spec: Obj, path: str) -> ErrorList:
    mode = spec.get("completionMode")
    found = supported(mode, f"{path}.completionMode", "NonIndexed", "Indexed")
    if mode == "Indexed":
        return found + _indexed(spec, path)
    if mode in (None, "NonIndexed"):
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                found.append(field.invalid(f"{path}.{name}", spec[name], "requires indexed completion mode"))
    return found


def _indexed(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    completions, parallelism, failed = (spec.get(n) for n in ("completions", "parallelism", "maxFailedIndexes"))
    at_parallelism, at_failed = f"{path}.parallelism", f"{path}.maxFailedIndexes"
    if completions is None:
        found.append(field.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism is not None and parallelism > _INDEXED_MAX:
        detail = f"must be less than or equal to {_INDEXED_MAX} when completion mode is Indexed"
        found.append(field.invalid(at_parallelism, parallelism, detail))
    if completions is not None and failed is not None and failed > completions:
        found.append(field.invalid(at_failed, failed, "must be less than or equal to completions"))
    if failed is not None and failed > _INDEXED_MAX:
        found.append(field.invalid(at_failed, failed, f"must be less than or equal to {_INDEXED_MAX}"))
    if (completions or 0) <= _MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return found
    if failed is None:
        detail = f"must be specified when completions is above {_MANY_COMPLETIONS}"
        found.append(field.required(at_failed, detail))
    detail = (
        f"must be less than or equal to {_OF_MANY_MAX} when completions are above {_MANY_COMPLETIONS} "
        "and used with backoff limit per index"
    )
    for at, value in ((at_parallelism, parallelism), (at_failed, failed)):
        if value is not None and value > _OF_MANY_MAX:
            found.append(field.invalid(at, value, detail))
    return found


def _restart_policy(spec: Obj, path: str) -> ErrorList:
    """Pods that restart for ever never complete; a failure policy sees only pods that do not restart."""
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or "Always"
    if policy == "Always":
        return [field.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [field.not_supported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        return [field.invalid(path, policy, detail)]
    return []
