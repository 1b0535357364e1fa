"""Environment variables, and the fields that variables and files can take their values from.

Source: the documentation's pages on the downward API and upstream's pkg/apis/core/validation; KEP-3721 (files).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import parse
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.core.persistent_volume_sources import no_backsteps
from pilothouse.api.kinds.core.podspec import containers, forms
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.objects import Obj

_FIELDS: Final = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
FILE_FIELDS: Final = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_KNOWN_FIELDS: Final = frozenset(_FIELDS) | set(FILE_FIELDS) | {
    "spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host",
}  # fmt: skip
_RESOURCES: Final = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage",
    "requests.memory",
)  # fmt: skip
_PAGES: Final = ("limits.hugepages-", "requests.hugepages-")
_BYTE_DIVISORS: Final = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SHOWN_BYTE_DIVISORS: Final = ", ".join(_BYTE_DIVISORS)
_BYTE_RESOURCES: Final = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}
_SOURCES: Final = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_OLD_SOURCES: Final = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"


def variables(values: list[Obj] | None, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    for i, variable in enumerate(values or ()):
        at, name = f"{path}[{i}]", variable.get("name") or ""
        if name:
            found += forms.details(forms.variable_name(name), name, f"{at}.name")
        else:
            found.append(field.required(f"{at}.name"))
        if variable.get("valueFrom") is not None:
            found += _source(variable["valueFrom"], variable.get("value") or "", f"{at}.valueFrom", lenient)
    return found


def _source(source: Obj, value: str, path: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    count = 0
    for name, rule in _RULES.items():
        if source.get(name) is not None:
            count += 1
            found += rule(source[name], f"{path}.{name}")
    if not count:
        found.append(field.invalid(path, "", f"must specify one of: {_SOURCES if lenient.env_files else _OLD_SOURCES}"))
    elif value:
        found.append(field.invalid(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        found.append(field.invalid(path, "", "may not have more than one field specified at a time"))
    return found


def field_ref(ref: Obj, path: str, known: tuple[str, ...]) -> ErrorList:
    """A field of the pod itself."""
    version, target = ref.get("apiVersion") or "", ref.get("fieldPath") or ""
    if not version:
        return [field.required(f"{path}.apiVersion")]
    at = f"{path}.fieldPath"
    if not target:
        return [field.required(at)]
    name, subscript = _split(target)
    wrong = ""
    if version != "v1":
        wrong = f"unsupported pod version: {version}"
    elif subscript is not None:
        if name not in ("metadata.annotations", "metadata.labels"):
            wrong = f"field label does not support subscript: {target}"
    elif target not in _KNOWN_FIELDS:
        wrong = f"field label not supported: {target}"
    if wrong:
        return [field.invalid(at, target, f"error converting fieldPath: {wrong}")]
    if subscript is not None:
        return label_name(subscript.lower() if name == "metadata.annotations" else subscript, path)
    name = "spec.nodeName" if name == "spec.host" else name
    return [] if name in known else [field.not_supported(at, name, known)]


def _split(target: str) -> tuple[str, str | None]:
    """`metadata.labels['a']` → its two parts."""
    name, bracket, rest = target.partition("['")
    if not target.endswith("']") or not bracket or not name or len(rest) < 2:
        return target, None
    return name, rest.removesuffix("']")


def resource_ref(ref: Obj, path: str, *, in_volume: bool = False) -> ErrorList:
    """A container's limit or request."""
    found: ErrorList = []
    name = ref.get("resource") or ""
    if in_volume and not ref.get("containerName"):
        found.append(field.required(f"{path}.containerName"))
    elif not name:
        found.append(field.required(f"{path}.resource"))
    elif name not in _RESOURCES and not name.startswith(_PAGES):
        found.append(field.not_supported(f"{path}.resource", name, _RESOURCES))
    return found + _divisor(name, ref.get("divisor"), f"{path}.divisor")


def _divisor(name: str, divisor: object, path: str) -> ErrorList:
    quantity = parse(divisor)
    if not quantity.amount:
        return []
    kind = name.partition(".")[2] if name in _RESOURCES else ""
    if kind == "cpu":
        detail = "only divisor's values 1m and 1 are supported with the cpu resource"
        return [] if str(quantity) in ("1m", "1") else [field.invalid(path, name, detail)]
    shown = "hugepages" if name.startswith(_PAGES) else _BYTE_RESOURCES.get(kind)
    if shown is None or str(quantity) in _BYTE_DIVISORS:
        return []
    detail = f"only divisor's values {_SHOWN_BYTE_DIVISORS} are supported with the {shown} resource"
    return [field.invalid(path, name, detail)]


def _key_ref(ref: Obj, path: str) -> ErrorList:
    key = ref.get("key") or ""
    found = forms.subdomain(ref.get("name") or "", f"{path}.name")
    if not key:
        return [*found, field.required(f"{path}.key")]
    return found + forms.details(forms.config_key(key), key, f"{path}.key")


def _file_ref(ref: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    key, volume, target = ref.get("key") or "", ref.get("volumeName") or "", ref.get("path") or ""
    if key:
        found += forms.details(forms.variable_name(key), key, f"{path}.key")
    else:
        found.append(field.required(f"{path}.key"))
    found += forms.label(volume, f"{path}.volumeName") if volume else [field.required(f"{path}.volumeName")]
    return found + (no_backsteps(target, f"{path}.path") if target else [field.required(f"{path}.path")])


_RULES: Final = {
    "fieldRef": lambda ref, path: field_ref(ref, path, _FIELDS),
    "resourceFieldRef": resource_ref,
    "configMapKeyRef": _key_ref,
    "secretKeyRef": _key_ref,
    "fileKeyRef": _file_ref,
}


def sources(values: list[Obj] | None, path: str) -> ErrorList:
    """envFrom."""
    found: ErrorList = []
    for i, source in enumerate(values or ()):
        at, prefix = f"{path}[{i}]", source.get("prefix") or ""
        if prefix:
            found += forms.details(forms.variable_name(prefix), prefix, f"{at}.prefix")
        given = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
        for name in given:
            target = source[name].get("name") or ""
            here = f"{at}.{name}.name"
            if target:
                found += forms.details(forms.maybe_prefix(names.dns1123_subdomain, target), target, here)
            else:
                found.append(field.required(here))
        if not given:
            found.append(field.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            found.append(field.invalid(path, "", "may not have more than one field specified at a time"))
    return found


def file_volumes(spec: Obj, path: str) -> ErrorList:
    """Files with variables lie in volumes of type emptyDir."""
    found: ErrorList = []
    volumes = {v.get("name") or "": v for v in spec.get("volumes") or ()}
    for container, at in containers.located(spec, path):
        for i, variable in enumerate(container.get("env") or ()):
            ref = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if ref is None:
                continue
            name, here = ref.get("volumeName") or "", f"{at}.env[{i}].valueFrom.fileKeyRef.volumeName"
            if name not in volumes:
                found.append(field.not_found(here, name))
            elif volumes[name].get("emptyDir") is None:
                found.append(field.invalid(here, name, "referenced volume must be of type emptyDir"))
    return found
