"""PersistentVolumeClaim."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, selectors
from pilothouse.api.kinds.common.diffs import diff
from pilothouse.api.kinds.common.gated import Gated, drop
from pilothouse.api.kinds.common.gated import fields as places
from pilothouse.api.kinds.common.quantities import compare, parse, positive, round_list
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.resources import basic_quantity, is_native, quantity_value
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import immutable, keep
from pilothouse.api.kinds.core.access_modes import short_modes
from pilothouse.api.kinds.core.persistent_volume_spec import VOLUME_MODES, access_modes
from pilothouse.api.kinds.core.volume_health import HEALTH_STATUS
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, copy, get, meta
from pilothouse.api.printing import age

_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_RESIZE_STATUSES: Final = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible",
    "NodeResizePending",
)  # fmt: skip
_GATED: Final = (Gated("CrossNamespaceVolumeDataSource", places("dataSourceRef")),)
_GATED_STATUS: Final = (Gated("CSIVolumeHealth", places("status.healthStatus")),)
_RULES = declarative.fields({"status": [declarative.struct(declarative.fields({"healthStatus": HEALTH_STATUS}))]})


def _default(obj: Obj) -> None:
    status = obj.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Pending"
    default_spec(obj.setdefault("spec", {}))
    round_list(status.get("capacity"))
    round_list(status.get("allocatedResources"))


def default_spec(spec: Obj) -> None:
    """Changes the spec of a claim or of a template of claims."""
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    resources = spec.get("resources") or {}
    round_list(resources.get("limits"))
    round_list(resources.get("requests"))


def _prepare_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Pending"}  # as it would be read from the store
    _prepare_spec(obj.setdefault("spec", {}), None)


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "status")
    _prepare_spec(new.setdefault("spec", {}), old.get("spec") or {})


def _prepare_spec(spec: Obj, old: Obj | None) -> None:
    """Keeps dataSource and dataSourceRef the same, and drops what no populator could serve."""
    ref = spec.get("dataSourceRef")
    if ref is not None and ref.get("namespace"):
        drop(_GATED, spec, old)
        ref = spec.get("dataSourceRef")
    in_use = old is not None and (old.get("dataSource") is not None or old.get("dataSourceRef") is not None)
    if not in_use and ref is None and not _is_known_source(spec.get("dataSource")):
        spec.pop("dataSource", None)
    _normalize(spec)


def _normalize(spec: Obj) -> None:
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and ref is None:
        spec["dataSourceRef"] = _reference(source)
    elif ref is not None and source is None and not ref.get("namespace"):
        spec["dataSource"] = _reference(ref)


def _reference(source: Obj) -> Obj:
    group = source.get("apiGroup")
    out: Obj = {} if group is None else {"apiGroup": group}
    return out | {"kind": source.get("kind") or "", "name": source.get("name") or ""}


def _is_known_source(source: Obj | None) -> bool:
    if source is None:
        return False
    known = (("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io"))
    return (source.get("kind"), source.get("apiGroup") or "") in known


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    drop(_GATED_STATUS, new, old)


def claim_spec(
    spec: Obj, path: str, *, allow_invalid_values: bool = False, allow_invalid_group: bool = False
) -> ErrorList:
    """The spec of a claim or of a template of claims."""
    found: ErrorList = []
    modes = spec.get("accessModes") or []
    if not modes:
        found.append(field.required(f"{path}.accessModes", "at least 1 access mode is required"))
    found += selectors.label_selector(
        spec.get("selector"), f"{path}.selector", allow_invalid_values=allow_invalid_values
    )
    found += access_modes(modes, f"{path}.accessModes")
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    at = f"{path}.resources[storage]"
    if size is None:
        found.append(field.required(at))
    else:
        found += positive(size, at) or quantity_value("storage", size, at)
    storage_class, mode = spec.get("storageClassName"), spec.get("volumeMode")
    if storage_class:
        at = f"{path}.storageClassName"
        found += [field.invalid(at, storage_class, d) for d in names.dns1123_subdomain(storage_class)]
    if mode is not None and mode not in VOLUME_MODES:
        found.append(field.not_supported(f"{path}.volumeMode", mode, VOLUME_MODES))
    found += _sources(spec, path, allow_invalid_group)
    attributes = spec.get("volumeAttributesClassName")
    if attributes:
        at = f"{path}.volumeAttributesClassName"
        found += [field.invalid(at, attributes, d) for d in names.dns1123_subdomain(attributes)]
    return found


def _sources(spec: Obj, path: str, allow_invalid_group: bool) -> ErrorList:
    found: ErrorList = []
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    for name, value in (("dataSource", source), ("dataSourceRef", ref)):
        if value is not None:
            found += _source(value, f"{path}.{name}", allow_invalid_group)
    if ref is not None:
        namespace = ref.get("namespace")
        if namespace:
            at = f"{path}.dataSourceRef.namespace"
            found += [field.invalid(at, namespace, d) for d in names.dns1123_label(namespace)]
            if source is not None:
                detail = "may not be specified when dataSourceRef.namespace is specified"
                found.append(field.invalid(path, {}, detail))
        elif source is not None and not _matches(source, ref):
            found.append(field.invalid(path, {}, "must match dataSourceRef"))
    return found


def _matches(source: Obj, ref: Obj) -> bool:
    if source.get("apiGroup") != ref.get("apiGroup"):
        return False
    return all((source.get(k) or "") == (ref.get(k) or "") for k in ("kind", "name"))


def _source(source: Obj, path: str, allow_invalid_group: bool) -> ErrorList:
    found = [field.required(f"{path}.{name}") for name in ("name", "kind") if not source.get(name)]
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        found.append(field.invalid(path, kind, detail))
    if group and not allow_invalid_group:
        found += [field.invalid(f"{path}.apiGroup", group, d) for d in names.dns1123_subdomain(group)]
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(claim_spec(obj.get("spec") or {}, "spec"), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, copy(old.get("spec") or {})
    _normalize(before)
    group_stays = any(get(before, n, "apiGroup") is not None for n in ("dataSource", "dataSourceRef"))
    found = claim_spec(
        spec,
        "spec",
        allow_invalid_values=bool(selectors.label_selector(before.get("selector"), "")),
        allow_invalid_group=group_stays,
    )
    found += _spec_change(new, old, spec, before)
    found += _size_change(spec, before, old)
    found += immutable(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    was, attributes = before.get("volumeAttributesClassName"), spec.get("volumeAttributesClassName")
    if was != attributes and get(old, "status", "currentVolumeAttributesClassName") is not None and not attributes:
        what = "nil" if attributes is None else "empty string"
        detail = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        found.append(field.forbidden("spec.volumeAttributesClassName", detail))
    return declarative.merged(found, _RULES, new, old)


def _spec_change(new: Obj, old: Obj, spec: Obj, before: Obj) -> ErrorList:
    """What may change is made equal in copies; the rest may not differ."""
    found: ErrorList = []
    spec, before = copy(spec), copy(before)
    if not before.get("volumeName"):
        keep(before, spec, "volumeName")
    annotations, old_annotations = meta(new).get("annotations") or {}, meta(old).get("annotations") or {}
    beta, old_beta = annotations.get(_CLASS_ANNOTATION), old_annotations.get(_CLASS_ANNOTATION)
    name, old_name = spec.get("storageClassName"), before.get("storageClassName")
    if old_beta is not None and old_name is None and name == old_beta and beta in (None, old_beta):
        spec.pop("storageClassName", None)  # the class moves from the annotation to the field
    else:
        if (beta or "") != (old_beta or ""):
            path = f"metadata.annotations.{_CLASS_ANNOTATION}"
            found.append(field.invalid(path, beta or "", "field is immutable"))
        if name is not None and old_name is None and old_beta in (None, name):
            del spec["storageClassName"]  # a default class given later
    if get(new, "status", "phase") == "Bound":
        requests = (spec.get("resources") or {}).get("requests")
        if requests is not None:
            requests["storage"] = get(before, "resources", "requests", "storage", default="0")
        keep(spec, before, "volumeAttributesClassName")
    if _same_spec(spec, before):
        return found
    type_name = "core/v1.PersistentVolumeClaimSpec"
    changed = diff(internal(type_name, before), internal(type_name, spec))
    detail = (
        "spec is immutable after creation except resources.requests and volumeAttributesClassName "
        f"for bound claims\n{changed}"
    )
    return [*found, field.forbidden("spec", detail)]


def _same_spec(spec: Obj, before: Obj) -> bool:
    def plain(value: Obj) -> Obj:
        out = copy(value)
        for part in ("limits", "requests"):
            amounts = (out.get("resources") or {}).get(part)
            if amounts:
                out["resources"][part] = {k: str(parse(q).amount.normalize()) for k, q in amounts.items()}
        return out  # type: ignore[no-any-return]

    if any((spec.get(k) is None) != (before.get(k) is None) for k in ("selector", "dataSource", "dataSourceRef")):
        return False
    return same(plain(spec), plain(before))


def _size_change(spec: Obj, before: Obj, old: Obj) -> ErrorList:
    size = get(spec, "resources", "requests", "storage", default="0")
    if compare(size, get(before, "resources", "requests", "storage", default="0")) >= 0:
        return []
    if compare(size, get(old, "status", "capacity", "storage", default="0")) <= 0:
        detail = "field can not be less than status.capacity"
        return [field.forbidden("spec.resources.requests.storage", detail)]
    return []


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    status = new.get("status") or {}
    if not meta(new).get("resourceVersion"):
        found.append(field.required("resourceVersion"))
    if not get(new, "spec", "accessModes"):
        found.append(field.required("Spec.accessModes"))
    for name, quantity in (status.get("capacity") or {}).items():
        found += basic_quantity(quantity, f"status.capacity[{name}]")
    path = "status.allocatedResourceStatuses"
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        found += _resource_key(name, path)
        if state not in _RESIZE_STATUSES:
            found.append(field.not_supported(path, name, sorted(_RESIZE_STATUSES)))
    path = "status.allocatedResources"
    for name, quantity in (status.get("allocatedResources") or {}).items():
        wrong = _resource_key(name, path)
        at = f"{path}[{name}]"
        found += wrong or basic_quantity(quantity, at) or quantity_value("storage", quantity, at)
    return declarative.merged(found, _RULES, new, old)


def _resource_key(name: str, path: str) -> ErrorList:
    found = [field.invalid(path, name, d) for d in names.qualified_name(name)]
    if not found and is_native(name) and name != "storage":
        found.append(field.not_supported(path, name, ["storage"]))
    return found


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    out = []
    if _CLASS_ANNOTATION in (meta(new).get("annotations") or {}):
        told = 'deprecated since v1.8; use "storageClassName" attribute instead'
        out.append(f"metadata.annotations[{_CLASS_ANNOTATION}]: {told}")
    return out + spec_warnings(new.get("spec") or {}, "spec")


def spec_warnings(spec: Obj, path: str) -> list[str]:
    out = []
    resources = spec.get("resources") or {}
    for part in ("requests", "limits"):
        size = (resources.get(part) or {}).get("storage")
        if size is not None and parse(size).milli() % 1000:
            shown = f'fractional byte value "{size}" is invalid, must be an integer'
            out.append(f"{path}.resources.{part}[storage]: {shown}")
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status, metadata = obj.get("spec") or {}, obj.get("status") or {}, meta(obj)
    bound = bool(spec.get("volumeName"))
    beta_class = (metadata.get("annotations") or {}).get(_CLASS_ANNOTATION)
    attributes, mode = spec.get("volumeAttributesClassName"), spec.get("volumeMode")
    return [
        metadata.get("name", ""),
        "Terminating" if metadata.get("deletionTimestamp") else status.get("phase") or "",
        spec.get("volumeName") or "",
        ((status.get("capacity") or {}).get("storage") or "0") if bound else "",
        short_modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName") or "" if beta_class is None else beta_class,
        "<unset>" if attributes is None else attributes,
        age(obj, now_s),
        "<unset>" if mode is None else mode,
    ]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=_warnings,
    row=_row,
)
