"""RuntimeClass."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative, selectors
from pilothouse.api.kinds.common.declarative import covered, fields, immutable, required, short_name
from pilothouse.api.kinds.common.node_labels import DEPRECATED
from pilothouse.api.kinds.common.quantities import round_list
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.resources import limits
from pilothouse.api.kinds.common.tolerations import tolerations
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

_RULES = fields({"handler": [immutable, required, short_name]})


def _default(obj: Obj) -> None:
    round_list((obj.get("overhead") or {}).get("podFixed"))


def _own(obj: Obj) -> ErrorList:
    found: ErrorList = []
    handler = obj.get("handler") or ""
    if handler:
        details = names.dns1123_label(handler)
        found += [covered(field.invalid("handler", handler, d), "format=k8s-short-name") for d in details]
    else:
        found.append(covered(field.required("handler")))
    overhead, scheduling = obj.get("overhead"), obj.get("scheduling")
    if overhead is not None:
        found += limits(overhead.get("podFixed"), "overhead")
    if scheduling is not None:
        found += selectors.labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        found += _tolerations(scheduling.get("tolerations"), "scheduling.tolerations")
    return found


def _tolerations(values: list[Obj] | None, path: str) -> ErrorList:
    found = tolerations(values, path)
    seen: set[tuple[str, ...]] = set()
    for i, toleration in enumerate(values or ()):
        key = tuple(toleration.get(k) or "" for k in ("key", "operator", "value", "effect"))
        if key in seen:
            found.append(field.duplicate(f"{path}[{i}]", internal("core/v1.Toleration", toleration)))
        seen.add(key)
    return found


def _validate(obj: Obj) -> ErrorList:
    return declarative.merged(_own(obj), _RULES, obj)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    return declarative.merged(_own(new), _RULES, new, old)


def _warnings(new: Obj, _old: Obj | None) -> list[str]:
    labels = (new.get("scheduling") or {}).get("nodeSelector") or {}
    return [f"scheduling.nodeSelector: {DEPRECATED[k]}" for k in sorted(labels) if k in DEPRECATED]


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), obj.get("handler") or "", age(obj, now_s)]


KIND = Kind(
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    warnings=_warnings,
    row=_row,
    create_on_update=True,
    unconditional_update=False,
)
