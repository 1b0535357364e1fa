"""What an expression may cost, told before it is ever evaluated, from the sizes that its declarations allow.

Sources: cel-go's cost estimation and upstream's k8s.io/apiserver/pkg/cel/library/cost.go. All numbers stop at 2^64 - 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api.cel import costs
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
from pilothouse.api.cel.callestimates import of_call
from pilothouse.api.cel.checking import Checked
from pilothouse.api.cel.sizes import ANY, MAX, Entries, Path, Range, Sized, SizeOf, fixed
from pilothouse.api.cel.types import DYN, Type

_NOTHING: Final = Range(MAX, 0)  # what a union starts from
_ONE: Final = fixed(1)
_SCALARS: Final = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})


@dataclass(frozen=True, slots=True)
class _Local:
    path: Path
    size: Range | None
    entries: Entries | None


def estimate(checked: Checked, size_of: SizeOf) -> Range:
    return _Estimator(checked, size_of).cost(checked.node)


class _Estimator:
    def __init__(self, checked: Checked, size_of: SizeOf) -> None:
        self.checked = checked
        self.declared = size_of
        self.paths: dict[int, Path] = {}
        self.sizes: dict[int, Range] = {}
        self.entries: dict[int, Entries] = {}
        self.locals: dict[str, list[_Local]] = {}

    def type(self, node: Node) -> Type:
        return self.checked.types.get(node.id, DYN)

    def cost(self, node: Node) -> Range:
        if isinstance(node, Literal):
            return fixed(0)
        if isinstance(node, Ident):
            local = self.local(node)
            self.paths[node.id] = local.path if local else (node.name,)
            return _ONE
        return _COSTS[type(node)](self, node)

    def local(self, node: Node) -> _Local | None:
        stack = self.locals.get(node.name) if isinstance(node, Ident) else None
        return stack[-1] if stack else None

    def path(self, node: Node) -> Path:
        local = self.local(node)
        return local.path if local else self.paths.get(node.id, ())

    def select(self, node: Select) -> Range:
        total = self.cost(node.operand)
        if node.test_only:
            return total
        if self.type(node.operand).kind in ("map", "struct", "param"):
            total += _ONE
        self.paths[node.id] = (*self.path(node.operand), node.field)
        return total

    def size(self, node: Node) -> Range | None:
        found = self.sizes.get(node.id) or _literal_size(node)
        if found is None:
            found = self.declared(self.path(node), self.type(node))
            if found is not None:
                self.sizes[node.id] = found
            elif _is_scalar(self.type(node)):
                found = _ONE
            else:
                local = self.local(node)
                found = local.size if local else None
        return found

    def known_size(self, node: Node) -> Range:
        return self.size(node) or ANY

    def held(self, node: Node) -> Entries | None:
        found = self.entries.get(node.id)
        if found is None:
            local = self.local(node)
            found = local.entries if local else None
        return found

    def sized(self, node: Node) -> Sized:
        path = self.path(node)
        if path and path[0] in ("__result__", "@result"):
            path = ()
        return Sized(path, self.type(node), node, self.known_size(node))

    def items(self, values: Sized) -> Sized | None:
        """One item of a list."""
        if not values.type.params:
            return None
        path = (*values.path, "@items") if values.path else ()
        held = values.type.params[0]
        return Sized(path, held, None, self.declared(path, held) or ANY)

    def list_literal(self, node: ListLiteral) -> Range:
        total, item = fixed(costs.LIST), _NOTHING if node.elements else fixed(0)
        for element in node.elements:
            total += self.cost(element)
            item |= self.known_size(element)
        self.entries[node.id] = Entries(True, _ONE, item)
        return total

    def map_literal(self, node: MapLiteral) -> Range:
        total = fixed(costs.MAP)
        keys = values = _NOTHING if node.entries else fixed(0)
        for entry in node.entries:
            assert not isinstance(entry.key, str)
            total += self.cost(entry.key)
            total += self.cost(entry.value)
            keys |= self.known_size(entry.key)
            values |= self.known_size(entry.value)
        self.entries[node.id] = Entries(False, keys, values)
        return total

    def struct_literal(self, node: StructLiteral) -> Range:
        total = fixed(costs.STRUCT)
        for entry in node.entries:
            total += self.cost(entry.value)
        return total

    def push(self, name: str, local: _Local) -> None:
        self.locals.setdefault(name, []).append(local)

    def comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.iter_range) + self.cost(node.accu_init)
        self.push(
            node.accu_var, _Local(self.path(node.accu_init), self.size(node.accu_init), self.held(node.accu_init))
        )
        if _is_bind(node):
            total += self.cost(node.result)
            self.locals[node.accu_var].pop()
            self._copy_sizes(node, node.result)
            return total
        self._push_iterated(node)
        turn = self.cost(node.loop_condition)
        turn = self.cost(node.loop_step) + turn
        self.locals[node.iter_var].pop()
        if node.iter_var2:
            self.locals[node.iter_var2].pop()
        total += self.cost(node.result)
        self.locals[node.accu_var].pop()
        count = self.known_size(node.iter_range)
        total += count * turn
        if isinstance(node.accu_init, Literal):
            size = self.size(node.accu_init)
            if size is not None:
                self.sizes[node.id] = size
        elif isinstance(node.accu_init, ListLiteral | MapLiteral):
            self.sizes[node.id] = count
            made = self.held(node.loop_step)
            if made is not None:
                self.entries[node.id] = made
        return total

    def _push_iterated(self, node: Comprehension) -> None:
        held, path = self.held(node.iter_range), self.path(node.iter_range)
        is_list = held.is_list if held else self.type(node.iter_range).kind == "list"
        key = _Local((*path, "@indices" if is_list else "@keys"), held.key if held else None, None)
        value = _Local((*path, "@items" if is_list else "@values"), held.value if held else None, None)
        if node.iter_var2:
            self.push(node.iter_var, key)
            self.push(node.iter_var2, value)
        else:
            self.push(node.iter_var, value if is_list else key)

    def _copy_sizes(self, to: Node, of: Node) -> None:
        size, held = self.size(of), self.held(of)
        if size is not None:
            self.sizes[to.id] = size
        if held is not None:
            self.entries[to.id] = held

    def call(self, node: Call) -> Range:
        if node.function == "dyn":
            cost = self.cost(node.args[0]) + _ONE
            self._copy_sizes(node, node.args[0])
            return cost
        arg_costs = [self.cost(a) for a in node.args]
        overloads = self.checked.overloads.get(node.id)
        if not overloads:
            return fixed(0)
        args = [self.sized(a) for a in node.args]
        total, target = fixed(0), None
        if node.target is not None:
            total = self.cost(node.target)
            target = self.sized(node.target)
        union, result = _NOTHING, None
        for overload in overloads:
            cost, size = self.function(node, overload, target, args, arg_costs)
            union |= cost
            if size is not None:
                result = size if result is None else result | size
            if overload in ("index_list", "index_map"):
                held = self.held(node.args[0])
                result = held.value if held else None
                self.paths[node.id] = (*self.path(node.args[0]), "@items" if overload == "index_list" else "@values")
            if result is None:
                result = self.size(node)
        if result is not None:
            self.sizes[node.id] = result
        return total + union

    def function(
        self, node: Call, overload: str, target: Sized | None, args: list[Sized], arg_costs: list[Range]
    ) -> tuple[Range, Range | None]:
        paid = fixed(0)
        for cost in arg_costs:
            paid += cost
        found = of_call(self, node.function, overload, target, args)
        if found is not None:
            return found[0] + paid, found[1]
        if overload in ("logical_and", "logical_or"):
            left, right = arg_costs
            return Range(left.min, (left + right).max), None
        if overload == "conditional":
            yes, no = self.held(node.args[1]), self.held(node.args[2])
            if yes is not None and no is not None:
                self.entries[node.id] = yes | no
            return arg_costs[0] + (arg_costs[1] | arg_costs[2]), args[1].size | args[2].size
        if overload in ("add_string", "add_bytes", "add_list"):
            size = args[0].size + args[1].size
            left_held, right_held = self.held(node.args[0]), self.held(node.args[1])
            if left_held is not None and right_held is not None:
                self.entries[node.id] = left_held | right_held
            cost = _ONE if overload == "add_list" else size.times(costs.STRING_FACTOR)
            return cost + paid, size
        return _ONE + paid, None


def _literal_size(node: Node) -> Range | None:
    if isinstance(node, Literal):
        return fixed(len(node.value)) if isinstance(node.value, str | bytes) else _ONE
    if isinstance(node, ListLiteral):
        return fixed(len(node.elements))
    return fixed(len(node.entries)) if isinstance(node, MapLiteral) else None


def _is_scalar(kind: Type) -> bool:
    if kind.kind == "opaque" and kind.name == "optional_type":
        return _is_scalar(kind.params[0])
    return kind.kind in _SCALARS


def _is_bind(node: Comprehension) -> bool:
    """A name for a value, which is not repeated."""
    empty = isinstance(node.iter_range, ListLiteral) and not node.iter_range.elements
    never = isinstance(node.loop_condition, Literal) and node.loop_condition.value is False
    return empty and never and node.accu_var != "__result__"


_COSTS: Final[dict[type, Callable[[Any, Any], Range]]] = {
    Select: _Estimator.select, Call: _Estimator.call, ListLiteral: _Estimator.list_literal,
    MapLiteral: _Estimator.map_literal, StructLiteral: _Estimator.struct_literal,
    Comprehension: _Estimator.comprehension,
}  # fmt: skip
