"""The type checker: what an expression evaluates to, which overloads it can call, and what is wrong with it.

Source: the CEL specification, "Gradual Type Checking"; the messages are cel-go's, with its points of reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pilothouse.api.cel.ast import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
    Source,
    StructLiteral,
)
from pilothouse.api.cel.signatures import Overload
from pilothouse.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    ERROR,
    INT,
    NAMED,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Bindings,
    Type,
    assignable,
    is_dyn,
    list_of,
    map_of,
    most_general,
    optional_of,
    param,
    substitute,
    type_of,
    unwrap_optional,
)
from pilothouse.api.cel.values import Uint

_TYPE_NAMES: Final[Mapping[str, Type]] = {
    "bool": BOOL, "bytes": BYTES, "double": DOUBLE, "google.protobuf.Duration": DURATION, "int": INT,
    "list": list_of(param("A")), "map": map_of(param("A"), param("B")), "null_type": NULL, "string": STRING,
    "google.protobuf.Timestamp": TIMESTAMP, "type": TYPE, "uint": UINT,
    **{t.name: t for t in NAMED.values() if t.kind in ("struct", "opaque")}, "optional_type": optional_of(param("V")),
}  # fmt: skip

FieldLookup = Callable[[str, str], Type | None]
"""(name of a struct type, field) → the field's type."""


KEYWORDS: Final = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip


