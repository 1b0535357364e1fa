"""IngressClass."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import covered, fields, optional_pointer, required, struct
from pilothouse.api.kinds.common.strategy import first_generation, immutable, next_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_CONTROLLER_MAX: Final = 250
_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_is_path = re.compile(_PATH).fullmatch
_RULES = fields(
    {
        "spec": [
            struct(fields({"parameters": [optional_pointer, struct(fields({"kind": [required], "name": [required]}))]}))
        ]
    }
)


def _default(obj: Obj) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def _prepare_update(new: Obj, old: Obj) -> None:
    next_generation(new, old, "spec")


def domain_prefixed_path(text: str, path: str) -> ErrorList:
    """`example.com/controller`."""
    if not text:
        return [field.required(path)]
    host, _, rest = text.partition("/")
    if not host or not rest:
        return [field.invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    found = [field.invalid(path, host, d) for d in names.dns1123_subdomain(host)]
    if not _is_path(rest):
        found.append(field.invalid(path, rest, names.pattern("Invalid path", _PATH)))
    return found


def _own(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    controller, parameters = spec.get("controller") or "", spec.get("parameters")
    found: ErrorList = []
    if len(controller.encode()) > _CONTROLLER_MAX:
        found.append(field.too_long("spec.controller", _CONTROLLER_MAX))
    found += domain_prefixed_path(controller, "spec.controller")
    return found if parameters is None else found + _parameters(parameters, "spec.parameters")


def _parameters(parameters: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    group, scope, namespace = parameters.get("apiGroup"), parameters.get("scope"), parameters.get("namespace")
    if group is not None:
        found += [field.invalid(f"{path}.apiGroup", group, d) for d in names.dns1123_subdomain(group)]
    for name in ("kind", "name"):
        text = parameters.get(name) or ""
        if not text:
            found.append(covered(field.required(f"{path}.{name}")))
        found += [field.invalid(f"{path}.{name}", text, d) for d in names.path_segment(text)]
    if scope is None:
        found.append(field.required(f"{path}.scope"))
    elif scope not in ("Cluster", "Namespace"):
        found.append(field.not_supported(f"{path}.scope", scope, ["Cluster", "Namespace"]))
    elif scope == "Namespace":
        at = f"{path}.namespace"
        if namespace is None:
            found.append(field.required(at, "`parameters.scope` is set to 'Namespace'"))
        else:
            found += [field.invalid(at, namespace, d) for d in names.dns1123_label(namespace)]
    elif namespace is not None:
        found.append(field.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    controller = (new.get("spec") or {}).get("controller") or ""
    before = (old.get("spec") or {}).get("controller") or ""
    return declarative.merged(immutable(controller, before, "spec.controller") + _own(new), _RULES, new, old)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, metadata = obj.get("spec") or {}, meta(obj)
    name = metadata.get("name", "")
    if (metadata.get("annotations") or {}).get("ingressclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    parameters = spec.get("parameters")
    shown = "<none>"
    if parameters is not None:
        group = parameters.get("apiGroup")
        kind = parameters.get("kind") or ""
        shown = (kind if group is None else f"{kind}.{group}") + f"/{parameters.get('name') or ''}"
    return [name, spec.get("controller") or "", shown, age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_create=first_generation,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
)
