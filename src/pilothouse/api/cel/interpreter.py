"""Evaluates a checked expression, counting what each step costs.

An expression becomes a tree of closures once, each of which takes a frame and returns a value or raises CelError. Costs are
cel-go's: 1 for a name and for each step from it to a field or item, and `costs` for calls and what is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pilothouse.api.cel import access, costs, library, types
from pilothouse.api.cel.ast import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
    StructLiteral,
)
from pilothouse.api.cel.checking import Checked
from pilothouse.api.cel.frames import Constant, Frame, Step
from pilothouse.api.cel.values import NOTHING, CelError, Made, NoOverload, Optional, kind_of, type_of
from pilothouse.api.structural.regexp import searcher


def plan(checked: Checked, variables: Mapping[str, Any]) -> Step:
    """`variables`: what the environment declares, for names with dots. Raises CelError for a constant that has no value."""
    return _Planner(checked, variables).step(checked.node)


_CONVERSIONS: Final = frozenset({
    "bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint",
})  # fmt: skip
_PRIMITIVE: Final = frozenset({"bool", "int", "uint", "double", "string"})
_PATTERNS: Final = frozenset({"matches", "find", "findAll"})


class _Planner:
    def __init__(self, checked: Checked, variables: Mapping[str, Any]) -> None:
        self.checked = checked
        self.variables = variables
        self.scopes: list[set[str]] = []

    def step(self, node: Node, counted: bool = True) -> Step:
        """`counted`: whether the name that a path begins with costs its step: it does not as the branch of a condition, nor as
        an index."""
        if not counted and _is_path(node):
            return _PATHS[type(node)](self, node, False)
        return _PLANS[type(node)](self, node)

    def is_local(self, name: str) -> bool:
        return any(name in scope for scope in self.scopes)

    def literal(self, node: Literal) -> Step:
        return Constant(node.value)

    def ident(self, node: Ident, counted: bool = True) -> Step:
        name, cost = node.name, int(counted)
        if not self.is_local(name):
            return self.variable(name.removeprefix("."), counted)

        def local(frame: Frame) -> Any:
            frame.charge(cost)
            value = frame.locals[name]
            if type(value) is _Failure:
                raise value.error
            return value

        return local

    def variable(self, name: str, counted: bool) -> Step:
        if name not in self.variables:
            return Constant(type_by_name(name))
        cost = int(counted)

        def read(frame: Frame) -> Any:
            frame.charge(cost)
            try:
                return frame.variables[name]
            except KeyError:
                raise CelError(f"no such attribute(s): {name}") from None

        return read

    def select(self, node: Select, counted: bool = True) -> Step:
        qualified = _qualified(node)
        root = qualified.partition(".")[0]
        if qualified and not self.is_local(root) and self._is_global(qualified, root):
            return self.variable(qualified, counted)
        operand, name = self.step(node.operand, counted), self.checked.keywords.get(node.id, node.field)
        extra = _extra(node.operand) if counted else 0
        if node.test_only:

            def has(frame: Frame) -> bool:
                value = operand(frame)
                frame.charge(extra)
                return access.has(value, name)

            return has

        def get(frame: Frame) -> Any:
            value = operand(frame)
            absent = isinstance(value, Optional) and not access.has(value, name)
            frame.charge(extra if absent else 1 + extra)
            return NOTHING if absent else access.get(value, name)

        return get

    def _is_global(self, qualified: str, root: str) -> bool:
        """A variable whose name has dots, or a type's name."""
        if qualified in self.variables:
            return True
        return root not in self.variables and qualified in _TYPE_NAMES

    def call(self, node: Call) -> Step:
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node)
        nodes = node.args if node.target is None else [node.target, *node.args]
        steps = [self.step(n) for n in nodes]
        overloads = self.checked.overloads.get(node.id, [])
        call, function = library.call, node.function
        if function in _CONVERSIONS and len(steps) == 1 and isinstance(steps[0], Constant):
            return Constant(call(function, [steps[0].value]))
        if function in _PATTERNS and isinstance(steps[1], Constant) and isinstance(steps[1].value, str):
            _compile_pattern(steps[1].value)
        cost = costs.of_call(function, overloads)
        if overloads == ["in_list"] and isinstance(steps[1], Constant) and _all_primitive(steps[1].value):
            cost = _free

        def run(frame: Frame) -> Any:
            try:
                args = [step(frame) for step in steps]
                result = call(function, args)
            except CelError:
                frame.charge(1)
                raise
            frame.charge(cost(args, result))
            return result

        return run

    def logical(self, node: Call) -> Step:
        left, right = (self.step(a) for a in node.args)
        decisive = node.function == "_||_"

        def run(frame: Frame) -> bool:
            failed: CelError | None = None
            for side in (left, right):
                try:
                    value: object = side(frame)
                    if value is decisive:
                        return decisive
                    if value is not (not decisive):
                        failed = failed or NoOverload()
                except CelError as e:
                    failed = failed or e
            if failed is not None:
                raise failed
            return not decisive

        return run

    def conditional(self, node: Call) -> Step:
        condition = self.step(node.args[0])
        yes, no = self.step(node.args[1], False), self.step(node.args[2], False)

        def run(frame: Frame) -> Any:
            value = condition(frame)
            if value is True:
                return yes(frame)
            if value is False:
                return no(frame)
            raise NoOverload

        return run

    def not_strictly_false(self, node: Call) -> Step:
        inner = self.step(node.args[0])

        def run(frame: Frame) -> bool:
            try:
                value: object = inner(frame)
            except CelError:
                value = True
            frame.charge(1)
            return value is not False

        return run

    def index(self, node: Call, counted: bool = True) -> Step:
        operand, at = self.step(node.args[0], counted), self.step(node.args[1], False)
        extra = _extra(node.args[0]) if counted else 0
        if node.function == "_[?_]":

            def optional(frame: Frame) -> Any:
                value, key = operand(frame), at(frame)
                found = access.optional_item(value, key)
                frame.charge(extra + found.present)
                return found

            return optional

        def run(frame: Frame) -> Any:
            value, key = operand(frame), at(frame)
            if isinstance(value, Optional):
                found = access.optional_item(value, key)
                frame.charge(extra + found.present)
                return found
            frame.charge(1 + extra)
            return access.item(value, key)

        return run

    def optional_select(self, node: Call, counted: bool = True) -> Step:
        operand, name = self.step(node.args[0], counted), node.args[1]
        assert isinstance(name, Literal)
        field = self.checked.keywords.get(node.id, name.value)
        extra = _extra(node.args[0]) if counted else 0

        def run(frame: Frame) -> Any:
            value = operand(frame)
            if isinstance(value, Optional):
                if not value.present:
                    frame.charge(extra)
                    return NOTHING
                value = value.value
            present = access.has(value, field)
            frame.charge(extra + present)
            return Optional(access.get(value, field)) if present else NOTHING

        return run

    def optional_or(self, node: Call) -> Step:
        assert node.target is not None
        held, other = self.step(node.target), self.step(node.args[0])
        unwraps = node.function == "orValue"

        def run(frame: Frame) -> Any:
            value = held(frame)
            if not isinstance(value, Optional):
                raise NoOverload
            if value.present:
                return value.value if unwraps else value
            return other(frame)

        return run

    def list_literal(self, node: ListLiteral) -> Step:
        steps = [(self.step(e), i in node.optional) for i, e in enumerate(node.elements)]
        constants = [step.value for step, optional in steps if isinstance(step, Constant) and not optional]
        if len(constants) == len(steps):
            return Constant(constants)

        def make(frame: Frame) -> list[Any]:
            made = []
            for step, optional in steps:
                value = step(frame)
                if optional:
                    if not isinstance(value, Optional):
                        raise CelError(f"cannot initialize optional list element from non-optional value {value}")
                    if not value.present:
                        continue
                    value = value.value
                made.append(value)
            frame.charge(costs.LIST)
            return made

        return make

    def map_literal(self, node: MapLiteral) -> Step:
        steps = []
        for entry in node.entries:
            assert not isinstance(entry.key, str)
            steps.append((self.step(entry.key), self.step(entry.value), entry.optional))

        def make(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key_step, value_step, optional in steps:
                key, value = key_step(frame), value_step(frame)
                if kind_of(key) not in ("string", "int", "uint", "bool"):
                    raise CelError(f"unsupported key type: {type_of(key).name}")
                if key in made:
                    raise CelError(f"Failed with repeated key: {key}")
                if optional:
                    value = _unwrapped(key, value)
                    if not value.present:
                        continue
                    value = value.value
                made[key] = value
            frame.charge(costs.MAP)
            return made

        constants = [
            (k.value, v.value) for k, v, o in steps if isinstance(k, Constant) and isinstance(v, Constant) and not o
        ]
        return (
            Constant(dict(constants)) if len(constants) == len(steps) else make
        )  # a key that is repeated: the last one holds

    def struct_literal(self, node: StructLiteral) -> Step:
        steps = [(str(e.key), self.step(e.value), e.optional) for e in node.entries]
        name = node.name.removeprefix(".")

        def make(frame: Frame) -> Made:
            fields: dict[str, Any] = {}
            for field, step, optional in steps:
                value = step(frame)
                if optional:
                    value = _unwrapped(field, value)
                    if not value.present:
                        continue
                    value = value.value
                fields[field] = value
            frame.charge(costs.STRUCT)
            return Made(name, fields)

        return make

    def comprehension(self, node: Comprehension) -> Step:
        over, init = self.step(node.iter_range), self.step(node.accu_init)
        self.scopes.append({node.accu_var})
        self.scopes.append({node.iter_var, node.iter_var2} - {""})
        condition, step = self.step(node.loop_condition), self._growing_step(node)
        self.scopes.pop()
        result = self.step(node.result)
        self.scopes.pop()
        first, second, accumulator = node.iter_var, node.iter_var2, node.accu_var

        def run(frame: Frame) -> Any:
            items = access.iterated(over(frame), bool(second))
            outer = frame.locals
            accumulated = init(frame)
            if type(accumulated) is list:
                accumulated = list(accumulated)  # it grows in place
            frame.locals = names = {**outer, accumulator: accumulated}
            try:
                for item in items:
                    if second:
                        names[first], names[second] = item
                    else:
                        names[first] = item
                    if condition(frame) is False:
                        break
                    try:
                        names[accumulator] = step(frame)
                    except CelError as e:
                        names[accumulator] = _Failure(e)
                return result(frame)
            finally:
                frame.locals = outer

        return run

    def _growing_step(self, node: Comprehension) -> Step:
        """The step of a comprehension; one that adds to a list of its own does so in place."""
        step = node.loop_step
        if not isinstance(node.accu_init, ListLiteral) or node.accu_init.elements:
            return self.step(step)
        if isinstance(step, Call) and step.function == "_?_:_" and self._adds(step.args[1], node.accu_var):
            condition, added = self.step(step.args[0]), self._addition(step.args[1])

            def grow_if(frame: Frame) -> Any:
                value = condition(frame)
                if value is True:
                    return added(frame)
                if value is False:
                    return frame.locals[node.accu_var]
                raise NoOverload

            return grow_if
        return self._addition(step) if self._adds(step, node.accu_var) else self.step(step)

    def _adds(self, node: Node, accumulator: str) -> bool:
        if not isinstance(node, Call) or node.function != "_+_" or len(node.args) != 2:
            return False
        left, right = node.args
        return isinstance(left, Ident) and left.name == accumulator and isinstance(right, ListLiteral)

    def _addition(self, node: Node) -> Step:
        assert isinstance(node, Call) and isinstance(node.args[0], Ident)
        accumulator, made = node.args[0].name, self.step(node.args[1])

        def grow(frame: Frame) -> Any:
            frame.charge(1)
            grown = frame.locals[accumulator]
            if type(grown) is _Failure:
                raise grown.error
            grown += made(frame)
            frame.charge(1)
            return grown

        return grow


def _free(_: list[Any], __: Any) -> int:
    return 0


def _all_primitive(values: Any) -> bool:
    return all(kind_of(v) in _PRIMITIVE for v in values)


def _compile_pattern(pattern: str) -> None:
    try:
        searcher(pattern)
    except ValueError as e:
        raise CelError(str(e)) from None


class _Failure:
    """What the accumulator is after a step that failed: a later step of `all` or `exists` may still decide."""

    __slots__ = ("error",)

    def __init__(self, error: CelError) -> None:
        self.error = error


def _unwrapped(key: Any, value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise CelError(f"cannot initialize optional entry '{key}' from non-optional value {value}")
    return value


_TYPE_NAMES: Final = {
    **{t.name: t for t in types.NAMED.values()}, "list": types.list_of(types.DYN),
    "map": types.map_of(types.DYN, types.DYN), "optional_type": types.optional_of(types.DYN),
}  # fmt: skip


def type_by_name(name: str) -> types.Type:
    return _TYPE_NAMES.get(name) or types.struct(name)


def _qualified(node: Node) -> str:
    parts: list[str] = []
    while isinstance(node, Select) and not node.test_only:
        parts.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(parts)]) if isinstance(node, Ident) else ""


