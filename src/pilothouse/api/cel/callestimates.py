"""What calls may cost at most and at least, and how large their results may be: see `estimates`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.cel import costs
from pilothouse.api.cel.ast import Literal
from pilothouse.api.cel.sizes import ANY, MAX, Items, Range, Sized, fixed

Estimate = tuple[Range, Range | None]
"""(cost, size of the result where that is known)"""
_ONE: Final = fixed(1)
_ADDRESS: Final = Range(4, 16)  # bytes of an IP address
_NAMED_FORMAT_REGEX: Final = 128
_FORMAT: Final = 64

Of = Callable[[Items, str, Sized | None, list[Sized]], Estimate | None]


def of_call(estimator: Items, function: str, overload: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    """None: a call of the language itself, or one that costs a step."""
    own = _BY_OVERLOAD.get(overload)
    found = own(estimator, overload, target, args) if own else None
    if found is not None:
        return found
    named = _BY_FUNCTION.get(function)
    found = named(estimator, overload, target, args) if named else None
    if found is not None:
        return found
    standard = _STANDARD.get(overload)
    return standard(estimator, overload, target, args) if standard else None


def _step(*_: Any) -> Estimate:
    return _ONE, None


def _check(*_: Any) -> Estimate:
    return fixed(costs.CHECK), None


def _string(size: Range) -> Range:
    return size.times(costs.STRING_FACTOR)


def _selector(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate | None:
    size = args[0].size
    return fixed(costs.LIST) + _string(size) + size.times(0.5).times(costs.REQUIREMENT), None


def _list_scan(estimator: Items, _: str, target: Sized | None, __: list[Sized]) -> Estimate | None:
    if target is None:
        return None
    item = estimator.items(target)
    if item is None:
        return _string(target.size), None
    each = _ONE
    if item.type.kind in ("string", "bytes"):
        each += _string(item.size)
    return target.size * each, None


def _includes(estimator: Items, overload: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    if target is not None and estimator.items(target) is None:
        return target.size, None
    return _list_scan(estimator, overload, target, args)


def _scan_argument(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate | None:
    return (_string(args[0].size), args[0].size) if len(args) == 1 else None


def _scan_target(_: Any, __: str, target: Sized | None, ___: Any) -> Estimate | None:
    return (_string(target.size), target.size) if target is not None else None


def _replace(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    if target is None or len(args) < 2:
        return None
    size, old, new = target.size, args[0].size, args[1].size
    if old.min == 0:  # every character may be surrounded
        most, kept_most = min(MAX, size.max + 1), size.max
    elif new.max <= old.min:
        most, kept_most = 0, size.max
    else:
        most, kept_most = math.ceil(float(size.max) / float(old.min)), 0
    if old.max == 0:
        least, kept_least = min(MAX, size.min + 1), size.min
    elif old.max <= new.min:
        least, kept_least = 0, size.min
    else:
        least, kept_least = math.ceil(float(size.min) / float(old.max)), 0
    made = Range(least, min(MAX, most)) * new + Range(kept_least, kept_most)
    return size.times(2 * costs.STRING_FACTOR), made


def _number(argument: Sized, default: int) -> int:
    node = argument.node
    if not isinstance(node, Literal) or type(node.value) is not int:
        return default
    return max(0, node.value)


def _split(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    if target is None:
        return None
    most = target.size.max
    if len(args) > 1 and isinstance(args[1].node, Literal) and type(args[1].node.value) is int:
        most = args[1].node.value % (MAX + 1)
    return target.size.times(2 * costs.STRING_FACTOR), Range(0, most)


def _join(estimator: Items, _: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    if target is None:
        return None
    item = estimator.items(target)
    size = fixed(0) if item is None else target.size * item.size
    if args:
        size += args[0].size * Range(max(0, target.size.min - 1), max(0, target.size.max - 1))
    return _string(size), size


def _regex(text: Range, pattern: Range) -> Range:
    return _string(text + _ONE) * pattern.times(costs.REGEX_FACTOR)


def _find(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    if target is None or not args:
        return None
    return _regex(target.size, args[0].size), Range(0, target.size.max)


def _matches(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    text, pattern = (target, args[0]) if target is not None else (args[0], args[1])
    return _regex(text.size, pattern.size), None


def _parse(factor: float) -> Of:
    def cost(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate | None:
        return (args[0].size.times(factor), None) if args else None

    return cost


def _ip(estimator: Items, overload: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    return (_ONE, None) if overload == "cidr_ip" else _parse(costs.STRING_FACTOR)(estimator, overload, target, args)


def _contains_ip(_: Any, overload: str, __: Any, args: list[Sized]) -> Estimate | None:
    cost = _string(_ADDRESS + _ADDRESS)
    if overload == "cidr_contains_ip_string":
        cost += _string(args[0].size)
    return cost, None


def _contains_cidr(_: Any, overload: str, __: Any, args: list[Sized]) -> Estimate | None:
    cost = _string(_ADDRESS + _ADDRESS) + _string(_ADDRESS) + _ONE
    if overload == "cidr_contains_cidr_string":
        cost += _string(args[0].size)
    return cost, None


def _validate(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate | None:
    return _string(args[0].size).times(_NAMED_FORMAT_REGEX * costs.REGEX_FACTOR), None


_FLAT: Final = frozenset({
    "net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.authorization.Authorizer",
    "kubernetes.authorization.PathCheck", "kubernetes.authorization.GroupCheck",
    "kubernetes.authorization.ResourceCheck", "kubernetes.authorization.Decision",
})  # fmt: skip


def _equality(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate | None:
    if len(args) != 2 or args[0].type != args[1].type:
        return None
    name = args[0].type.name
    if name in _FLAT:
        return _ONE, None
    if name == "kubernetes.NamedFormat":
        return _string(Range(1, _FORMAT)), None
    if name == "kubernetes.URL":
        known = args[1].size
        return _string(Range(1, 1 if known == ANY else known.max)), None
    return None


def _smaller(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    most = min(args[0].size.max, args[1].size.max)
    return _string(Range(1 if most > 0 else 0, most)), None


def _contained(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    return (_string(target.size) * _string(args[0].size), None) if target is not None else None


def _affix(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    return _string(args[0].size), None


def _in_list(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    return args[1].size, None


def _to_bytes(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    size = args[0].size
    return _string(size), Range(size.min, size.max * 4 % (MAX + 1))


def _from_bytes(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    size = args[0].size
    return _string(size), Range(size.min // 4, size.max)


def _quote(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    size = args[0].size
    return _string(size), Range((size.min + 2) % (MAX + 1), (size.max * 2 + 2) % (MAX + 1))


def _format(_: Any, __: str, target: Sized | None, ___: Any) -> Estimate | None:
    return (_string(target.size), None) if target is not None else None


def _makes_list(factor: float, size: Range) -> Estimate:
    return size.times(factor) + _ONE + fixed(costs.LIST), size


def _slice(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    if target is None:
        return None
    size = (_number(args[1], target.size.max) - _number(args[0], 0)) % (MAX + 1)
    return _makes_list(1, fixed(size))


def _lists_range(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
    return _makes_list(1, fixed(_number(args[0], MAX)))


def _reverse(_: Any, __: str, target: Sized | None, ___: Any) -> Estimate | None:
    return _makes_list(1, target.size) if target is not None else None


def _flatten(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
    return _makes_list(float(_number(args[0], MAX)) if args else 1.0, target.size) if target is not None else None


def _distinct(_: Any, __: str, target: Sized | None, ___: Any) -> Estimate | None:
    return _makes_list(2, target.size * target.size) if target is not None else None


def _sort(kind: str) -> Of:
    factor = 2 + (costs.STRING_FACTOR if kind in ("string", "bytes") else 0)

    def cost(_: Any, __: str, target: Sized | None, args: list[Sized]) -> Estimate | None:
        keys = args[0] if args else target
        return _makes_list(factor, keys.size * keys.size) if keys is not None else None

    return cost


def _sets(factor: int) -> Of:
    def cost(_: Any, __: str, ___: Any, args: list[Sized]) -> Estimate:
        return (args[0].size * args[1].size).times(factor) + _ONE, None

    return cost


_ACCESSORS: Final = (
    "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error", "errored",
    "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast", "isLinkLocalUnicast",
    "isGlobalUnicast", "format.named", "sign", "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan",
    "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "getScheme", "getHostname", "getHost", "getPort",
    "getEscapedPath", "getQuery",
)  # fmt: skip
_COMPARABLE: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")

_BY_FUNCTION: Final[dict[str, Of]] = {
    "check": _check, "fieldSelector": _selector, "labelSelector": _selector,
    **dict.fromkeys(_ACCESSORS, _step),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _list_scan),
    "includes": _includes,
    **dict.fromkeys(("url", "jsonpatch.escapeKey"), _scan_argument),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _scan_target),
    "replace": _replace, "split": _split, "join": _join, "find": _find, "findAll": _find,
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _parse(costs.STRING_FACTOR)),
    "ip": _ip, "ip.isCanonical": _parse(2 * costs.STRING_FACTOR), "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr, "validate": _validate, "_==_": _equality,
}  # fmt: skip

_BY_OVERLOAD: Final[dict[str, Of]] = {
    "list_slice": _slice, "list_flatten": _flatten, "list_flatten_int": _flatten, "lists_range": _lists_range,
    "list_reverse": _reverse, "list_distinct": _distinct,
    **{f"list_{t}_sort": _sort(t) for t in _COMPARABLE},
    **{f"list_{t}_sortByAssociatedKeys": _sort(t) for t in _COMPARABLE},
    "list_sets_contains_list": _sets(1), "list_sets_intersects_list": _sets(1), "list_sets_equivalent_list": _sets(2),
}  # fmt: skip

_STANDARD: Final[dict[str, Of]] = {
    "string_format": _format, "string_to_bytes": _to_bytes, "bytes_to_string": _from_bytes, "strings_quote": _quote,
    "starts_with_string": _affix, "ends_with_string": _affix, "in_list": _in_list, "matches": _matches,
    "matches_string": _matches, "contains_string": _contained, "equals": _smaller, "not_equals": _smaller,
    **{f"{name}_{kind}": _smaller for name in ("less", "greater", "less_equals", "greater_equals")
       for kind in ("string", "bytes")},
}  # fmt: skip
