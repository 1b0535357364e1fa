"""Whether a value is valid by a schema, as a closure compiled once: the way of every write that has nothing wrong.

It answers what `explain` would find nothing wrong with, without saying what. Source: see `explain`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from pilothouse.api.gonumbers import is_json_integer
from pilothouse.api.objects import Obj
from pilothouse.api.structural import formats, regexp
from pilothouse.api.structural.correlation import same
from pilothouse.api.structural.explain import OBJECTS, explain, in_enum

Check: TypeAlias = Callable[[Any], bool]

_CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip


def compiled(schema: Obj) -> Check:
    of_any: list[Check] = _junctors(schema)
    if schema.get("enum"):
        allowed = schema["enum"]
        of_any.append(lambda value: in_enum(value, allowed))
    null = not schema.get("enum") and (bool(schema.get("nullable")) or not OBJECTS.types(schema))
    by_class: dict[type, Check] = {}
    for kind, check in (
        (str, _string(schema)), (bool, None), (int, _number(schema)), (float, _number(schema)), (list, _list(schema)),
        (dict, _object(schema)),
    ):  # fmt: skip
        if _never(schema, kind):
            by_class[kind] = _no
        else:
            by_class[kind] = _both(check, of_any)
    integers_only = OBJECTS.types(schema) in (("integer",), ("integer", "string"))
    if integers_only:
        by_class[float] = _both(is_json_integer, [by_class[float]])

    def valid(value: Any) -> bool:
        if value is None:
            return null
        check = by_class.get(type(value))
        return check(value) if check is not None else not explain(value, schema)

    return valid


def _no(_: Any) -> bool:
    return False


def _yes(_: Any) -> bool:
    return True


def _both(first: Check | None, rest: list[Check]) -> Check:
    checks = [c for c in (first, *rest) if c is not None and c is not _yes]
    if not checks:
        return _yes
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        one, two = checks
        return lambda value: one(value) and two(value)
    return lambda value: all(check(value) for check in checks)


def _never(schema: Obj, kind: type) -> bool:
    """No value of this class is of the schema's type."""
    types = OBJECTS.types(schema)
    if not types:
        return False
    if kind in (str, list) and formats.effective(schema) and types == ("string",):
        return False  # upstream does not look at the type where there is a format
    if kind is int:
        return "integer" not in types and "number" not in types
    if kind is float:
        return "number" not in types and "integer" not in types
    return not any(kind in _CLASSES.get(t, ()) for t in types)


def _junctors(schema: Obj) -> list[Check]:
    found: list[Check] = []
    if schema.get("anyOf"):
        any_of = [compiled(s) for s in schema["anyOf"]]
        found.append(lambda value: any(check(value) for check in any_of))
    if schema.get("oneOf"):
        one_of = [compiled(s) for s in schema["oneOf"]]
        found.append(lambda value: sum(check(value) for check in one_of) == 1)
    found += [compiled(s) for s in schema.get("allOf") or ()]
    if schema.get("not") is not None:
        inner = compiled(schema["not"])
        found.append(lambda value: not inner(value))
    return found


def _string(schema: Obj) -> Check | None:
    checks: list[Check] = []
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least is not None or most is not None:
        low, high = least or 0, most if most is not None else float("inf")
        checks.append(lambda value: low <= len(value) <= high)
    if schema.get("pattern"):
        checks.append(_pattern(schema["pattern"]))
    form = formats.effective(schema)
    if form and (check := formats.checker(form)) is not None:
        checks.append(check)
    return _both(None, checks)


def _pattern(pattern: str) -> Check:
    search: Callable[[str], object] | None = None

    def matches(value: str) -> bool:
        nonlocal search
        if search is None:
            try:
                search = regexp.searcher(pattern)
            except ValueError:
                return False
        return search(value) is not None

    return matches


def _number(schema: Obj) -> Check | None:
    limits = [k for k in ("minimum", "maximum", "multipleOf") if schema.get(k) is not None]
    bounded = {
        k: v for k, v in schema.items() if k in (*limits, "exclusiveMinimum", "exclusiveMaximum", "type", "format")
    }
    plain = formats.effective(schema) == "" and all(float(schema[k]).is_integer() for k in limits)
    if not plain or "multipleOf" in limits:
        return lambda value: not explain(value, bounded)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))
    whole = OBJECTS.types(schema) == ("integer",)

    def fits(value: float) -> bool:
        if low is not None and (value < low or (above and value == low)):
            return False
        if high is not None and (value > high or (below and value == high)):
            return False
        return not whole or -(1 << 63) <= value < 1 << 63

    return fits


def _list(schema: Obj) -> Check | None:
    checks: list[Check] = []
    least, most, items = schema.get("minItems"), schema.get("maxItems"), schema.get("items")
    if least is not None or most is not None:
        low, high = least or 0, most if most is not None else float("inf")
        checks.append(lambda value: low <= len(value) <= high)
    if isinstance(items, dict):
        check = compiled(items)
        checks.append(lambda value: all(map(check, value)))
    if schema.get("uniqueItems"):
        checks.append(lambda value: not any(same(a, b) for i, a in enumerate(value) for b in value[:i]))
    return _both(None, checks)


def _object(schema: Obj) -> Check | None:
    checks: list[Check] = []
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None or most is not None:
        low, high = least or 0, most if most is not None else float("inf")
        checks.append(lambda value: low <= len(value) <= high)
    required = tuple(schema.get("required") or ())
    if required:
        checks.append(lambda value: all(name in value for name in required))
    properties = {name: compiled(s) for name, s in (schema.get("properties") or {}).items()}
    rest = schema.get("additionalProperties")
    if properties and not isinstance(rest, dict) and rest is not False:

        def known(value: Obj) -> bool:
            for name, inner in value.items():
                check = properties.get(name)
                if check is not None and not check(inner):
                    return False
            return True

        checks.append(known)
    elif isinstance(rest, dict) or rest is False:
        other = compiled(rest) if isinstance(rest, dict) else _no
        checks.append(lambda value: all(properties.get(name, other)(inner) for name, inner in value.items()))
    return _both(None, checks)