@dataclass(slots=True)
class Checked:
    node: Node
    source: Source
    types: dict[int, Type]
    overloads: dict[int, list[str]]  # of calls
    keywords: dict[int, str] = field(default_factory=dict)  # of steps to a field whose name is one: how it is declared
    type: Type = field(default=DYN)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can name: variables, struct types with their fields, functions."""

    variables: Mapping[str, Type]
    fields: FieldLookup
    structs: Callable[[str], bool]
    functions: Mapping[str, list[Overload]]


def check(node: Node, source: Source, scope: Scope) -> Checked:
    """Errors are added to the source."""
    checker = _Checker(source, scope)
    checker.visit(node)
    checked = Checked(node, source, {}, checker.overloads, checker.keywords)
    checked.types = {i: substitute(checker.bindings, t, True) for i, t in checker.types.items()}
    checked.type = checked.types[node.id]
    return checked


class _Checker:
    def __init__(self, source: Source, scope: Scope) -> None:
        self.source = source
        self.scope = scope
        self.locals: list[dict[str, Type]] = []
        self.types: dict[int, Type] = {}
        self.overloads: dict[int, list[str]] = {}
        self.keywords: dict[int, str] = {}
        self.bindings: Bindings = {}
        self.fresh = 0

    def visit(self, node: Node) -> Type:
        found: Type = _VISITS[type(node)](self, node)
        self.types[node.id] = found
        return found

    def error(self, at: int, message: str) -> None:
        self.source.error(at, message)

    def can_take(self, a: Type, b: Type) -> bool:
        bound = assignable(self.bindings, [(a, b)])
        if bound is None:
            return False
        self.bindings = bound
        return True

    def new_param(self) -> Type:
        self.fresh += 1
        return param(f"_var{self.fresh - 1}")

    def lookup(self, name: str) -> Type | None:
        if name.startswith("."):
            return self._global(name[1:])
        for scope in reversed(self.locals):
            if name in scope:
                return scope[name]
        return self._global(name)

    def _global(self, name: str) -> Type | None:
        found = self.scope.variables.get(name)
        if found is None and name in _TYPE_NAMES:
            return type_of(_TYPE_NAMES[name])
        if found is None and self.scope.structs(name):
            return type_of(Type("struct", name))
        return found

    def literal(self, node: Literal) -> Type:
        return _LITERALS[type(node.value)]

    def ident(self, node: Ident) -> Type:
        found = self.lookup(node.name)
        if found is None:
            self.error(node.at, f"undeclared reference to '{node.name}' (in container '')")
            return ERROR
        return found

    def select(self, node: Select) -> Type:
        qualified = _qualified_name(node)
        if qualified:
            found = self.lookup(qualified)
            if found is not None and not any(qualified.split(".")[0] in scope for scope in self.locals):
                return found
        kind = self.select_field(node, node.operand, node.field, False)
        return BOOL if node.test_only else substitute(self.bindings, kind)

    def select_field(self, node: Node, operand: Node, name: str, optional: bool) -> Type:
        held, is_optional = unwrap_optional(substitute(self.bindings, self.visit(operand)))
        result = DYN
        if held.kind == "map":
            result = held.params[1]
        elif held.kind == "struct":
            result = self.step(node, held.name, name)
        elif held.kind == "param":
            self.can_take(DYN, held)
        elif held.kind != "error" and not is_dyn(held):
            self.error(node.at, f"type '{held}' does not support field selection")
        return optional_of(result) if is_optional or optional else result

    def step(self, node: Node, struct: str, name: str) -> Type:
        """A field, which may be named as a keyword is."""
        if name in KEYWORDS and self.scope.fields(struct, name) is None:
            found = self.scope.fields(struct, f"__{name}__")
            if found is not None:
                self.keywords[node.id] = f"__{name}__"
                return found
        return self.field(node.at, struct, name)

    def field(self, at: int, struct: str, name: str) -> Type:
        found = self.scope.fields(struct, name)
        if found is None:
            known = self.scope.structs(struct)
            self.error(at, f"undefined field '{name}'" if known else f"unexpected failed resolution of '{struct}'")
            return ERROR
        return found

    def call(self, node: Call) -> Type:
        if node.function == "_?._":
            return self.optional_select(node)
        for arg in node.args:
            self.visit(arg)
        if node.target is None:
            overloads = self.scope.functions.get(node.function)
            if overloads is None:
                return self.undeclared(node)
            return self.resolve(node, overloads, None)
        prefix = _qualified_name(node.target)
        if prefix and f"{prefix}.{node.function}" in self.scope.functions:
            node.function, node.target = f"{prefix}.{node.function}", None
            return self.resolve(node, self.scope.functions[node.function], None)
        self.visit(node.target)
        overloads = self.scope.functions.get(node.function)
        return self.undeclared(node) if overloads is None else self.resolve(node, overloads, node.target)

    def undeclared(self, node: Call) -> Type:
        self.error(node.at, f"undeclared reference to '{node.function}' (in container '')")
        return ERROR

    def optional_select(self, node: Call) -> Type:
        operand, name = node.args
        if not isinstance(name, Literal) or not isinstance(name.value, str):
            self.error(name.at, "unsupported optional field selection")
            return ERROR
        self.types[name.id] = STRING
        self.overloads[node.id] = ["select_optional_field"]
        return substitute(self.bindings, self.select_field(node, operand, name.value, True))

    def resolve(self, node: Call, overloads: list[Overload], target: Node | None) -> Type:
        nodes = node.args if target is None else [target, *node.args]
        given = [self.types[n.id] for n in nodes]
        if node.function in ("_&&_", "_||_"):
            return self.logical(node, given)
        result: Type | None = None
        for overload in overloads:
            if overload.member != (target is not None) or len(overload.params) != len(given):
                continue
            fresh = {name: self.new_param() for name in overload.type_params}
            params = [substitute(fresh, p) for p in overload.params] if fresh else overload.params
            bound = assignable(self.bindings, list(zip(given, params, strict=True)))
            if bound is None:
                continue
            self.bindings = bound
            self.overloads.setdefault(node.id, []).append(overload.id)
            found = substitute(bound, substitute(fresh, overload.result))
            if result is None:
                result = found
            elif not is_dyn(result) and found != result:
                result = DYN
        if result is None:
            shown = [str(substitute(self.bindings, t, True)) for t in given]
            receiver = "" if target is None else f"{shown.pop(0)}."
            signature = f"{receiver}({', '.join(shown)})"
            self.error(node.at, f"found no matching overload for '{node.function}' applied to '{signature}'")
            return ERROR
        return result

    def logical(self, node: Call, given: list[Type]) -> Type:
        self.overloads[node.id] = ["logical_and" if node.function == "_&&_" else "logical_or"]
        wrong = False
        for arg, kind in zip(node.args, given, strict=True):
            if not self.can_take(kind, BOOL):
                self.error(arg.at, f"expected type 'bool' but found '{kind}'")
                wrong = True
        return ERROR if wrong else BOOL

    def list_literal(self, node: ListLiteral) -> Type:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            kind = self.visit(element)
            if index in node.optional:
                kind = self.optional_element(element, kind)
            joined = self.join(joined, kind)
        return list_of(self.new_param() if joined is None else joined)

    def map_literal(self, node: MapLiteral) -> Type:
        keys: Type | None = None
        values: Type | None = None
        for entry in node.entries:
            assert not isinstance(entry.key, str)
            keys = self.join(keys, self.visit(entry.key))
            kind = self.visit(entry.value)
            if entry.optional:
                kind = self.optional_element(entry.value, kind)
            values = self.join(values, kind)
        if keys is None or values is None:
            return map_of(self.new_param(), self.new_param())
        return map_of(keys, values)

    def optional_element(self, node: Node, kind: Type) -> Type:
        held, is_optional = unwrap_optional(kind)
        if not is_optional and not is_dyn(held):
            self.error(node.at, f"expected type '{optional_of(held)}' but found '{held}'")
        return held

    def join(self, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        if self.can_take(previous, current):
            return most_general(previous, current)
        return DYN

    def struct_literal(self, node: StructLiteral) -> Type:
        name = node.name.removeprefix(".")
        if name not in _TYPE_NAMES and not self.scope.structs(name):
            self.error(node.at, f"undeclared reference to '{node.name}' (in container '')")
            return ERROR
        made = _TYPE_NAMES.get(name) or Type("struct", name)
        if made.kind != "struct":
            self.error(node.at, f"'{made.name}' is not a message type")
            made = ERROR
        for entry in node.entries:
            assert isinstance(entry.key, str)
            given = self.visit(entry.value)
            wanted = self.field(entry.at, made.name, entry.key) if made.kind == "struct" else ERROR
            if entry.optional:
                given = self.optional_element(entry.value, given)
            if not self.can_take(wanted, given):
                message = f"expected type of field '{entry.key}' is '{wanted}' but provided type is '{given}'"
                self.error(entry.at, message)
        return made

    def comprehension(self, node: Comprehension) -> Type:
        self.visit(node.iter_range)
        accumulated = self.visit(node.accu_init)
        over = substitute(self.bindings, self.types[node.iter_range.id])
        first, second = self.ranged(node, over)
        self.locals.append({node.accu_var: accumulated})
        self.locals.append({node.iter_var: first, **({node.iter_var2: second} if node.iter_var2 else {})})
        self.expect(node.loop_condition, BOOL)
        self.expect(node.loop_step, accumulated)
        self.locals.pop()
        result = self.visit(node.result)
        self.locals.pop()
        return substitute(self.bindings, result)

    def ranged(self, node: Comprehension, over: Type) -> tuple[Type, Type]:
        """The types of the one or two variables."""
        if over.kind == "list":
            return (INT, over.params[0]) if node.iter_var2 else (over.params[0], DYN)
        if over.kind == "map":
            return over.params[0], over.params[1]
        if over.kind in ("dyn", "error", "param"):
            self.can_take(DYN, over)
            return DYN, DYN
        message = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
        self.error(node.iter_range.at, message)
        return ERROR, ERROR

    def expect(self, node: Node, wanted: Type) -> None:
        found = self.visit(node)
        if not self.can_take(wanted, found):
            self.error(node.at, f"expected type '{wanted}' but found '{found}'")


def _qualified_name(node: Node) -> str:
    """`a.b.c` of selects that end in an identifier; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test_only:
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return ""
    return ".".join([node.name, *reversed(parts)])


_LITERALS: Final[dict[type, Type]] = {
    bool: BOOL, int: INT, Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
}  # fmt: skip
_VISITS: Final[dict[type, Callable[[Any, Any], Type]]] = {
    Literal: _Checker.literal, Ident: _Checker.ident, Select: _Checker.select, Call: _Checker.call,
    ListLiteral: _Checker.list_literal, MapLiteral: _Checker.map_literal, StructLiteral: _Checker.struct_literal,
    Comprehension: _Checker.comprehension,
}  # fmt: skip
