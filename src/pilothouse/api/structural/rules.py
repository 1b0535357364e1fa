"""x-kubernetes-validations: expressions of a schema that must be true of every value.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/cel (compilation.go, validation.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, TypeAlias

from pilothouse.api import field
from pilothouse.api.cel.costs import BUDGET, PER_CALL_LIMIT
from pilothouse.api.cel.environment import CompileError, Environment, InstantiationError, Program
from pilothouse.api.cel.frames import CostLimitExceeded, Frame
from pilothouse.api.cel.types import BOOL, STRING, Type, optional_of
from pilothouse.api.cel.values import NOTHING, CelError, Optional
from pilothouse.api.field import OMIT, ErrorList, ErrorType, FieldError, Tolerated
from pilothouse.api.objects import Obj
from pilothouse.api.structural import fieldpath
from pilothouse.api.structural.celvalues import converter
from pilothouse.api.structural.correlation import Correlated, key_of
from pilothouse.api.structural.declarations import REQUEST_MAX, Declared, declared
from pilothouse.api.structural.explain import NOWHERE

Rules: TypeAlias = Callable[[Any, Any, Correlated | None], ErrorList]
_Past: TypeAlias = tuple[Correlated | None, Correlated | None]
"""(the value beside its old one, the nearest value around it that has an old one)"""

_MESSAGE_MAX: Final = 5 * 1024
_NO_FURTHER: Final = "no further validation rules will be run"
_OUT_OF_BUDGET: Final = f"validation failed due to running out of cost budget, {_NO_FURTHER}"
_REASONS: Final = {
    "FieldValueForbidden": ErrorType.FORBIDDEN, "FieldValueRequired": ErrorType.REQUIRED,
    "FieldValueDuplicate": ErrorType.DUPLICATE,
}  # fmt: skip


@dataclass(slots=True)
class Rule:
    """Of an expression that is empty, nothing but `source`."""

    source: Obj
    program: Program | None = None
    error: str = ""
    uses_old: bool = False
    cost: int = 0
    message: Program | None = None
    message_error: str = ""
    message_cost: int = 0

    @property
    def old_is_optional(self) -> bool:
        return bool(self.source.get("optionalOldSelf"))

    @property
    def name(self) -> str:
        return str(self.source.get("message") or self.source.get("rule") or "").strip()


def compile_rules(schema: Obj, declaration: Declared) -> list[Rule]:
    """Those of the schema itself, not of what is below it."""
    structs: dict[str, Mapping[str, Type]] = {}
    own = declaration.type("selfType", structs)
    size_of = declaration.size_of()
    environments = {
        optional: Environment({"self": own, "oldSelf": optional_of(own) if optional else own}, structs)
        for optional in (False, True)
    }
    found = []
    for source in schema.get("x-kubernetes-validations") or ():
        rule = Rule(source)
        found.append(rule)
        text = source.get("rule") or ""
        if not text.strip():
            continue
        environment = environments[rule.old_is_optional]
        try:
            program = environment.compile(text)
            if program.type != BOOL:
                rule.error = "cel expression must evaluate to a bool"
                continue
        except InstantiationError as e:
            rule.error = f"program instantiation failed: {e}"
            continue
        except CompileError as e:
            rule.error = f"compilation failed: {e}"
            continue
        rule.program, rule.uses_old = program, _mentions(program.checked.node, "oldSelf")
        rule.cost = program.cost(size_of).max
        if source.get("messageExpression"):
            _compile_message(rule, environment)
            if rule.message is not None:
                rule.message_cost = rule.message.cost(size_of).max
    return found


def _compile_message(rule: Rule, environment: Environment) -> None:
    try:
        program = environment.compile(rule.source["messageExpression"])
        if program.type != STRING:
            rule.message_error = "messageExpression must evaluate to a string"
        else:
            rule.message = program
    except InstantiationError as e:
        rule.message_error = f"messageExpression instantiation failed: {e}"
    except CompileError as e:
        rule.message_error = f"messageExpression compilation failed: {e}"


def _mentions(part: Any, name: str) -> bool:
    if isinstance(part, list):
        return any(_mentions(p, name) for p in part)
    if not is_dataclass(part):
        return False
    if getattr(part, "name", None) == name:
        return True
    return any(_mentions(getattr(part, f.name), name) for f in fields(part))


def most_values(declaration: Declared) -> int:
    """How often a value can occur in an object where nothing else says it."""
    return REQUEST_MAX // (declaration.least + 1)


def compiled(schema: Obj, *, root: bool = True) -> Rules | None:
    """(new, old, both side by side) → the rules that are broken; None where the schema has none."""
    node = _node(schema, root)
    return None if node is None else lambda new, old, past: _Run().all(node, new, old, past, "")


def of_default(schema: Obj, value: Any, path: str, root: bool) -> ErrorList:
    """The rules that a default breaks, beside the same one and alone."""
    node = _node(schema, root)
    if node is None:
        return []
    run = _Run()
    return run.all(node, value, value, None, path) or run.all(node, value, None, None, path)


@dataclass(slots=True)
class _Node:
    """A place of the schema that has rules at or below it."""

    schema: Obj
    is_root: bool
    rules: list[Rule] | None  # compiled when the first value comes
    items: _Node | None
    rest: _Node | None
    properties: list[tuple[str, _Node]]
    wrong: str = ""
    convert: Callable[[Any], Any] | None = None
    any_uses_old: bool = False

    def compile(self) -> list[Rule]:
        declaration = declared(self.schema, resource=self.is_root)
        if declaration is None:
            self.wrong = "failed to convert to declType for CEL validation rules"
            self.rules = []
            return self.rules
        self.rules = compile_rules(self.schema, declaration)
        self.convert = converter(self.schema, resource=self.is_root)
        self.any_uses_old = any(r.uses_old for r in self.rules)
        return self.rules


def _node(schema: Any, root: bool) -> _Node | None:
    if not isinstance(schema, dict):
        return None
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    items, rest = _node(schema.get("items"), False), _node(schema.get("additionalProperties"), False)
    properties = [
        (name, found)
        for name, below in sorted((schema.get("properties") or {}).items())
        if (found := _node(below, False)) is not None
    ]
    own = schema.get("x-kubernetes-validations")
    if not own and items is None and rest is None and not properties:
        return None
    return _Node(schema, root or embedded, None if own else [], items, rest, properties)


class _Stop(Exception):
    """No further rules are looked at."""


def _field(past: _Past, name: str) -> _Past:
    here, around = past
    if here is None:
        return past
    if around is None and name in ("apiVersion", "kind"):
        return None, None  # both are converted to the same
    return here.field(name), here


def _unchanged(past: _Past) -> bool:
    here, around = past
    beside = here if here is not None else around
    return beside is not None and beside.equal()


class _Run:
    """Over one object."""

    def __init__(self) -> None:
        self.budget = BUDGET
        self.found: ErrorList = []

    def all(self, node: _Node, new: Any, old: Any, past: Correlated | None, path: str) -> ErrorList:
        self.found = []
        try:
            self._value(node, new, old, (past, None), path)
        except _Stop:
            pass
        return self.found

    def _value(self, node: _Node, value: Any, old: Any, past: _Past, path: str) -> None:
        if value is None:
            return
        rules = node.rules if node.rules is not None else node.compile()
        if rules or node.wrong:
            self._rules(node, rules, value, old, past, path)
        if isinstance(value, list) and node.items is not None:
            olds = self._old_items(node.schema, value, old)
            here = past[0]
            for i, item in enumerate(value):
                below = past if here is None else (here.item(i), here)
                self._value(node.items, item, next(olds), below, f"{path}[{i}]")
        elif isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            if node.rest is not None:
                for name, held in sorted(value.items()):
                    self._value(node.rest, held, before.get(name), _field(past, name), f"{path}[{name}]")
            for name, inner in node.properties:
                if name in value:
                    at = f"{path}.{name}" if path else name
                    self._value(inner, value[name], before.get(name), _field(past, name), at)

    @staticmethod
    def _old_items(schema: Obj, values: list[Any], old: Any) -> Iterator[Any]:
        """Of lists of type map, those with the same keys."""
        if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
            yield from [None] * len(values)
            return
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        olds: dict[Any, Any] = {}
        for item in old:
            olds.setdefault(key_of(item, keys), item)
        olds.pop(None, None)
        for value in values:
            yield olds.get(key_of(value, keys))

    def _rules(self, node: _Node, rules: list[Rule], value: Any, old: Any, past: _Past, path: str) -> None:
        at, kind = path or NOWHERE, node.schema.get("type") or ""
        if node.wrong:
            self.found.append(field.invalid(at, kind, f"rule compiler initialization error: {node.wrong}"))
            return
        if self.budget <= 0:
            self._stop(at, kind, _OUT_OF_BUDGET)
        plain, optional = self._variables(node, value, old)
        for rule in rules:
            if rule.error:
                self.found.append(field.invalid(at, kind, f"rule compile error: {rule.error}"))
            elif rule.program is not None and (
                not rule.uses_old or old is not None or rule.old_is_optional
            ):  # fmt: skip
                variables = optional if rule.old_is_optional else plain
                if not self._holds(rule, variables, at, kind):
                    self._broken(rule, node, value, plain, past, path)

    def _variables(self, node: _Node, value: Any, old: Any) -> tuple[Obj, Obj]:
        """Those of most rules, and those of rules for which the old value is optional."""
        plain = {"self": _converted(node, value)}
        if not node.any_uses_old:
            return plain, plain
        optional: Obj = {**plain, "oldSelf": NOTHING}
        if old is not None:
            plain["oldSelf"] = _converted(node, old)
            optional["oldSelf"] = Optional(plain["oldSelf"])
        return plain, optional

    def _stop(self, at: str, kind: str, why: str) -> None:
        self.found.append(field.invalid(at, kind, why))
        raise _Stop

    def _evaluate(self, program: Program, variables: Obj) -> tuple[Any, Exception | None, int]:
        frame = Frame(variables, PER_CALL_LIMIT)
        for value in variables.values():
            if isinstance(value, CelError):
                return None, value, 0
        try:
            return program.step(frame), None, frame.cost
        except (CelError, CostLimitExceeded) as e:
            return None, e, frame.cost

    def _holds(self, rule: Rule, variables: Obj, at: str, kind: str) -> bool:
        assert rule.program is not None
        value, error, cost = self._evaluate(rule.program, variables)
        if cost > self.budget:
            self._stop(at, kind, _OUT_OF_BUDGET)
        self.budget -= cost
        if error is None:
            return value is True
        text = str(error)
        if text.startswith("no such overload"):
            why = "call arguments did not match a supported operator, function or macro signature for rule"
            self.found.append(field.invalid(at, kind, f"'{text}': {why}: {rule.name}"))
        elif isinstance(error, CostLimitExceeded):
            self._stop(at, kind, f"'{text}': {_NO_FURTHER} due to call cost exceeds limit for rule: {rule.name}")
        else:
            self.found.append(field.invalid(at, kind, f"{text} evaluating rule: {rule.name}"))
        return True

    def _broken(self, rule: Rule, node: _Node, value: Any, variables: Obj, past: _Past, path: str) -> None:
        place = rule.source.get("fieldPath")
        if place:
            try:
                path = field.child(path, fieldpath.resolve(place, node.schema).path)
            except ValueError:
                pass
        at, kind = path or NOWHERE, node.schema.get("type") or ""
        error = Tolerated if not rule.uses_old and _unchanged(past) else FieldError
        text = ""
        if rule.message is not None:
            made, failure, cost = self._evaluate(rule.message, variables)
            why = ""
            if cost > self.budget:
                why = f"messageExpression evaluation failed due to running out of cost budget, {_NO_FURTHER}"
            elif isinstance(failure, CostLimitExceeded):
                shown = field.quote(rule.source["messageExpression"])
                why = f"{_NO_FURTHER} due to call cost exceeds limit for messageExpression: {shown}"
            if why:
                self.found.append(error(ErrorType.INVALID, at, kind, why))
                raise _Stop
            self.budget -= cost
            text = _usable(made) if failure is None else ""
        if not text:
            text = str(rule.source.get("message") or "").strip() or f"failed rule: {rule.name}"
        reason = _REASONS.get(rule.source.get("reason") or "", ErrorType.INVALID)
        shown_value = OMIT if kind in ("object", "array") else value
        self.found.append(error(reason, at, shown_value, text))


def _converted(node: _Node, value: Any) -> Any:
    try:
        return value if node.convert is None else node.convert(value)
    except CelError as e:
        return e


def _usable(message: Any) -> str:
    text = message.strip() if isinstance(message, str) else ""
    return "" if len(text.encode()) > _MESSAGE_MAX or "\n" in text else text
