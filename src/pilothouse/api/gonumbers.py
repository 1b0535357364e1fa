"""Numbers as Go's libraries see them."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any, Final

_SAFE: Final = (1 << 53) - 1
_EPSILON: Final = 1e-9
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 63) - 1


def read(value: Any) -> Any:
    """A copy of a JSON value with its numbers as Go reads them: integers that do not fit in 64 bits are none."""
    if isinstance(value, dict):
        return {k: v if type(v) is str else read(v) for k, v in value.items()}
    if isinstance(value, list):
        return [v if type(v) is str else read(v) for v in value]
    return value if type(value) is not int or _INT_MIN <= value <= _INT_MAX else float(value)


def written(value: Any) -> Any:
    """A copy of a JSON value with its numbers as they are once Go wrote and read them: 5.0 is 5."""
    if isinstance(value, dict):
        return {k: v if type(v) is str else written(v) for k, v in value.items()}
    if isinstance(value, list):
        return [v if type(v) is str else written(v) for v in value]
    if type(value) is float and value.is_integer() and _INT_MIN <= value <= _INT_MAX:
        return int(value)
    return value


@cache
def single_precision_max() -> float:
    found: float = struct.unpack(">f", bytes.fromhex("7f7fffff"))[0]
    return found


def is_json_integer(value: float) -> bool:
    """swag.IsFloat64AJSONInteger: an integer that JavaScript has too, or one within a billionth."""
    if isinstance(value, int):
        return -_SAFE - 1 <= value <= _SAFE
    if not math.isfinite(value) or not -_SAFE - 1 <= value <= _SAFE:
        return False
    nearest = math.floor(abs(value) + 0.5)
    if abs(value) == nearest:
        return True
    return nearest != 0 and abs(abs(value) - nearest) / (abs(value) + nearest) < _EPSILON
