"""The rules (x-kubernetes-validations) of a definition's schemas: whether they compile and what they cost.

Source: upstream's apiextensions/validation/cel_validation.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as member
from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.apiextensions import internals
from pilothouse.api.kinds.common import cel
from pilothouse.api.objects import Obj

SCHEMA_COST_MAX: Final = 100_000_000
_UNBOUNDED: Final = None
_MOST: Final = (1 << 64) - 1


@dataclass(slots=True)
class Total:
    """What all rules of a schema cost together, and the dearest of them."""

    cost: int = 0
    dearest: list[tuple[int, str]] = member(default_factory=list)

    def add(self, path: str, cost: int) -> None:
        self.cost = min(self.cost + cost, _MOST)
        if cost >= SCHEMA_COST_MAX // 100:
            self.dearest = sorted([*self.dearest, (cost, path)], key=lambda c: -c[0])[:4]

    def errors(self, path: str) -> ErrorList:
        if self.cost <= SCHEMA_COST_MAX:
            return []
        why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        return [field.forbidden(at, why) for _, at in self.dearest] + [
            field.forbidden(path, exceeds(name, self.cost, SCHEMA_COST_MAX))
        ]


def exceeds(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


@dataclass(slots=True)
class Context:
    """Where a schema stands: how often its values can occur in an object (None: without bound)."""

    schema: Obj
    cardinality: int | None
    total: Total

    @classmethod
    def of_root(cls, schema: Obj) -> Context:
        return cls(schema, 1, Total())

    def property(self, name: str, schema: Obj) -> Context:
        return self._child(schema)

    def additional(self, schema: Obj) -> Context:
        return self._child(schema)

    def items(self, schema: Obj) -> Context:
        return self._child(schema)

    def _child(self, schema: Obj) -> Context:
        most = _elements_max(self.schema)
        cardinality = _UNBOUNDED
        if self.cardinality is not None and most is not None:
            cardinality = min(self.cardinality * most, _MOST)
        return Context(schema, cardinality, self.total)


def _elements_max(schema: Obj) -> int | None:
    kind = schema.get("type")
    if kind == "object":
        if schema.get("additionalProperties") is None:
            return 1
        return max(schema["maxProperties"], 0) if schema.get("maxProperties") is not None else None
    if kind == "array":
        return max(schema["maxItems"], 0) if schema.get("maxItems") is not None else None
    return 1


def validate(
    schema: Obj, path: str, context: Context, *, cheap: bool, known_rules: frozenset[str], known_messages: frozenset[str],
    uncorrelatable: str | None,
) -> ErrorList:  # fmt: skip
    found: ErrorList = []
    shape = _shape(schema)
    declared = cel.Declarations((("self", shape), ("oldSelf", shape)))
    for i, rule in enumerate(schema["x-kubernetes-validations"]):
        at = f"{path}.x-kubernetes-validations[{i}]"
        wrong = cel.compile_error(rule.get("rule") or "", declared, ("bool",))
        if wrong:
            found.append(field.invalid(f"{at}.rule", internals.rule(rule), wrong))
    return found


def _shape(schema: Obj) -> cel.Shape:
    kind, rest, items = schema.get("type"), schema.get("additionalProperties"), schema.get("items")
    if kind == "object" and isinstance(rest, dict):
        inner = _shape(rest)
        return "{}" + (inner if isinstance(inner, str) else "dyn")
    if kind == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        return tuple((name, _shape(below)) for name, below in sorted((schema.get("properties") or {}).items()))
    if kind == "array":
        inner = _shape(items) if isinstance(items, dict) else "dyn"
        return "[]" + (inner if isinstance(inner, str) and inner[:2] not in ("[]", "{}") else "dyn")
    return {"string": "string", "boolean": "bool", "integer": "int", "number": "double"}.get(str(kind), "dyn")
