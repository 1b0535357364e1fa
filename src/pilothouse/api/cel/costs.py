"""What calls cost when they are evaluated. The unit is upstream's: about 50 ns of its time.

Sources: cel-go's runtime costs and upstream's k8s.io/apiserver/pkg/cel/library/cost.go, whose numbers these are. What an
expression may cost at most is told before, in `estimates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.cel.values import NamedFormat, kind_of, size_of

PER_CALL_LIMIT: Final = 1_000_000
"""Of one evaluation."""
BUDGET: Final = 10_000_000
"""Of all expressions of one policy binding or custom resource."""
MATCH_CONDITIONS_BUDGET: Final = 2_500_000

LIST: Final = 10
MAP: Final = 30
STRUCT: Final = 40
STRING_FACTOR: Final = 0.1
REGEX_FACTOR: Final = 0.25
CHECK: Final = 350_000
REQUIREMENT: Final = LIST + STRUCT

LIMIT_EXCEEDED: Final = "operation cancelled: actual cost limit exceeded"

Cost = Callable[[list[Any], Any], int]
"""(arguments, result)"""


def _one(_: list[Any], __: Any) -> int:
    return 1


def _check(_: list[Any], __: Any) -> int:
    return CHECK


def _scan(factor: float, which: int = 0) -> Cost:
    return lambda args, _: math.ceil(size_of(args[which]) * factor)


def _selector(args: list[Any], _: Any) -> int:
    size = size_of(args[1])
    return LIST + math.ceil(size * STRING_FACTOR) + math.ceil(math.ceil(size * 0.5) * REQUIREMENT)


def traversal(value: Any) -> int:
    kind = kind_of(value)
    if kind == "string":
        return int(len(value.encode()) * STRING_FACTOR)
    if kind == "bytes":
        return int(len(value) * STRING_FACTOR)
    if kind == "list":
        return sum(map(traversal, value))
    if kind == "map":
        return sum(traversal(k) + traversal(v) for k, v in value.items())
    return 1


def _traverse(args: list[Any], _: Any) -> int:
    return traversal(args[0])


def _joined(_: list[Any], result: Any) -> int:
    return math.ceil(size_of(result) * 2 * STRING_FACTOR)


def _regex(args: list[Any], _: Any) -> int:
    return math.ceil((1 + size_of(args[0])) * STRING_FACTOR) * math.ceil(size_of(args[1]) * REGEX_FACTOR)


def _ip(args: list[Any], _: Any) -> int:
    return 1 if kind_of(args[0]) == "CIDR" else math.ceil(size_of(args[0]) * STRING_FACTOR)


def _contains_ip(args: list[Any], _: Any) -> int:
    parsed = math.ceil(size_of(args[1]) * STRING_FACTOR) if isinstance(args[1], str) else 0
    return math.ceil(2 * size_of(args[0]) * STRING_FACTOR) + parsed


def _contains_cidr(args: list[Any], result: Any) -> int:
    return _contains_ip(args, result) + math.ceil(size_of(args[0]) * STRING_FACTOR) + 1


def _validate(args: list[Any], _: Any) -> int:
    form: NamedFormat = args[0]
    return math.ceil((1 + size_of(args[1])) * STRING_FACTOR) * math.ceil(form.regex_size * REGEX_FACTOR)


def _smaller(args: list[Any], _: Any) -> int:
    return math.ceil(min(size_of(args[0]), size_of(args[1])) * STRING_FACTOR)


_FLAT: Final = frozenset({
    "Quantity", "IP", "CIDR", "Format", "URL", "Semver", "Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision",
})  # fmt: skip


def _equality(args: list[Any], result: Any) -> int:
    return 1 if kind_of(args[0]) in _FLAT else _smaller(args, result)


def _sum(args: list[Any], _: Any) -> int:
    return math.ceil((size_of(args[0]) + size_of(args[1])) * STRING_FACTOR)


def _product(args: list[Any], _: Any) -> int:
    return math.ceil(size_of(args[0]) * STRING_FACTOR) * math.ceil(size_of(args[1]) * STRING_FACTOR)


def _list_made(factor: float, size: int) -> int:
    return int(size * factor) + 1 + LIST


def _result_list(_: list[Any], result: Any) -> int:
    return _list_made(1, size_of(result))


def _flatten(args: list[Any], _: Any) -> int:
    return _list_made(args[1] if len(args) == 2 else 1, size_of(args[0]))


def _self_compare(which: int) -> Cost:
    def cost(args: list[Any], _: Any) -> int:
        values = args[which]
        text = bool(values) and kind_of(values[0]) in ("string", "bytes")
        return _list_made(2 + (STRING_FACTOR if text else 0), len(values) ** 2)

    return cost


def _sets(factor: int) -> Cost:
    return lambda args, _: 1 + size_of(args[0]) * size_of(args[1]) * factor


_BY_FUNCTION: Final[dict[str, Cost]] = {
    "check": _check,
    "fieldSelector": _selector, "labelSelector": _selector,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"), _traverse),
    **dict.fromkeys(
        ("url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr", "isIP", "isCIDR", "quantity",
         "isQuantity", "semver", "isSemver"), _scan(STRING_FACTOR)),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _scan(2 * STRING_FACTOR)),
    "join": _joined, "find": _regex, "findAll": _regex, "ip": _ip, "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr, "validate": _validate, "_==_": _equality,
}  # fmt: skip

_BY_OVERLOAD: Final[dict[str, Cost]] = {
    "starts_with_string": _scan(STRING_FACTOR, 1), "ends_with_string": _scan(STRING_FACTOR, 1),
    **dict.fromkeys(("string_to_bytes", "bytes_to_string", "strings_quote", "string_format"), _scan(STRING_FACTOR)),
    "in_list": lambda args, _: size_of(args[1]),
    **{f"{name}_{kind}": _smaller for name in ("less", "greater", "less_equals", "greater_equals")
       for kind in ("string", "bytes")},
    "equals": _smaller, "not_equals": _smaller, "add_string": _sum, "add_bytes": _sum,
    "matches": _regex, "matches_string": _regex, "contains_string": _product,
    "list_slice": _result_list, "lists_range": _result_list, "list_reverse": _result_list,
    "list_flatten": _flatten, "list_flatten_int": _flatten, "list_distinct": _self_compare(0),
    **{f"list_{t}_sort": _self_compare(0) for t in (
        "int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")},
    **{f"list_{t}_sortByAssociatedKeys": _self_compare(1) for t in (
        "int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")},
    "list_sets_contains_list": _sets(1), "list_sets_intersects_list": _sets(1), "list_sets_equivalent_list": _sets(2),
}  # fmt: skip


def of_call(function: str, overloads: list[str]) -> Cost:
    """What a call costs. An overload that is not known before has the cost of a step."""
    overload = overloads[0] if len(overloads) == 1 else ""
    if overload.startswith("list_") and overload in _BY_OVERLOAD:
        return _BY_OVERLOAD[overload]
    return _BY_FUNCTION.get(function) or _BY_OVERLOAD.get(overload, _one)
