"""JSON texts as values, with upstream's refusals; and which fields a text names twice."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from pilothouse.api.raw import escaped
from pilothouse.go import jsonsyntax

DEPTH_MOST: Final = 200  # orjson writes 254, and answers wrap what is stored; upstream reads 10,000
_DUPLICATES_MOST: Final = 100
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Malformed(ValueError):
    """str() says what is wrong with the text."""


def from_json(body: bytes) -> Any:
    """As Go reads it: what is no UTF-8 becomes U+FFFD. Raises Malformed."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = _leniently(body)
    if body.count(b"[") + body.count(b"{") > DEPTH_MOST:
        check_depth(found)
    return found


def to_json(value: Any, option: int = 0) -> bytes:
    """As Go writes it: what HTML would take for markup is escaped. `option`: orjson's."""
    return escaped(orjson.dumps(value, option=option))


def _leniently(body: bytes) -> Any:
    """Upstream bears bad UTF-8 and lone surrogates, which orjson does not."""
    wrong = jsonsyntax.fault(body)
    if wrong:
        raise Malformed(wrong) from None
    try:
        return mended(json.loads(body.decode("utf-8", "replace"), parse_int=_integer, parse_float=_number))
    except RecursionError:
        raise Malformed("exceeded max depth") from None
    except ValueError as error:
        raise Malformed(str(error)) from None


def pairs(body: bytes, kind: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """The value of a text that `from_json` reads, with its objects as `kind` makes them of their fields in order."""
    return json.loads(body.decode("utf-8", "replace"), object_pairs_hook=kind, parse_int=_integer, parse_float=_number)


def _integer(digits: str) -> int | float:
    """Of 64 bits; beyond, a float, as orjson reads it."""
    if len(digits) < 19:
        return int(digits)
    found = int(digits) if len(digits) < 24 else None
    return found if found is not None and -(1 << 63) <= found < 1 << 64 else _number(digits)


def _number(digits: str) -> float:
    found = float(digits)
    if math.isinf(found):
        raise ValueError("number is infinity when parsed as double")
    return found


def mended(value: Any) -> Any:
    """A copy in which lone surrogates are U+FFFD."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {mended(k): mended(v) for k, v in value.items()}
    return [mended(v) for v in value] if isinstance(value, list) else value


def check_depth(value: Any) -> None:
    """Raises Malformed for what nests so deep that nothing after this could go through it."""
    level = [value]
    for _ in range(DEPTH_MOST):
        below: list[Any] = []
        for one in level:
            inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
            below += [v for v in inner if isinstance(v, (dict, list))]
        if not below:
            return
        level = below
    raise Malformed("exceeded max depth")


class _Pairs:
    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def duplicates(body: bytes) -> list[str]:
    """`duplicate field "spec.replicas"`, for every field that a JSON text of no known type names twice."""
    try:
        tree = json.loads(body.decode("utf-8", "replace"), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    found: dict[str, None] = {}
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting and len(found) < _DUPLICATES_MOST:
        path, value = waiting.pop()
        if isinstance(value, _Pairs):
            seen: set[str] = set()
            below = []
            for key, inner in value.pairs:
                place = f"{path}.{key}" if path else key
                if key in seen:
                    found[f'duplicate field "{place}"'] = None
                seen.add(key)
                if isinstance(inner, (_Pairs, list)):
                    below.append((place, inner))
            waiting.extend(reversed(below))
        elif isinstance(value, list):
            waiting.extend(
                (f"{path}[{i}]", v) for i, v in reversed(list(enumerate(value))) if isinstance(v, (_Pairs, list))
            )
    return list(found)
