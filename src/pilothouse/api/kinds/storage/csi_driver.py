"""CSIDriver."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import immutable, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_FS_GROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
_GATED: Final = (Gated("VolumeLimitScaling", fields("spec.preventPodSchedulingIfMissing")),)
_TOKENS_IN_SECRETS: Final = (
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
    "logging of tokens in volume attributes"
)


def _default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for name, value in (("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False)):
        if spec.get(name) is None:
            spec[name] = value
    if spec.get("fsGroupPolicy") is None:
        spec["fsGroupPolicy"] = "ReadWriteOnceWithFSType"
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
    scaling = ("preventPodSchedulingIfMissing",) if gates.is_open("VolumeLimitScaling") else ()
    for name in ("requiresRepublish", "seLinuxMount", *scaling):
        if spec.get(name) is None:
            spec[name] = False


def _spec(spec: Obj) -> ErrorList:
    found: ErrorList = []
    # The path of attachRequired is upstream's own.
    for name, shown in (
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ):
        if spec.get(name) is None:
            found.append(field.required(f"spec.{shown}"))
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _FS_GROUP_POLICIES:
        found.append(field.not_supported("spec.fsGroupPolicy", policy, _FS_GROUP_POLICIES))
    found += _token_requests(spec.get("tokenRequests") or [])
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in ("Persistent", "Ephemeral"):
            found.append(field.not_supported("spec.volumeLifecycleModes", mode, ["Persistent", "Ephemeral"]))
    if spec.get("seLinuxMount") is None:
        found.append(field.required("spec.seLinuxMount"))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        detail = "must be greater than or equal to 10 seconds"
        found.append(field.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail))
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        found.append(field.invalid("spec.serviceAccountTokenInSecrets", in_secrets, detail))
    if spec.get("preventPodSchedulingIfMissing") is None and gates.is_open("VolumeLimitScaling"):
        found.append(field.required("spec.preventPodSchedulingIfMissing"))
    return found


def _token_requests(requests: list[Obj]) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, request in enumerate(requests):
        path = f"spec.tokenRequests[{i}]"
        audience = request.get("audience") or ""
        if audience in seen:
            found.append(field.duplicate(f"{path}.audience", audience))
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is None:
            continue
        if seconds < 600:
            detail = "may not specify a duration less than 10 minutes"
            found.append(field.invalid(f"{path}.expirationSeconds", seconds, detail))
        if seconds > 1 << 32:
            detail = "may not specify a duration larger than 2^32 seconds"
            found.append(field.invalid(f"{path}.expirationSeconds", seconds, detail))
    return found


def _validate(obj: Obj) -> ErrorList:
    return _spec(obj.get("spec") or {})


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _spec(spec)
    found += immutable(spec.get("attachRequired"), before.get("attachRequired"), "spec.attachedRequired")
    modes = "volumeLifecycleModes"
    return found + immutable(spec.get(modes), before.get(modes), f"spec.{modes}")


def _prepare_create(obj: Obj) -> None:
    drop(_GATED, obj, None)


def _prepare_update(new: Obj, old: Obj) -> None:
    drop(_GATED, new, old)
    next_generation(new, old, "spec")


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    spec = new.get("spec") or {}
    requests = spec.get("tokenRequests")
    if not requests or spec.get("serviceAccountTokenInSecrets") is not None:
        return []
    if old is not None and same((old.get("spec") or {}).get("tokenRequests"), requests):
        return []
    return [_TOKENS_IN_SECRETS]


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    requests = spec.get("tokenRequests")
    audiences = "<unset>" if requests is None else ",".join(r.get("audience") or "" for r in requests)
    attach = spec.get("attachRequired")
    return [
        meta(obj).get("name", ""),
        True if attach is None else attach,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        audiences,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or "<none>",
        age(obj, now_s),
    ]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
    unconditional_update=False,
)
