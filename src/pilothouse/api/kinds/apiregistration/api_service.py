"""APIService. Source: upstream's k8s.io/kube-aggregator, apiregistration/validation and registry/apiservice."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common.strategy import drop_status, keep_spec, update_without_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_GROUP_PRIORITY_MAX: Final = 20_000
_VERSION_PRIORITY_MAX: Final = 1000
_STATUSES: Final = ("True", "False", "Unknown")
_PORT: Final = 443


def _default(obj: Obj) -> None:
    service = (obj.get("spec") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = _PORT


def _prepare_create(obj: Obj) -> None:
    drop_status(obj)
    obj.setdefault("status", {})


def _stamp(new: Obj, old: Obj | None, now: str) -> None:
    """What this server serves itself is available at once."""
    if old is None and (new.get("spec") or {}).get("service") is None:
        new["status"] = {"conditions": [{
            "type": "Available", "status": "True", "lastTransitionTime": now, "reason": "Local",
            "message": "Local APIServices are always available",
        }]}  # fmt: skip


def _validate(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    found: ErrorList = _named(meta(obj).get("name") or "", f"{version}.{group}")
    if not group and version != "v1":
        wrong = "only v1 may have an empty group and it better be legacy kube"
        found.append(field.required("spec.group", wrong))
    if group:
        found += [field.invalid("spec.group", group, d) for d in names.dns1123_subdomain(group)]
    found += [field.invalid("spec.version", version, d) for d in names.dns1035_label(version)]
    for name, most in (("groupPriorityMinimum", _GROUP_PRIORITY_MAX), ("versionPriority", _VERSION_PRIORITY_MAX)):
        value = spec.get(name) or 0
        if not 0 < value <= most:
            found.append(field.invalid(f"spec.{name}", value, f"must be positive and less than {most}"))
    return found + _service(spec)


def _named(name: str, wanted: str) -> ErrorList:
    if not name or names.path_segment(name) or name == wanted:
        return []
    wrong = f'must be `spec.version+"."+spec.group`: {quote(wanted)}'
    return [field.invalid("metadata.name", name, wrong)]


def _service(spec: Obj) -> ErrorList:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), bool(spec.get("insecureSkipTLSVerify"))
    found: ErrorList = []
    if service is None:
        if bundle:
            import base64

            shown = f"{len(base64.b64decode(bundle))} bytes"
            found.append(field.invalid("spec.caBundle", shown, "local APIServices may not have a caBundle"))
        if insecure:
            wrong = "local APIServices may not have insecureSkipTLSVerify"
            found.append(field.invalid("spec.insecureSkipTLSVerify", True, wrong))
        return found
    found += [field.required(f"spec.service.{n}") for n in ("namespace", "name") if not service.get(n)]
    port = service.get("port") or 0
    details = names.port_number(port)
    if details:
        found.append(field.invalid("spec.service.port", port, "port is not valid: " + ", ".join(details)))
    if insecure and bundle:
        found.append(field.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return found


def _validate_update(new: Obj, _old: Obj) -> ErrorList:
    return _validate(new)


def _validate_status(new: Obj, _old: Obj) -> ErrorList:
    listed = (new.get("status") or {}).get("conditions") or ()
    return [
        field.not_supported(f"status.conditions[{i}].status", c.get("status") or "", _STATUSES)
        for i, c in enumerate(listed)
        if c.get("status") not in _STATUSES
    ]


def _row(obj: Obj, now_s: float) -> list[Any]:
    service = (obj.get("spec") or {}).get("service")
    shown = "Local" if service is None else f"{service.get('namespace') or ''}/{service.get('name') or ''}"
    available = next(
        (c for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") == "Available"), None
    )
    state = "Unknown"
    if available is not None:
        state = available.get("status") or ""
        if state != "True":
            state = f"{state} ({available.get('reason') or ''})"
    return [meta(obj).get("name", ""), shown, state, age(obj, now_s)]


KIND = Kind(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=update_without_generation,
    prepare_status=keep_spec,
    stamp=_stamp,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    name=lambda text, _: names.path_segment(text),
    row=_row,
    unconditional_update=False,
)
