"""The defaults of a schema must be valid by it, and hold nothing that it does not list.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/defaulting (validation.go, prune.go).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj, copy
from pilothouse.api.structural import objectmeta, pruning
from pilothouse.api.structural.correlation import same
from pilothouse.api.structural.explain import DEFAULTS, explain

Around: TypeAlias = Callable[[Any], Any]
"""A value → the smallest resource that has it in its place."""

Rules: TypeAlias = Callable[[Obj, Any, str, bool], ErrorList]
"""(schema, value, path, whether it is a resource's root) → broken x-kubernetes-validations."""

_TYPE_META = {"kind": "Validation", "apiVersion": "validation/v1"}


def validate(path: str, schema: Obj, rules: Rules, *, pruned: bool) -> ErrorList:
    """`pruned`: whether defaults with unlisted fields are refused."""
    root = {**schema, "x-kubernetes-embedded-resource": True}
    return _validate(path, root, root, _resource, False, rules, pruned)


def _resource(value: Any) -> Any:
    return {**value, **{k: v for k, v in _TYPE_META.items() if k not in value}} if isinstance(value, dict) else value


def _inside(around: Around, name: str) -> Around:
    return lambda value: around({name: value})


def _in_list(around: Around) -> Around:
    return lambda value: around([value])


def _validate(
    path: str, schema: Obj, root: Obj, around: Around, in_meta: bool, rules: Rules, pruned: bool
) -> ErrorList:
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if embedded:
        in_meta, around, root = False, _resource, schema
    found: ErrorList = []
    default = schema.get("default")
    if default is not None:
        found += _default(f"{path}.default", default, schema, root, around, in_meta, rules, pruned)
    items = schema.get("items")
    if isinstance(items, dict):
        found += _validate(f"{path}.items", items, root, _in_list(around), in_meta, rules, pruned)
    for name, below in (schema.get("properties") or {}).items():
        meta = in_meta or (embedded and name in ("metadata", "apiVersion", "kind"))
        at = f"{path}.properties[{name}]"
        found += _validate(at, below, root, _inside(around, name), meta, rules, pruned)
    return found


def _default(
    at: str, default: Any, schema: Obj, root: Obj, around: Around, in_meta: bool, rules: Rules, pruned: bool
) -> ErrorList:
    found: ErrorList = []
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    if in_meta:
        wrong = _resource_errors(around(copy(default)), root)
        if wrong:
            return [field.invalid(at, default, f"must result in valid metadata: {wrong}")]
    else:
        if pruned:
            left = copy(default)
            pruning.compiled(schema, root=embedded)(left, "", [])
            if not same(left, default):
                found.append(field.invalid(at, default, "must not have unknown fields"))
        coerce, judge = objectmeta.coercer(schema), objectmeta.validator(schema)
        try:
            if coerce is not None:
                coerce(copy(default), at, [])
        except objectmeta.Refused as e:
            return [*found, e.error]
        wrong_meta = judge(default, at) if judge is not None else []
        if wrong_meta:
            return found + wrong_meta
    broken = explain(default, schema, at, style=DEFAULTS)
    return found + (broken or rules(schema, default, at, schema is root))


def _resource_errors(resource: Any, schema: Obj) -> str:
    root = {**schema, "x-kubernetes-embedded-resource": True}
    coerce, judge = objectmeta.coercer(root), objectmeta.validator(root)
    try:
        if coerce is not None:
            coerce(copy(resource), "", [])
    except objectmeta.Refused as e:
        return str(e.error)
    texts = [str(e) for e in (judge(resource, "") if judge is not None else ())]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""


def unpruned(schema: Obj) -> bool:
    """Whether a structural schema has a default with fields that pruning would take out."""
    prune = pruning.compiled(schema, root=True)

    def walk(below: Obj, around: Around, out: Callable[[Any], Any]) -> bool:
        default = below.get("default")
        if default is not None:
            whole = around(copy(default))
            if isinstance(whole, dict):
                prune(whole, "", [])
                try:
                    left = out(whole)
                except (KeyError, IndexError, TypeError):
                    return True
                if not same(left, default):
                    return True
        rest, items = below.get("additionalProperties"), below.get("items")
        if isinstance(rest, dict) and walk(rest, _inside(around, "*"), lambda v: out(v)["*"]):
            return True
        if isinstance(items, dict) and walk(items, _in_list(around), lambda v: out(v)[0]):
            return True
        return any(
            walk(inner, _inside(around, name), lambda v, name=name: out(v)[name])  # type: ignore[misc]
            for name, inner in (below.get("properties") or {}).items()
        )

    return walk(schema, lambda value: value, lambda value: value)
