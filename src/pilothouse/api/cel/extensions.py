"""What cel-go's extensions do: optional values, strings (2), sets, lists (3), two-variable comprehensions."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any, Final

from pilothouse.api.cel.formatting import formatted
from pilothouse.api.cel.library import call, implements
from pilothouse.api.cel.values import NOTHING, CelError, Optional, equal, kind_of
from pilothouse.api.field import quote

_RANGE_MAX: Final = 1_000_000
_COMPARABLE: Final = frozenset({"int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"})


@implements("optional.of", "any")
def _optional(value: Any) -> Optional:
    return Optional(value)


@implements("optional.ofNonZeroValue", "any")
def _optional_non_zero(value: Any) -> Optional:
    kind = kind_of(value)
    if kind in ("duration", "timestamp"):
        empty = value.ns == 0
    elif kind == "optional":
        empty = not value.present
    else:
        empty = kind in ("null", "bool", "int", "uint", "double", "string", "bytes", "list", "map") and not value
    return NOTHING if empty else Optional(value)


@implements("optional.none")
def _none() -> Optional:
    return NOTHING


@implements("value", "optional")
def _value(held: Optional) -> Any:
    if not held.present:
        raise CelError("optional.none() dereference")
    return held.value


@implements("hasValue", "optional")
def _has_value(held: Optional) -> bool:
    return held.present


@implements("last", "list")
def _last(values: list[Any]) -> Optional:
    return Optional(values[-1]) if values else NOTHING


@implements("first", "list")
def _first(values: list[Any]) -> Optional:
    return Optional(values[0]) if values else NOTHING


@implements("optional.unwrap", "list")
@implements("unwrapOpt", "list")
def _unwrap(values: list[Any]) -> list[Any]:
    return [v.value for v in values if v.present]


@implements("charAt", "string", "int")
def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise CelError(f"index out of range: {at}")
    return text[at : at + 1]


@implements("indexOf", "string", "string")
def _index_of(text: str, part: str) -> int:
    return text.find(part)


@implements("indexOf", "string", "string", "int")
def _index_of_from(text: str, part: str, start: int) -> int:
    if start < 0:
        raise CelError(f"index out of range: {start}")
    if not part:
        return start
    return -1 if start >= len(text) else text.find(part, start)


@implements("lastIndexOf", "string", "string")
def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


@implements("lastIndexOf", "string", "string", "int")
def _last_index_of_until(text: str, part: str, start: int) -> int:
    if start < 0:
        raise CelError(f"index out of range: {start}")
    if not part:
        return start
    return -1 if start >= len(text) else text.rfind(part, 0, start + len(part))


@implements("lowerAscii", "string")
def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


@implements("upperAscii", "string")
def _upper(text: str) -> str:
    return "".join(c.upper() if c.isascii() else c for c in text)


@implements("replace", "string", "string", "string")
def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


@implements("replace", "string", "string", "string", "int")
def _replace_some(text: str, old: str, new: str, count: int) -> str:
    return text.replace(old, new, count)


@implements("split", "string", "string")
def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


@implements("split", "string", "string", "int")
def _split_some(text: str, separator: str, count: int) -> list[str]:
    if count < 0:
        return _split(text, separator)
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1)
    chars = list(text)
    return chars if len(chars) <= count else [*chars[: count - 1], text[count - 1 :]]


@implements("substring", "string", "int")
def _substring(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    return text[start:]


@implements("substring", "string", "int", "int")
def _substring_between(text: str, start: int, end: int) -> str:
    if start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    for at in (start, end):
        if not 0 <= at <= len(text):
            raise CelError(f"index out of range: {at}")
    return text[start:end]


@implements("trim", "string")
def _trim(text: str) -> str:
    return text.strip("\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
                      "\u2028\u2029\u202f\u205f\u3000")  # fmt: skip


@implements("strings.quote", "string")
def _quote(text: str) -> str:
    escapes = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
               '"': '\\"'}  # fmt: skip
    return '"' + "".join(escapes.get(c, c) for c in text) + '"'


@implements("join", "list")
def _join(values: list[Any]) -> str:
    return _join_by(values, "")


@implements("join", "list", "string")
def _join_by(values: list[Any], separator: str) -> str:
    for value in values:
        if not isinstance(value, str):
            raise CelError(f"join: invalid input: {value}")
    return separator.join(values)


@implements("format", "string", "list")
def _format(text: str, values: list[Any]) -> str:
    return formatted(text, values)


@implements("sets.contains", "list", "list")
def _contains(values: list[Any], others: list[Any]) -> bool:
    return all(any(equal(o, v) for v in values) for o in others)


@implements("sets.equivalent", "list", "list")
def _equivalent(values: list[Any], others: list[Any]) -> bool:
    return _contains(values, others) and _contains(others, values)


@implements("sets.intersects", "list", "list")
def _intersects(values: list[Any], others: list[Any]) -> bool:
    return any(any(equal(o, v) for v in values) for o in others)


@implements("slice", "list", "int", "int")
def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    what = f"cannot slice({start}, {end}), "
    if start < 0 or end < 0:
        raise CelError(f"{what}negative indexes not supported")
    if start > end:
        raise CelError(f"{what}start index must be less than or equal to end index")
    if len(values) < end:
        raise CelError(f"{what}list is length {len(values)}")
    return values[start:end]


@implements("flatten", "list")
def _flatten(values: list[Any]) -> list[Any]:
    return _flatten_to(values, 1)


@implements("flatten", "list", "int")
def _flatten_to(values: list[Any], depth: int) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    flat: list[Any] = []
    for value in values:
        if kind_of(value) == "list" and depth:
            flat += _flatten_to(value, depth - 1)
        else:
            flat.append(value)
    return flat


@implements("lists.range", "int")
def _range(count: int) -> list[int]:
    if count < 0:
        raise CelError(f"lists.range: size must be non-negative, got {count}")
    if count > _RANGE_MAX:
        raise CelError(f"lists.range: size {count} exceeds maximum allowed ({_RANGE_MAX})")
    return list(range(count))


@implements("reverse", "list")
def _reverse(values: list[Any]) -> list[Any]:
    return list(values)[::-1]


@implements("distinct", "list")
def _distinct(values: list[Any]) -> list[Any]:
    seen: list[Any] = []
    for value in values:
        if not any(equal(value, s) for s in seen):
            seen.append(value)
    return seen


@implements("sort", "list")
def _sort(values: list[Any]) -> list[Any]:
    return _sort_by(values, values)


@implements("@sortByAssociatedKeys", "list", "list")
def _sort_by(values: list[Any], keys: list[Any]) -> list[Any]:
    if len(values) != len(keys):
        raise CelError(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, "
            f"but got {len(values)} and {len(keys)} elements respectively"
        )
    if not keys:
        return list(values)
    kind = kind_of(keys[0])
    if kind not in _COMPARABLE:
        raise CelError("list elements must be comparable")
    if any(kind_of(k) != kind for k in keys):
        raise CelError("list elements must have the same type")
    by_key = cmp_to_key(compare)
    order = sorted(range(len(keys)), key=lambda i: by_key(keys[i]))
    return [values[i] for i in order]


def compare(a: Any, b: Any) -> int:
    """-1, 0 or 1. Raises CelError where the two have no order."""
    if call("_<_", [a, b]):
        return -1
    return 1 if call("_>_", [a, b]) else 0


@implements("cel.@mapInsert", "map", "map")
def _insert_all(into: dict[Any, Any], added: dict[Any, Any]) -> dict[Any, Any]:
    made = into
    for key, value in added.items():
        made = _insert(made, key, value)
    return made


@implements("cel.@mapInsert", "map", "any", "any")
def _insert(into: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    if key in into:
        shown = quote(key) if isinstance(key, str) and not key.isprintable() else key
        raise CelError(f"insert failed: key {shown} already exists")
    return {**into, key: value}
