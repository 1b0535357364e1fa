"""The rules (x-kubernetes-validations) of a definition's schemas: whether they compile and what they cost.

Source: upstream's apiextensions/validation/cel_validation.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as member
from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList, ErrorType, FieldError
from pilothouse.api.kinds.apiextensions import internals
from pilothouse.api.objects import Obj
from pilothouse.api.structural.declarations import declared
from pilothouse.api.structural.rules import Rule, compile_rules, most_values

EXPRESSION_COST_MAX: Final = 10_000_000
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
    schema: Obj, path: str, context: Context, *, root: bool, cheap: bool, uncorrelatable: str | None
) -> ErrorList:
    """`cheap`: no single rule may cost too much (they may where they did before)."""
    declaration = declared(schema, resource=root or bool(schema.get("x-kubernetes-embedded-resource")))
    if declaration is None:
        why = (
            "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert "
            "structural schema to CEL declarations"
        )
        return [FieldError(ErrorType.INTERNAL, f"{path}.x-kubernetes-validations", None, why)]
    times = context.cardinality if context.cardinality is not None else most_values(declaration)
    found: ErrorList = []
    for i, rule in enumerate(compile_rules(schema, declaration)):
        at = f"{path}.x-kubernetes-validations[{i}]"
        cost = min(rule.cost * times, _MOST)
        if cheap and cost > EXPRESSION_COST_MAX:
            found.append(field.forbidden(f"{at}.rule", exceeds("estimated rule cost", cost, EXPRESSION_COST_MAX)))
        context.total.add(f"{at}.rule", cost)
        if rule.error:
            found.append(field.invalid(f"{at}.rule", internals.rule(rule.source), rule.error))
        if rule.message_error:
            found.append(field.invalid(f"{at}.messageExpression", internals.rule(rule.source), rule.message_error))
        elif rule.message is not None:
            found += _message_cost(rule, f"{at}.messageExpression", context.total, cheap)
        if rule.uses_old:
            if uncorrelatable is not None:
                why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
                found.append(field.invalid(f"{at}.rule", rule.source.get("rule") or "", why))
        elif rule.source.get("optionalOldSelf") is not None:
            why = "may not be set if oldSelf is not used in rule"
            found.append(field.invalid(f"{at}.optionalOldSelf", rule.source["optionalOldSelf"], why))
    return found


def _message_cost(rule: Rule, at: str, total: Total, cheap: bool) -> ErrorList:
    found: ErrorList = []
    if cheap and rule.message_cost > EXPRESSION_COST_MAX:
        why = exceeds("estimated messageExpression cost", rule.message_cost, EXPRESSION_COST_MAX)
        found.append(field.forbidden(at, why))
    total.add(at, rule.message_cost)
    return found
