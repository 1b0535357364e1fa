"""`string.format(list)`: cel-go's "Strings" extension, version 2, with its forms for `en_US`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.cel.values import CelError, go_fixed, kind_of, type_name
from pilothouse.api.field import quote

_CLAUSE: Final = re.compile(r"%(?:(%)|(?:\.(\d*))?(.)?)", re.DOTALL)
_PRECISION: Final = 6
_PRECISION_MAX: Final = 1000
_SUPERSCRIPT: Final = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_KINDS: Final = {
    "s": (("string", "bool", "bytes", "int", "uint", "double", "map", "list", "type", "duration", "timestamp", "null"),
          "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, "
          "and timestamps"),
    "d": (("int", "uint"), "decimal clause can only be used on integers"),
    "f": (("double", "string"), "fixed-point clause can only be used on doubles"),
    "e": (("double", "string"), "scientific clause can only be used on doubles"),
    "b": (("int", "uint", "bool"), "only integers and bools can be formatted as binary"),
    "x": (("int", "uint", "string", "bytes"), "only integers, byte buffers, and strings can be formatted as hex"),
    "o": (("int", "uint"), "octal clause can only be used on integers"),
}  # fmt: skip


def wrong_kind(clause: str, kind: str) -> str:
    """What is wrong with a value of that kind for a clause (`s`, `d` …), or nothing."""
    kinds, message = _KINDS[clause.lower()]
    return "" if kind in kinds else f"{message}, was given {kind}"


def each_clause(text: str, count: int, use: Callable[[str, int], object]) -> None:
    """`use` is called with each clause and the index of its value, of `count`. Raises CelError for what is no format."""
    index = -1
    for match in _CLAUSE.finditer(text):
        if match[1]:
            continue
        index += 1
        clause, _ = _clause(match, index, count)
        use(clause, index)


def formatted(text: str, values: list[Any]) -> str:
    """Raises CelError."""
    index = -1

    def fill(match: re.Match[str]) -> str:
        nonlocal index
        if match[1]:
            return "%"
        index += 1
        clause, precision = _clause(match, index, len(values))
        value = values[index]
        wrong = wrong_kind(clause, kind_of(value))
        if wrong:
            named = wrong.rpartition(" ")[0]
            raise CelError(f"error during formatting: {named} {type_name(value)}")
        return _WRITES[clause](value, precision)

    return _CLAUSE.sub(fill, text)


def _clause(match: re.Match[str], index: int, count: int) -> tuple[str, int]:
    clause, digits = match[3], match[2]
    if clause is None:
        raise CelError("unexpected end of string")
    if index >= count:
        raise CelError(f"index {index} out of range")
    precision = _PRECISION if digits is None else int(digits or "0")
    if precision > _PRECISION_MAX:
        why = f"precision {precision} exceeds maximum allowed precision {_PRECISION_MAX}"
        raise CelError(f"could not parse formatting clause: error while parsing precision: {why}")
    if clause not in _WRITES:
        raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{clause}"')
    return clause, precision


def shown(value: Any, within: bool = False) -> str:
    """As `%s` shows it; `within`: as an item of a list or map."""
    kind = kind_of(value)
    if kind == "null":
        return "null"
    if kind == "list":
        return f"[{', '.join(shown(v, True) for v in value)}]"
    if kind == "map":
        pairs = sorted((shown(k, True), shown(v, True)) for k, v in value.items())
        return "{" + ", ".join(f"{k}:{v}" for k, v in pairs) + "}"
    if kind == "type":
        return str(value.name)
    if not within:
        return _text(value)
    if kind in ("timestamp", "duration"):
        return f"{kind}({quote(_text(value))})"
    if kind == "double":
        plain = go_fixed(value)
        return quote(plain) if plain[-1].isalpha() else f"{value:.{_PRECISION}f}"
    if kind in ("string", "bytes"):
        return ("b" if kind == "bytes" else "") + quote(_text(value))
    return _text(value)


def _text(value: Any) -> str:
    from pilothouse.api.cel.library import text

    try:
        return text(value)
    except CelError as error:
        told = f"could not convert argument {quote(str(error))} to string"
        raise CelError(f"error during formatting: {told}") from None


def _real(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise CelError(f'error during formatting: could not convert "{value}" to float64') from None


def _fixed(value: Any, precision: int) -> str:
    number = _real(value)
    return f"{number:,.{precision}f}" if number - number == 0 else _infinite(number)


def _scientific(value: Any, _: int) -> str:
    number = _real(value)
    if number - number != 0:
        return _infinite(number)
    mantissa, __, exponent = f"{number:.{_PRECISION}e}".partition("e")  # cel-go's printer passes over the precision
    return f"{mantissa}×10{exponent.removeprefix('+').translate(_SUPERSCRIPT)}"


def _infinite(number: float) -> str:
    return "NaN" if number != number else "∞" if number > 0 else "-∞"


def _hexadecimal(value: Any, _: int) -> str:
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    return f"{int(value):x}"


_WRITES: Final[dict[str, Callable[[Any, int], str]]] = {
    "s": lambda value, _: shown(value), "d": lambda value, _: str(int(value)), "f": _fixed, "e": _scientific,
    "b": lambda value, _: f"{int(value):b}", "x": _hexadecimal, "X": lambda value, _: _hexadecimal(value, 0).upper(),
    "o": lambda value, _: f"{int(value):o}",
}  # fmt: skip
