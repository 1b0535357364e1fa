"""Ingress."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses
from pilothouse.api.kinds.common.strategy import create, keep, update
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, get, meta
from pilothouse.api.printing import age, some

_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES: Final = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES: Final = ("/..", "/.")
_HOSTS_SHOWN: Final = 3


def _prepare_status(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")


def _spec(spec: Obj, *, any_secret: bool, any_wildcard: bool) -> ErrorList:
    found: ErrorList = []
    rules, backend = spec.get("rules"), spec.get("defaultBackend")
    if not rules and backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        found.append(field.invalid("spec", rules, detail))
    if backend is not None:
        found += _backend(backend, "spec.defaultBackend")
    for i, rule in enumerate(rules or ()):
        found += _rule(rule, f"spec.rules[{i}]", any_wildcard)
    for i, tls in enumerate(spec.get("tls") or ()):
        found += _tls(tls, f"spec.tls[{i}]", any_secret)
    name = spec.get("ingressClassName")
    if name is not None:
        found += [field.invalid("spec.ingressClassName", name, d) for d in names.dns1123_subdomain(name)]
    return found


def _host(host: str, path: str) -> ErrorList:
    rule = names.wildcard_dns1123_subdomain if "*" in host else names.dns1123_subdomain
    return [field.invalid(path, host, d) for d in rule(host)]


def _tls(tls: Obj, path: str, any_secret: bool) -> ErrorList:
    found: ErrorList = []
    for i, host in enumerate(tls.get("hosts") or ()):
        found += _host(host, f"{path}.hosts[{i}]")
    if not any_secret:
        secret = tls.get("secretName") or ""
        found += [field.invalid(f"{path}.secretName", secret, d) for d in _secret_name(secret)]
    return found


def _secret_name(name: str) -> list[str]:
    return names.dns1123_subdomain(name) if name else []


def _rule(rule: Obj, path: str, any_wildcard: bool) -> ErrorList:
    found: ErrorList = []
    host = rule.get("host") or ""
    if host:
        if addresses.parse(host) is not None:
            found.append(field.invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        found += _host(host, f"{path}.host")
    return found if "*" in host and any_wildcard else found + _rule_value(rule, path)


def _rule_value(rule: Obj, path: str) -> ErrorList:
    http = rule.get("http")
    if http is None:
        return []
    paths = http.get("paths")
    found = [] if paths else [field.required(f"{path}.http.paths")]
    for i, one in enumerate(paths or ()):
        found += _path(one, f"{path}.http.paths[{i}]")
    return found


def _path(one: Obj, path: str) -> ErrorList:
    kind, target = one.get("pathType"), one.get("path") or ""
    if kind is None:
        return [field.required(f"{path}.pathType", "pathType must be specified")]
    found: ErrorList = []
    at = f"{path}.path"
    if kind not in _PATH_TYPES:
        found.append(field.not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    else:
        exact = kind in ("Exact", "Prefix")
        if not target.startswith("/") and (exact or target):
            found.append(field.invalid(at, target, "must be an absolute path"))
        if exact:
            found += [field.invalid(at, target, f"must not contain '{s}'") for s in _BAD_SEQUENCES if s in target]
            wrong = [s for s in _BAD_SUFFIXES if target.endswith(s)]
            found += [field.invalid(at, target, f"cannot end with '{s}'") for s in wrong]
    return found + _backend(one.get("backend") or {}, f"{path}.backend")


def _backend(backend: Obj, path: str) -> ErrorList:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [field.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{path}.resource")
    if service is None:
        return [field.invalid(path, "", "resource or service backend is required")]
    found: ErrorList = []
    name = service.get("name") or ""
    if name:
        found += [field.invalid(f"{path}.service.name", name, d) for d in names.dns1123_label(name)]
    else:
        found.append(field.required(f"{path}.service.name"))
    port = service.get("port") or {}
    port_name, number = port.get("name") or "", port.get("number") or 0
    if port_name and number:
        found.append(field.invalid(path, "", "cannot set both port name & port number"))
    elif port_name:
        at = f"{path}.service.port.name"
        found += [field.invalid(at, port_name, d) for d in names.port_name(port_name)]
    elif number:
        at = f"{path}.service.port.number"
        found += [field.invalid(at, number, d) for d in names.port_number(number)]
    else:
        found.append(field.required(path, "port name or number is required"))
    return found


def _reference(ref: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    group = ref.get("apiGroup")
    if group is not None:
        found += [field.invalid(f"{path}.apiGroup", group, d) for d in names.dns1123_subdomain(group)]
    for name in ("kind", "name"):
        text = ref.get(name) or ""
        if text:
            found += [field.invalid(f"{path}.{name}", text, d) for d in names.path_segment(text)]
        else:
            found.append(field.required(f"{path}.{name}"))
    return found


def _validate(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    found = _spec(spec, any_secret=False, any_wildcard=False)
    annotation = (meta(obj).get("annotations") or {}).get(_CLASS_ANNOTATION)
    name = spec.get("ingressClassName")
    if annotation is not None and name is not None and annotation != name:
        detail = "must match `ingressClassName` when both are specified"
        found.append(field.invalid(f"annotations.{_CLASS_ANNOTATION}", annotation, detail))
    return found


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    before = old.get("spec") or {}
    any_secret = any(_secret_name(t.get("secretName") or "") for t in before.get("tls") or ())
    wildcards = [r for r in before.get("rules") or () if "*" in (r.get("host") or "")]
    any_wildcard = any(_rule_value(r, "") for r in wildcards)
    return _spec(new.get("spec") or {}, any_secret=any_secret, any_wildcard=any_wildcard)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    stored = [i["ip"] for i in get(old, "status", "loadBalancer", "ingress", default=[]) if i.get("ip")]
    for i, ingress in enumerate(get(new, "status", "loadBalancer", "ingress", default=[])):
        path = f"status.loadBalancer.ingress[{i}]"
        if ingress.get("ip"):
            found += addresses.legacy_ip(ingress["ip"], f"{path}.ip", stored)
        host = ingress.get("hostname")
        if host:
            found += [field.invalid(f"{path}.hostname", host, d) for d in names.dns1123_subdomain(host)]
            if addresses.parse(host) is not None:
                detail = "must be a DNS name, not an IP address"
                found.append(field.invalid(f"{path}.hostname", host, detail))
    return found


def _warnings(new: Obj, old: Obj | None) -> list[str]:
    annotated = _CLASS_ANNOTATION in (meta(new).get("annotations") or {})
    if old is None and annotated and (new.get("spec") or {}).get("ingressClassName") is None:
        return [f"annotation \"{_CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]
    return []


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    name = spec.get("ingressClassName")
    rules = spec.get("rules") or []
    # Upstream stops collecting when a fourth rule comes after three hosts, and counts all rules.
    hosts: list[str] = []
    more = False
    for rule in rules:
        more = more or len(hosts) == _HOSTS_SHOWN
        if not more and rule.get("host"):
            hosts.append(rule["host"])
    shown = ",".join(hosts) or "*"
    if more:
        shown += f" + {len(rules) - _HOSTS_SHOWN} more..."
    ingresses = get(obj, "status", "loadBalancer", "ingress", default=[])
    addresses_ = sorted({i.get("ip") or i.get("hostname") or "" for i in ingresses} - {""})
    return [
        meta(obj).get("name", ""),
        "<none>" if name is None else name,
        shown,
        some(addresses_, len(addresses_), ""),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now_s),
    ]


KIND = Kind(
    names_are_checked_again=True,
    prepare_create=create,
    prepare_update=update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    warnings=_warnings,
    row=_row,
)
