"""StorageClass."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, selectors
from pilothouse.api.kinds.common.declarative import (
    covered,
    fields,
    immutable,
    optional,
    optional_pointer,
    required,
)  # fmt: skip
from pilothouse.api.kinds.common.node_labels import DEPRECATED
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.kinds.storage.parameters import parameters, provisioner_form
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_RULES = fields(
    {
        "provisioner": [required, immutable],
        "parameters": [immutable, optional],
        "reclaimPolicy": [immutable, optional_pointer],
        "volumeBindingMode": [immutable, optional_pointer],
    }
)


def _default(obj: Obj) -> None:
    if obj.get("reclaimPolicy") is None:
        obj["reclaimPolicy"] = "Delete"
    if obj.get("volumeBindingMode") is None:
        obj["volumeBindingMode"] = "Immediate"


def _own(obj: Obj) -> ErrorList:
    provisioner = obj.get("provisioner") or ""
    found: ErrorList = [] if provisioner else [covered(field.required("provisioner"))]
    found += provisioner_form(provisioner, "provisioner")
    found += parameters(obj.get("parameters"), "parameters", may_be_empty=True)
    policy = obj.get("reclaimPolicy")
    if policy and policy not in ("Delete", "Retain"):
        found.append(field.not_supported("reclaimPolicy", policy, ["Delete", "Retain"]))
    mode = obj.get("volumeBindingMode")
    if mode is None:
        found.append(field.required("volumeBindingMode"))
    elif mode not in ("Immediate", "WaitForFirstConsumer"):
        found.append(field.not_supported("volumeBindingMode", mode, ["Immediate", "WaitForFirstConsumer"]))
    return found + _topologies(obj.get("allowedTopologies") or [])


def _topologies(terms: list[Obj]) -> ErrorList:
    found: ErrorList = []
    # Upstream compares each term with as many empty ones as there are terms, besides those before it.
    seen: list[dict[str, frozenset[str]]] = [{} for _ in terms]
    for i, term in enumerate(terms):
        path = f"allowedTopologies[{i}]"
        wanted, wrong = selectors.topology_selector_term(term, path)
        found += wrong
        found += [field.duplicate(f"{path}.matchLabelExpressions", "") for other in seen if other == wanted]
        seen.append(wanted)
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    out = []
    for i, term in enumerate(new.get("allowedTopologies") or ()):
        for j, requirement in enumerate(term.get("matchLabelExpressions") or ()):
            told = DEPRECATED.get(requirement.get("key") or "")
            if told:
                out.append(f"allowedTopologies[{i}].matchLabelExpressions[{j}].key: {told}")
    return out


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [
        meta(obj).get("name", ""),
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now_s),
    ]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
)