def _extra(operand: Node) -> int:
    """What it costs to step from something that is neither a name nor a step from one."""
    return 0 if _is_path(operand) or (isinstance(operand, Call) and operand.function == "_?_:_") else 1


def _is_path(node: Node) -> bool:
    if isinstance(node, Call):
        return node.function in ("_[_]", "_[?_]", "_?._")
    return isinstance(node, Ident) or (isinstance(node, Select) and not node.test_only)


_SPECIAL: Final[dict[str, Callable[[_Planner, Call], Step]]] = {
    "_&&_": _Planner.logical, "_||_": _Planner.logical, "_?_:_": _Planner.conditional,
    "@not_strictly_false": _Planner.not_strictly_false, "_[_]": _Planner.index, "_[?_]": _Planner.index,
    "_?._": _Planner.optional_select, "or": _Planner.optional_or, "orValue": _Planner.optional_or,
}  # fmt: skip
_PATHS: Final[dict[type, Callable[[_Planner, Any, bool], Step]]] = {
    Ident: _Planner.ident, Select: _Planner.select,
    Call: lambda planner, node, counted: (
        planner.optional_select(node, counted) if node.function == "_?._" else planner.index(node, counted)),
}  # fmt: skip
_PLANS: Final[dict[type, Callable[[_Planner, Any], Step]]] = {
    Literal: _Planner.literal, Ident: _Planner.ident, Select: _Planner.select, Call: _Planner.call,
    ListLiteral: _Planner.list_literal, MapLiteral: _Planner.map_literal, StructLiteral: _Planner.struct_literal,
    Comprehension: _Planner.comprehension,
}  # fmt: skip
