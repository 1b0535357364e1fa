"""What expressions of one place can name, and the way in: `Environment(...).compile(text)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from pilothouse.api.cel import authorizer, extensions, interpreter, kubernetes, signatures
from pilothouse.api.cel.checking import Checked, Scope, check
from pilothouse.api.cel.costs import PER_CALL_LIMIT
from pilothouse.api.cel.estimates import estimate
from pilothouse.api.cel.frames import CostLimitExceeded, Frame, Step
from pilothouse.api.cel.literals import check_literals
from pilothouse.api.cel.parsing import ParseError, parse
from pilothouse.api.cel.sizes import Range, SizeOf
from pilothouse.api.cel.types import DYN, Type
from pilothouse.api.cel.values import CelError

LIBRARIES: Final = (authorizer, extensions, kubernetes)  # importing them adds their functions
__all__ = ["CompileError", "CostLimitExceeded", "Environment", "InstantiationError", "Program"]


class CompileError(Exception):
    """str() is upstream's text, without `compilation failed: ` before it."""


class InstantiationError(CompileError):
    """Of a constant that has no value: what upstream finds out after compiling."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`variables`: by name, which may have dots. `structs`: the fields of struct types by their name; a type that is not there
    is asked of `lookup`. `functions`: overloads besides those that every expression has. `bindings`: whether
    there is `cel.bind`."""

    variables: Mapping[str, Type]
    structs: Mapping[str, Mapping[str, Type]] = field(default_factory=dict)
    lookup: Callable[[str], Mapping[str, Type] | None] = lambda name: None
    functions: Mapping[str, list[signatures.Overload]] = field(default_factory=dict)
    bindings: bool = False

    def compile(self, text: str) -> Program:
        """Raises CompileError."""
        try:
            node, source = parse(text, bindings=self.bindings)
        except ParseError as e:
            raise CompileError(str(e)) from None
        functions: Mapping[str, list[signatures.Overload]] = signatures.functions()
        if self.functions:
            functions = {**functions, **self.functions}
        checked = check(node, source, Scope(self.variables, self._field, self._is_struct, functions))
        if not source.errors:
            check_literals(checked)
        if source.errors:
            raise CompileError(source.shown())
        try:
            step = interpreter.plan(checked, self.variables)
        except CelError as e:
            raise InstantiationError(str(e)) from None
        return Program(text, checked, step)

    def _fields(self, struct: str) -> Mapping[str, Type] | None:
        found = self.structs.get(struct)
        return self.lookup(struct) if found is None else found

    def _is_struct(self, name: str) -> bool:
        return self._fields(name) is not None

    def _field(self, struct: str, name: str) -> Type | None:
        fields = self._fields(struct)
        return None if fields is None else fields.get(name)


@dataclass(slots=True)
class Program:
    text: str
    checked: Checked
    step: Step

    @property
    def type(self) -> Type:
        return self.checked.type

    def cost(self, size_of: SizeOf = lambda path, kind: None) -> Range:
        """What an evaluation may cost, with the sizes that the caller's declarations allow."""
        return estimate(self.checked, size_of)

    def evaluate(self, variables: Mapping[str, Any], limit: int = PER_CALL_LIMIT) -> tuple[Any, int]:
        """(value, cost). Raises CelError for an error value and CostLimitExceeded."""
        value, error, cost = self.run(variables, limit)
        if error is not None:
            raise error
        return value, cost

    def run(
        self, variables: Mapping[str, Any], limit: int = PER_CALL_LIMIT
    ) -> tuple[Any, CelError | CostLimitExceeded | None, int]:
        """(value, what went wrong in place of it, cost)."""
        frame = Frame(variables, limit)
        try:
            return self.step(frame), None, frame.cost
        except (CelError, CostLimitExceeded) as e:
            return None, e, frame.cost


@lru_cache(maxsize=256)
def of_names(*names: str) -> Environment:
    """All of them of any type."""
    return Environment(dict.fromkeys(names, DYN))
